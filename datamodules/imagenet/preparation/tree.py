"""Photographs in a folder: with a folder for each class, or with labels in their names or in a table beside them."""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from datamodules.imagenet.forms import (
    DEVKIT,
    KAGGLE_LABELS,
    LABELED,
    TINY_LABELS,
    is_flat,
    not_to_be_read,
    split_folders,
)
from datamodules.imagenet.preparation.classes import ClassChoice, Devkit, choose
from datamodules.imagenet.preparation.originals import Originals, checked_devkit, originals_of
from datamodules.photographs.folder import Files, Folder, read_folder, shown, some
from datamodules.photographs.index import SPLITS, ImageClass

_WORDS = {"LOC_synset_mapping.txt": " ", "words.txt": "\t"}  # of Kaggle and of Tiny ImageNet, with what parts a line
_IMAGES = b"images/"
_LEVELS = 3  # from Kaggle's folder of photographs up to that of the labels
_ENTRY = re.compile(r"([^,\t]+)[,\t]\s*([^,\s]+)")  # name, class, and whatever else
_VAL_NUMBER = re.compile(r"ILSVRC2012_val_(\d{8})\.\w+")


class _Found(NamedTuple):
    """A photograph: its name in the copy, its path within the folder of its split, and its bytes."""

    name: bytes
    file: bytes
    size: int


@dataclass(frozen=True)
class Tree:
    """A folder with train and val in one of the forms that `datamodules.imagenet.forms` lists.

    Attributes:
        root: The folder.
        devkit: ILSVRC2012_devkit_t12.tar.gz for the names of the classes, and for labels that nothing else gives.
        val_labels: Table with the labels of validation photographs that are in no folder of a class.
    """

    root: Path
    devkit: Path | None = None
    val_labels: Path | None = None

    def identity(self) -> dict[str, Any]:
        """The path, which tells whether a begun preparation goes on with the same tree.

        Raises:
            ValueError: There is no such tree.
        """
        self._folders()
        return {"tree": str(self.root)}

    def find(self, choice: ClassChoice, notes: Path, *, verify: bool) -> Originals:
        """Find the photographs; there is nothing to verify them by, and one pass takes seconds."""
        folders = self._folders()
        devkit = checked_devkit(self.devkit, verify)[1] if self.devkit else None
        found = {split: self._of_split(split, folders[split], devkit) for split in SPLITS}
        _check_classes(self.root, folders, found)
        names = {_decoded(self.root, name): name for name in found["train"]}
        words = {entry.wnid: entry.names for entry in devkit.classes} if devkit else self._words(folders["train"])
        chosen = choose(choice, list(names))
        images = {}
        for split in SPLITS:
            images[split] = originals_of(
                (photograph.name, label, photograph.file, 0, photograph.size)
                for label, wnid in enumerate(chosen)
                for photograph in found[split][names[wnid]]
            )
        images["val"] = images["val"][np.argsort(images["val"]["name"], kind="stable")]
        return Originals(
            classes=tuple(ImageClass(wnid, words.get(wnid, ())) for wnid in chosen),
            images=images,
            locations=folders,
            source=self.identity(),
            verified=False,
        )

    def _folders(self) -> dict[str, Path]:
        folders = split_folders(self.root)
        if sentence := not_to_be_read(self.root):
            raise ValueError(sentence)
        if folders is None:
            missing = next((split for split in SPLITS if not (self.root / split).is_dir()), "val")
            raise ValueError(
                f"{self.root / missing} is missing: name with --tree a folder that has train/CLASS/IMAGE "
                "and val/CLASS/IMAGE, or ImageNet as Kaggle or Hugging Face have it."
            )
        return folders

    def _of_split(self, split: str, folder: Path, devkit: Devkit | None) -> dict[bytes, list[_Found]]:
        """The photographs of a split by class; in the order of their names."""
        read = read_folder(folder, ())
        classes = read.splits["train"]
        if not is_flat(list(classes) if read.layout == "classes" else []):
            if read.beside:
                raise ValueError(f"{folder / shown(read.beside[0])} is no folder of a class: move it elsewhere.")
            in_images = all(file.startswith(_IMAGES) for files in classes.values() for file in files.names)
            return {
                name: [
                    _Found(file.removeprefix(_IMAGES) if in_images else file, os.path.join(name, file), size)
                    for file, size in zip(files.names, files.sizes, strict=True)
                ]
                for name, files in classes.items()
            }
        photographs = sorted(
            _Found(os.path.basename(name), os.path.join(within, name), size)
            for within, files in classes.items()
            for name, size in zip(files.names, files.sizes, strict=True)
        )
        by_class: dict[bytes, list[_Found]] = {}
        for photograph, wnid in self._labeled(split, folder, photographs, devkit):
            by_class.setdefault(wnid, []).append(photograph)
        return dict(sorted(by_class.items()))

    def _labeled(
        self, split: str, folder: Path, photographs: Sequence[_Found], devkit: Devkit | None
    ) -> list[tuple[_Found, bytes]]:
        """Photographs without folders of classes, and the class of each."""
        table = self._table(folder) if split == "val" else None
        matches = [LABELED.fullmatch(photograph.name) for photograph in photographs]
        labels = [match and (match["label"] or match["own"]) for match in matches]
        if table is None and all(labels):
            found = zip(photographs, matches, labels, strict=True)
            return [(one._replace(name=match["name"] + match["suffix"]), wnid) for one, match, wnid in found]  # type: ignore[index, misc]
        names = [shown(photograph.name) for photograph in photographs]
        wnids: Sequence[str | None]
        if table is not None:
            wnids, source = _from_table(table, names), str(table)
        elif devkit is not None and split == "val":
            numbers = [int(match[1]) if (match := _VAL_NUMBER.fullmatch(name)) else 0 for name in names]
            known = dict(enumerate(devkit.val_wnids, start=1))
            wnids, source = [known.get(number) for number in numbers], f"{self.devkit}"
        else:
            remedy = (
                f"name their labels with --val_labels ({KAGGLE_LABELS} of Kaggle, or a file with a class for each, in "
                f"the order of their names) or with --devkit ({DEVKIT})"
                if split == "val"
                else "put those of each class into a folder"
            )
            raise ValueError(
                f"{folder} holds {len(photographs):,} photographs without folders of classes, such as {names[0]}: "
                f"{remedy}."
            )
        if without := [name for name, wnid in zip(names, wnids, strict=True) if wnid is None]:
            raise ValueError(
                f"{source} has no label for {len(without):,} of the {len(names):,} photographs in {folder} "
                f"({some(without)}): name the table that belongs to them (--val_labels)."
            )
        return [(one, str(wnid).encode()) for one, wnid in zip(photographs, wnids, strict=True)]

    def _table(self, val: Path) -> Path | None:
        """The table of the validation labels that was named, or lies where Kaggle or Tiny ImageNet have theirs."""
        if self.val_labels is not None:
            return self.val_labels
        above = [val.parent, *val.parent.parents][: _LEVELS + 1]
        places = [val / TINY_LABELS, *(folder / KAGGLE_LABELS for folder in above)]
        return next((place for place in places if place.is_file()), None)

    def _words(self, train: Path) -> dict[str, tuple[str, ...]]:
        """The classes in words, as Kaggle or Tiny ImageNet give them; none elsewhere."""
        for folder in [train.parent, *train.parent.parents][: _LEVELS + 1]:
            for name, separator in _WORDS.items():
                if (folder / name).is_file():
                    lines = (line.partition(separator) for line in _lines(folder / name))
                    return {wnid: tuple(words.strip().split(", ")) for wnid, _, words in lines if words.strip()}
        return {}


def _check_classes(root: Path, folders: dict[str, Path], found: dict[str, dict[bytes, list[_Found]]]) -> None:
    splits = {
        split: {name: Files([one.name for one in photographs], [], []) for name, photographs in classes.items()}
        for split, classes in found.items()
    }
    within = {split: os.fsencode(folder.relative_to(root)) for split, folder in folders.items()}
    Folder(root, "splits", within, splits).check_classes(complete=True)


def _from_table(path: Path, names: Sequence[str]) -> list[str | None]:
    """The class of each photograph by its name, or by its place where the table has classes alone."""
    lines = [line.strip() for line in _lines(path) if line.strip()]
    if not any(_ENTRY.match(line) for line in lines):
        if len(lines) != len(names):
            raise ValueError(
                f"{path} has {len(lines):,} lines for {len(names):,} photographs: name the table that belongs to them "
                "(--val_labels)."
            )
        return list(lines)
    entries = {match[1]: match[2] for line in lines if (match := _ENTRY.match(line))}
    return [entries.get(name) or entries.get(name.rpartition(".")[0]) for name in names]


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} cannot be read ({error}): restore it.") from None


def _decoded(root: Path, name: bytes) -> str:
    """A name that a manifest can hold."""
    try:
        return name.decode()
    except UnicodeDecodeError:
        raise ValueError(f"{root}: the name of the class {shown(name)} is no text in UTF-8: rename it.") from None
