"""The published photographs, found and not yet read: what every form gives, and the three official archives."""

import errno
import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from datamodules.download import Checksum
from datamodules.imagenet.forms import DEVKIT, TRAIN, VAL
from datamodules.imagenet.preparation.archives import PUBLISHED, Members, check_digest, list_members
from datamodules.imagenet.preparation.classes import ClassChoice, Devkit, choose, read_devkit
from datamodules.photographs.index import RECORD, ImageClass
from records.files import whole_file, write_json

ORIGINAL = np.dtype(
    [
        ("name", "S32"),  # in the copy; longer if need be
        ("label", "<i4"),
        ("file", "S1"),  # within the folder of its split, as long as need be; empty in an archive
        ("offset", "<u8"),  # first byte in an archive, row in a Parquet file
        ("size", "<u8"),  # bytes; of a Parquet file's photographs, their mean
    ]
)
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


class Published(Protocol):
    """A form in which photographs are published."""

    def identity(self) -> dict[str, Any]:
        """What tells whether a begun preparation goes on with the same photographs; ValueError if they are missing."""

    def find(self, choice: ClassChoice, notes: Path, *, verify: bool) -> Originals:
        """Find the photographs.

        Args:
            choice: Which classes.
            notes: Folder that keeps what took long to find.
            verify: Whether archives must have the published MD5.

        Raises:
            ValueError: Something is missing or damaged, or parts do not belong together.
        """


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
        """Find the photographs; the notes keep what one pass over an archive gave."""
        checked = _CheckedArchives(notes, verify)
        devkit_md5, devkit = checked_devkit(self.devkit, verify)
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


def originals_of(rows: Iterable[tuple[bytes, int, bytes, int, int]]) -> npt.NDArray[Any]:
    """One `ORIGINAL` for each row of name, label, file, offset and size."""
    found = list(rows)
    longest_name = max((len(name) for name, *_ in found), default=0)
    longest_file = max((len(file) for _, _, file, *_ in found), default=0)
    widths = {"name": f"S{max(longest_name, MAX_NAME_BYTES)}", "file": f"S{max(longest_file, 1)}"}
    return np.array(found, [(name, widths.get(name, ORIGINAL[name].str)) for name in ORIGINAL.fields or ()])


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


def checked_devkit(path: Path, verify: bool) -> tuple[str | None, Devkit]:
    """Read the development kit; with its MD5, if that is to be the published one.

    Raises:
        ValueError: It is another file, or damaged.
    """
    md5 = None
    if verify:
        try:
            md5 = PUBLISHED[DEVKIT].of(path)
        except OSError as error:
            raise ValueError(f"{path} cannot be read ({error.strerror}): name {DEVKIT} with --devkit.") from None
        check_digest(path, md5, PUBLISHED[DEVKIT])
    return md5, read_devkit(path)


@contextmanager
def errors_of_reading(path: Path) -> Iterator[None]:
    """Say in one sentence that a file cannot be read.

    Raises:
        ValueError: An operation of the block raised OSError.
    """
    try:
        yield
    except OSError as error:
        raise ValueError(f"{path} cannot be read ({error}): restore it, and give the same command again.") from None


class _CheckedArchives:
    """Checks archives, and keeps what one pass over 138 GB gave, so that a preparation that goes on need not repeat it.

    A note in the folder holds while an archive's size and time of change stay what they were.
    """

    def __init__(self, folder: Path, verify: bool) -> None:
        self.folder = folder
        self.verify = verify

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
