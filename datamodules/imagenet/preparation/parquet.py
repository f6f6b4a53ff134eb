"""Photographs in Parquet files, as Hugging Face gives them out: the bytes, name and label of one in each row."""

import json
import os
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from datamodules.imagenet.forms import LABELED, parquet_files
from datamodules.imagenet.preparation.classes import ClassChoice, choose
from datamodules.imagenet.preparation.originals import Originals, checked_devkit, originals_of
from datamodules.photographs.index import SPLITS, ImageClass

_IMAGE, _LABEL = ("image", "img", "jpg"), ("label", "labels", "cls")
_AGREEING = 0.9  # of the names; in any other order than the kit's, hardly any would


class _Row(NamedTuple):
    """What a row says of its photograph, but for the bytes."""

    name: str
    label: int
    file: bytes
    row: int
    size: int


@dataclass(frozen=True)
class ParquetFiles:
    """A folder with train-….parquet and validation-….parquet, or with folders of such files.

    Attributes:
        root: The folder.
        devkit: ILSVRC2012_devkit_t12.tar.gz, for files that give the classes in words alone.
    """

    root: Path
    devkit: Path | None = None

    def identity(self) -> dict[str, Any]:
        """The path, and the sizes of the files.

        Raises:
            ValueError: Files are missing.
        """
        found = parquet_files(self.root)
        for split in SPLITS:
            if split not in found:
                raise ValueError(
                    f"{self.root} holds no Parquet files of {split}: name a folder that has train and val."
                )
        return {
            "parquet": str(self.root),
            "bytes": sum(path.stat().st_size for split in SPLITS for path in found[split]),
        }

    def find(self, choice: ClassChoice, notes: Path, *, verify: bool) -> Originals:
        """Find the photographs from their names and labels; a pass over these takes seconds."""
        found = parquet_files(self.root)
        rows: dict[str, list[_Row]] = {}
        words: list[str] = []
        for split in SPLITS:
            rows[split] = []
            for path in found[split]:
                table = _Table(path)
                words = words or table.class_names()
                rows[split] += table.rows(self.root)
        classes = self._classes([row for split in SPLITS for row in rows[split]], words, verify)
        chosen = choose(choice, [entry.wnid for entry in classes.values()])
        labels = {label: chosen.index(entry.wnid) for label, entry in classes.items() if entry.wnid in chosen}
        images = {}
        for split in SPLITS:
            of_chosen = [row for row in rows[split] if row.label in labels]
            present = {labels[row.label] for row in of_chosen}
            if without := [wnid for label, wnid in enumerate(chosen) if label not in present]:
                raise ValueError(f"{self.root} has no {split} photograph of {without[0]}: download all its files.")
            images[split] = originals_of(
                (_name(row, f"{split}_{number:08d}.JPEG"), labels[row.label], row.file, row.row, row.size)
                for number, row in enumerate(of_chosen)
            )
            images[split] = images[split][np.argsort(images[split]["name"], kind="stable")]
        by_wnid = {entry.wnid: entry for entry in classes.values()}
        return Originals(
            classes=tuple(by_wnid[wnid] for wnid in chosen),
            images=images,
            locations=dict.fromkeys(SPLITS, self.root),
            source=self.identity(),
            verified=False,
        )

    def _classes(self, rows: Sequence[_Row], words: Sequence[str], verify: bool) -> dict[int, ImageClass]:
        """The class of each label: from the names of the photographs, those of the classes, or the development kit."""
        labels = sorted({row.label for row in rows if row.label >= 0})
        if max(labels, default=0) >= len(words):
            words = ()
        in_names = defaultdict[int, set[str]](set)
        for row in rows:
            match = LABELED.fullmatch(os.fsencode(row.name))
            in_names[row.label].add((match["label"] or match["own"] or b"").decode() if match else "")
        if all(len(in_names[label]) == 1 and "" not in in_names[label] for label in labels):
            wnids = {label: next(iter(in_names[label])) for label in labels}
            return {
                label: ImageClass(wnid, tuple(words[label].split(", ")) if words and words[label] != wnid else ())
                for label, wnid in wnids.items()
            }
        if words and all(len(word) == 9 and word[0] == "n" and word[1:].isdecimal() for word in words):
            return {label: ImageClass(words[label]) for label in labels}
        if self.devkit is None:
            raise ValueError(
                f"The files of {self.root} do not say which WordNet ids their labels mean: name the development kit "
                "with --devkit."
            )
        kit = checked_devkit(self.devkit, verify)[1].classes
        agreeing = sum(entry.names == tuple(word.split(", ")) for entry, word in zip(kit, words, strict=False))
        if len(words) != len(kit) or agreeing < _AGREEING * len(kit):
            raise ValueError(f"The classes of {self.root} are not those of {self.devkit}: name another source.")
        return {label: kit[label] for label in labels}


class RowReader:
    """Reads photographs from the Parquet files of a folder; quick where rows come in their order.

    Args:
        root: The folder.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._table: _Table | None = None
        self._group = -1
        self._images: list[bytes | None] = []

    def read(self, file: str, row: int) -> bytes:
        """The bytes of a photograph.

        Raises:
            ValueError: The file cannot be read.
        """
        if self._table is None or self._table.path != self._root / file:
            self._table, self._group = _Table(self._root / file), -1
        group = int(np.searchsorted(self._table.ends, row, side="right"))
        if group != self._group:
            self._images, self._group = self._table.images(group), group
        return self._images[row - self._table.ends[group] + len(self._images)] or b""


class _Table:
    """An open file.

    Attributes:
        path: The file.
        ends: For each group of rows, the number of the row behind it.

    Raises:
        ValueError: The library is missing, or the file is damaged or has other columns.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            from pyarrow import parquet  # noqa: PLC0415  an extra
        except ImportError:
            raise ValueError(
                f"{path} is read by pyarrow, which is missing: install it (pip install pyarrow)."
            ) from None
        with self._errors():
            self._file = parquet.ParquetFile(path)
        self._metadata = self._file.metadata
        self._groups = [self._metadata.row_group(group) for group in range(self._metadata.num_row_groups)]
        self.ends: list[int] = np.cumsum([group.num_rows for group in self._groups]).tolist()
        names = self._file.schema_arrow.names
        image, label = (next((name for name in known if name in names), None) for known in (_IMAGE, _LABEL))
        if image is None or label is None:
            raise ValueError(f"{path} has the columns {', '.join(names)}: name files with an image and a label.")
        self._image, self._label = image, label
        kind = self._file.schema_arrow.field(image).type
        self._parts = {field.name for field in kind} if kind.num_fields else set()

    def class_names(self) -> list[str]:
        """Names of the classes in the order of their labels, where datasets has noted them."""
        try:
            noted = json.loads((self._file.schema_arrow.metadata or {})[b"huggingface"])
            return [str(name) for name in noted["info"]["features"][self._label]["names"]]
        except (KeyError, ValueError, TypeError):
            return []

    def rows(self, root: Path) -> Iterator[_Row]:
        """A line for each photograph."""
        has_paths = "path" in self._parts
        with self._errors():
            table = self._file.read(columns=[self._label, *([f"{self._image}.path"] if has_paths else [])])
            labels = table.column(self._label).to_pylist()
            images = table.column(self._image).to_pylist() if has_paths else [None] * len(labels)
        file = os.fsencode(self.path.relative_to(root))
        sizes = [self._mean_size(group) for group in self._groups for _ in range(group.num_rows)]
        for row, (image, label, size) in enumerate(zip(images, labels, sizes, strict=True)):
            name = os.path.basename((image or {}).get("path") or "")
            if not isinstance(label, int):
                raise ValueError(
                    f"{self.path}, row {row}: the label {label!r} is no number: name files that have them."
                )
            yield _Row(name, label, file, row, size)

    def images(self, group: int) -> list[bytes | None]:
        """The bytes of all photographs of a group of rows."""
        column = f"{self._image}.bytes" if self._parts else self._image
        with self._errors():
            read = self._file.read_row_group(group, columns=[column]).column(self._image).to_pylist()
        return [image and image["bytes"] for image in read] if self._parts else read

    def _mean_size(self, group: Any) -> int:
        column = f"{self._image}.bytes" if self._parts else self._image
        columns = (group.column(number) for number in range(group.num_columns))
        total = sum(part.total_uncompressed_size for part in columns if part.path_in_schema == column)
        return int(total // max(1, group.num_rows))

    @contextmanager
    def _errors(self) -> Iterator[None]:
        from pyarrow import ArrowException  # noqa: PLC0415  an extra

        try:
            yield
        except (OSError, ArrowException) as error:
            raise ValueError(
                f"{self.path} cannot be read ({' '.join(str(error).split())}): download it again."
            ) from None


def _name(row: _Row, otherwise: str) -> bytes:
    """Name in the copy: that of the published file, where the row has it."""
    match = LABELED.fullmatch(os.fsencode(row.name))
    return match["name"] + match["suffix"] if match else os.fsencode(row.name or otherwise)
