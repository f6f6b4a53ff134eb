"""Photographs in a folder for each class."""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from datamodules.imagenet.preparation.archives import DEVKIT, MEMBER, PUBLISHED
from datamodules.imagenet.preparation.class_lists import ClassChoice, choose
from datamodules.imagenet.preparation.devkit import read_devkit
from datamodules.imagenet.preparation.found_photographs import Originals, labeled
from datamodules.imagenet.preparation.noted_archives import NotedArchives
from datamodules.photographs.index import RECORD, SPLITS, ImageClass

LONGEST_NAME = RECORD["name"].itemsize
_IN_TREE = np.dtype([("wnid", "O"), *((name, MEMBER[name]) for name in ("name", "offset", "size"))])
_CLASS_FOLDER = re.compile(r"[A-Za-z0-9_-]+")


@dataclass(frozen=True)
class Tree:
    """A folder as ImageFolder reads it: train/n01440764/….JPEG and val/n01440764/….JPEG.

    Attributes:
        root: The folder.
        devkit: ILSVRC2012_devkit_t12.tar.gz for the names of the classes; None leaves them out.
    """

    root: Path
    devkit: Path | None = None

    def identity(self) -> dict[str, Any]:
        """The path, which tells whether a begun preparation goes on with the same tree.

        Raises:
            ValueError: There is no such tree.
        """
        for split in SPLITS:
            if not (self.root / split).is_dir():
                raise ValueError(
                    f"{self.root / split} is missing: name with --tree a folder that has train/CLASS/IMAGE "
                    "and val/CLASS/IMAGE."
                )
        return {"tree": str(self.root)}

    def find(self, choice: ClassChoice, notes: Path, *, verify: bool) -> Originals:
        """Find the photographs; a tree has nothing to verify them by.

        Args:
            choice: Which classes.
            notes: Not used.
            verify: Whether the development kit, if there is one, must have the published MD5.

        Raises:
            ValueError: Classes are missing, or names that must differ are the same.
        """
        classes = {split: sorted(entry.name for entry in _visible(self.root / split)) for split in SPLITS}
        for split, other in (SPLITS, SPLITS[::-1]):
            missing = sorted(set(classes[other]).difference(classes[split]))
            if missing:
                raise ValueError(
                    f"{self.root / split} has no folder {missing[0]} ({len(missing)} missing that "
                    f"{self.root / other} has): restore it, or remove the class from both."
                )
        words = {}
        if self.devkit is not None:
            NotedArchives(notes, verify).check(self.devkit, PUBLISHED[DEVKIT])
            words = {entry.wnid: entry.names for entry in read_devkit(self.devkit).classes}
        chosen = choose(choice, classes["train"])
        images = {}
        for split in SPLITS:
            found = np.array([row for wnid in chosen for row in _files_of_class(self.root / split / wnid)], _IN_TREE)
            if split == "val":
                found = found[np.argsort(found["name"], kind="stable")]
            images[split] = labeled(found, chosen)
        return Originals(
            classes=tuple(ImageClass(wnid, words.get(wnid, ())) for wnid in chosen),
            images=images,
            places={split: self.root / split for split in SPLITS},
            source=self.identity(),
            verified=False,
        )


def _visible(folder: Path) -> Iterator[os.DirEntry[str]]:
    """Entries that are not hidden, as .DS_Store is."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if not entry.is_dir() or not _CLASS_FOLDER.fullmatch(entry.name):
                raise ValueError(f"{entry.path} is no folder of a class (letters, digits, - and _): move it elsewhere.")
            yield entry


def _files_of_class(folder: Path) -> list[tuple[str, bytes, int, int]]:
    files = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            name = os.fsencode(entry.name)
            if len(name) > LONGEST_NAME or not name.isascii() or not entry.is_file():
                raise ValueError(
                    f"{entry.path} is no file with a name of at most {LONGEST_NAME} plain characters: rename it."
                )
            files.append((folder.name, name, 0, entry.stat().st_size))
    if not files:
        raise ValueError(f"{folder} has no image: restore it, or remove the class from train and val.")
    return sorted(files)
