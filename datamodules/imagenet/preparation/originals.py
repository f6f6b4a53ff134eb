"""The published photographs, found and not yet read: in the three official archives, or in a folder tree."""

import errno
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from datamodules.download import Checksum
from datamodules.imagenet.preparation.archives import (
    DEVKIT,
    PUBLISHED,
    TRAIN,
    VAL,
    Members,
    check_digest,
    list_members,
)
from datamodules.imagenet.preparation.classes import ClassChoice, choose, read_devkit
from datamodules.photographs.folder import SPLIT_FOLDERS, read_folder, shown
from datamodules.photographs.index import RECORD, SPLITS, ImageClass
from records.files import whole_file, write_json

ORIGINAL = np.dtype([("name", "S32"), ("label", "<i4"), ("offset", "<u8"), ("size", "<u8")])
MAX_NAME_BYTES = RECORD["name"].itemsize
_FULL_DISK = {errno.ENOSPC, errno.EDQUOT}


@dataclass(frozen=True)
class Originals:
    """Photographs that have been found, and their classes.

    Attributes:
        classes: In the order of their labels.
        images: For each split, one `ORIGINAL` for each photograph, in the order of the index.
        locations: For each split, its archive or its folder.
        source: What the manifest says of them.
        verified: Whether they are from the published archives, as their MD5 says.
    """

    classes: tuple[ImageClass, ...]
    images: dict[str, npt.NDArray[Any]]
    locations: dict[str, Path]
    source: dict[str, Any]
    verified: bool


@dataclass(frozen=True)
class Archives:
    """The three official archives.

    Attributes:
        train: ILSVRC2012_img_train.tar.
        val: ILSVRC2012_img_val.tar.
        devkit: ILSVRC2012_devkit_t12.tar.gz.
    """

    train: Path
    val: Path
    devkit: Path

    def identity(self) -> dict[str, Any]:
        """Names and sizes, which tell whether a begun preparation goes on with the same archives.

        Raises:
            ValueError: An archive is missing.
        """
        files = {"train": (self.train, TRAIN), "val": (self.val, VAL), "devkit": (self.devkit, DEVKIT)}
        for option, (path, official) in files.items():
            if not path.is_file():
                raise ValueError(
                    f"{path} is missing: download {official} from image-net.org (it asks for an account) and name it "
                    f"with --{option}, or its folder with --archives."
                )
        return {option: {"file": path.name, "bytes": path.stat().st_size} for option, (path, _) in files.items()}

    def find(self, choice: ClassChoice, notes: Path, *, verify: bool) -> Originals:
        """Find the photographs.

        Args:
            choice: Which classes.
            notes: Folder that keeps what one pass over an archive gave.
            verify: Whether the archives must have the published MD5.

        Raises:
            ValueError: An archive is damaged or another one, or they do not belong together.
        """
        checked = _CheckedArchives(notes, verify)
        devkit_md5 = checked.check(self.devkit, PUBLISHED[DEVKIT])
        devkit = read_devkit(self.devkit)
        chosen = choose(choice, [entry.wnid for entry in devkit.classes])
        # the small one first: what does not fit is said before 138 GB are read
        val, val_md5 = checked.members(self.val, PUBLISHED[VAL], of_classes=False)
        if len(val) != len(devkit.val_wnids):
            raise ValueError(
                f"{self.val} holds {len(val)} photographs, but {self.devkit.name} has labels for "
                f"{len(devkit.val_wnids)}: name archives that belong together, complete."
            )
        val = val[np.argsort(val["name"])]
        val["wnid"] = devkit.val_wnids
        train, train_md5 = checked.members(self.train, PUBLISHED[TRAIN], of_classes=True)
        _check_classes(self.train, train, [entry.wnid for entry in devkit.classes], self.devkit.name)
        identity = self.identity()
        for option, md5 in (("train", train_md5), ("val", val_md5), ("devkit", devkit_md5)):
            identity[option]["md5"] = md5
        return Originals(
            classes=tuple(entry for entry in devkit.classes if entry.wnid in chosen),
            images={"train": _of_classes(train, chosen), "val": _of_classes(val, chosen)},
            locations={"train": self.train, "val": self.val},
            source=identity,
            verified=verify,
        )


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
            if not any((self.root / os.fsdecode(name)).is_dir() for name in SPLIT_FOLDERS[split]):
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
        folder = read_folder(self.root, SPLITS)
        if folder.beside:
            name = shown(folder.beside[0])
            raise ValueError(f"{self.root / name} is no folder of a class: move it elsewhere.")
        folder.check_classes(complete=True)
        names = {_decoded(self.root, name): name for name in folder.classes}
        words = {}
        if self.devkit is not None:
            _CheckedArchives(notes, verify).check(self.devkit, PUBLISHED[DEVKIT])
            words = {entry.wnid: entry.names for entry in read_devkit(self.devkit).classes}
        chosen = choose(choice, list(names))
        images = {}
        for split in SPLITS:
            rows = [
                (name, label, 0, size)
                for label, wnid in enumerate(chosen)
                for files in [folder.splits[split][names[wnid]]]
                for name, size in zip(files.names, files.sizes, strict=True)
            ]
            longest = max(len(name) for name, *_ in rows)
            found = np.array(rows, [("name", f"S{max(longest, MAX_NAME_BYTES)}"), *ORIGINAL.descr[1:]])
            images[split] = found[np.argsort(found["name"], kind="stable")] if split == "val" else found
        return Originals(
            classes=tuple(ImageClass(wnid, words.get(wnid, ())) for wnid in chosen),
            images=images,
            locations={split: folder.path(split) for split in SPLITS},
            source=self.identity(),
            verified=False,
        )


Published = Archives | Tree


@contextmanager
def reading(location: Path, wnids: tuple[str, ...]) -> Iterator[Callable[[Any], bytes]]:
    """Open an archive or a folder, and get a function that reads an `ORIGINAL` of it.

    Args:
        location: The archive or the folder.
        wnids: Classes in the order of their labels.

    Yields:
        The function. It raises ValueError if the disk or the network fails, which is no fault of the image.
    """
    if location.is_dir():
        yield lambda image: _read_file(location / wnids[image["label"]] / os.fsdecode(image["name"]))
        return
    with _errors_of_reading(location):
        file = location.open("rb", buffering=0)
    with file:
        yield lambda image: _read_part(location, file.fileno(), int(image["offset"]), int(image["size"]))


@contextmanager
def errors_of_writing_to(folder: Path) -> Iterator[None]:
    """Say in one sentence that a folder cannot be written to.

    Raises:
        ValueError: An operation of the block raised OSError.
    """
    try:
        yield
    except OSError as error:
        if error.errno in _FULL_DISK:
            raise ValueError(
                f"The disk of {folder} is full: free some space and give the same command again, "
                "which goes on with what is finished."
            ) from None
        raise ValueError(f"{folder} cannot be written to ({error}): name another folder, or repair this one.") from None


class _CheckedArchives:
    """Checks archives, and keeps what one pass over 138 GB gave, so that a preparation that goes on need not repeat it.

    A note in the folder holds while an archive's size and time of change stay what they were.
    """

    def __init__(self, folder: Path, verify: bool) -> None:
        self.folder = folder
        self.verify = verify

    def check(self, path: Path, checksum: Checksum) -> str | None:
        """Compare a small archive with its digest and return that; None if nothing is to be verified."""
        if not self.verify:
            return None
        try:
            found = checksum.of(path)
        except OSError as error:
            raise ValueError(f"{path} cannot be read ({error}): download it again.") from None
        check_digest(path, found, checksum)
        return found

    def members(self, path: Path, checksum: Checksum, *, of_classes: bool) -> tuple[Members, str | None]:
        """Find the photographs of an archive, or remember them; see `list_members`."""
        status = path.stat()
        state = {"bytes": status.st_size, "modified": status.st_mtime_ns}
        note, members_file = (self.folder / f"{path.name}{suffix}" for suffix in (".json", ".npy"))
        try:
            noted = json.loads(note.read_text(encoding="utf-8"))
            digest = noted.pop("digest")
            if noted == state and (digest == checksum.digest or not self.verify):
                return np.load(members_file), digest if self.verify else None
        except (OSError, ValueError, KeyError):
            pass  # no note yet
        members, digest = list_members(path, checksum if self.verify else None, of_classes=of_classes)
        with errors_of_writing_to(self.folder):
            with whole_file(members_file) as file:
                np.save(file, members)
            write_json(note, {**state, "digest": digest})
        return members, digest


def _check_classes(path: Path, members: Members, wnids: list[str], devkit: str) -> None:
    found = {wnid.decode() for wnid in np.unique(members["wnid"])}
    missing, unknown = sorted(set(wnids) - found), sorted(found - set(wnids))
    if missing or unknown:
        first = f"no photograph of {missing[0]}" if missing else f"{unknown[0]}"
        raise ValueError(
            f"{path} holds {first} ({len(missing)} classes missing, {len(unknown)} unknown to {devkit}): "
            "name archives that belong together, complete."
        )


def _of_classes(members: Members, wnids: tuple[str, ...]) -> npt.NDArray[Any]:
    """One `ORIGINAL` for each photograph of the classes; labels number the sorted wnids."""
    chosen = members[np.isin(members["wnid"], np.array(wnids, "S9"))]
    chosen = chosen[np.argsort(chosen["name"])]
    images = np.zeros(len(chosen), ORIGINAL)
    for name in ("name", "offset", "size"):
        images[name] = chosen[name]
    images["label"] = np.searchsorted(np.array(wnids), chosen["wnid"].astype(str))
    return images


def _decoded(root: Path, name: bytes) -> str:
    """A name that a manifest can hold."""
    try:
        return name.decode()
    except UnicodeDecodeError:
        raise ValueError(f"{root}: the name of the class {shown(name)} is no text in UTF-8: rename it.") from None


def _read_file(path: Path) -> bytes:
    with _errors_of_reading(path):
        return path.read_bytes()


def _read_part(path: Path, descriptor: int, offset: int, size: int) -> bytes:
    with _errors_of_reading(path):
        data = os.pread(descriptor, size, offset)
    if len(data) != size:
        raise ValueError(f"{path} ends before byte {offset + size:,}: download it again.")
    return data


@contextmanager
def _errors_of_reading(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ValueError(f"{path} cannot be read ({error}): restore it, and give the same command again.") from None
