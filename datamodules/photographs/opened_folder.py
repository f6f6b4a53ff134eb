"""A folder of images, opened: its index lies in the user's cache, and another one is made where the folder has changed.

    CACHE/folders/HASH OF THE FOLDER'S PATH/DIGEST OF WHAT IT HOLDS/
        train.npy            one `RECORD` for each image; no pixels: it is none that can be read
        train.times.npy      when each was last changed
        train.classes.npy    names of the classes' folders

At each start one pass over the folder finds names, sizes and times. Where their digest names an index, that is it; no
index is ever changed, so any number of processes may do this at once. Otherwise the headers of files that are new or
have changed are read; what the others hold, the last index knows.
"""

import hashlib
import os
import secrets
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from filelock import FileLock
from lightning.pytorch.utilities import rank_zero_info
from tqdm import tqdm

from datamodules.photographs import reader
from datamodules.photographs.decoder import BrokenImageError, read_header, with_eight_bits
from datamodules.photographs.folder import Files, Folder, Tally, has_class_folders, read_folder, shown
from datamodules.photographs.index import MANIFEST, RECORD, SPLITS, ImageClass, Manifest, SplitEntry, record_dtype
from datamodules.photographs.reader import PreparedCopy, PreparedSplit, Store
from records.files import PART, UnreadableError, open_regular, read_json, whole_file

HEADER_BYTES = 1 << 16
THREADS = 16  # they wait for the disk
KEPT = 4  # indices of a folder: what it was before can be named
SIXTEEN_BITS = 1  # in `RECORD`'s field shard, for which a folder has no other use


class SplitIndex(NamedTuple):
    """What is known of the images of a split.

    Attributes:
        classes: Names of the classes' folders, in the order of their labels; the same for all splits.
        records: One `RECORD` for each image, in the order of their names.
        times: When each was last changed, in nanoseconds.
    """

    classes: npt.NDArray[np.bytes_]
    records: npt.NDArray[Any]
    times: npt.NDArray[np.int64]

    @property
    def identity(self) -> str:
        """A digest of names, sizes and labels, the same wherever the folder lies and whenever it was copied there."""
        digest = hashlib.blake2b(self.records[["label", "size", "name"]].tobytes(), digest_size=16)
        digest.update(b"\0".join(self.classes.tolist()))
        return digest.hexdigest()

    def images(self, name: bytes) -> dict[bytes, tuple[int, int, tuple[int, int, int]]]:
        """Size, time, and width, height and bits of each image of a class, by its name."""
        labels = np.flatnonzero(self.classes == name)
        rows = np.flatnonzero(np.isin(self.records["label"], labels))
        records, times = self.records[rows], self.times[rows].tolist()
        headers = zip(*(records[key].tolist() for key in ("width", "height", "shard")), strict=True)
        states = zip(records["size"].tolist(), times, headers, strict=True)
        return dict(zip(records["name"].tolist(), states, strict=True))


Index = dict[str, SplitIndex]


class FolderSplit(PreparedSplit):
    """The images of one split of a folder, with a `RECORD` for each."""

    def __init__(self, folder: Folder, name: str, manifest: Manifest, records: npt.NDArray[Any]) -> None:
        super().__init__(Store(folder.root), name, manifest, records, verify=False)
        self._folder = folder

    def path(self, row: int) -> Path:
        """The file of an image."""
        record = self.records[row]
        place = os.path.join(self._folder.folders[self.name], self._folder.classes[record["label"]], record["name"])
        return self._folder.root / os.fsdecode(place)

    def file(self, row: int) -> str:
        """Its path within the root, for messages."""
        return shown(os.fsencode(self.path(row).relative_to(self._folder.root)))

    def read(self, row: int) -> bytes:
        """The bytes of an image, of 8 bits a channel.

        Raises:
            BrokenImageError: They cannot be read, are no image, or not those that were there at the start.
        """
        record = self.records[row]
        try:
            with open_regular(self.path(row)) as file:
                data = file.read()
        except (UnreadableError, OSError) as error:
            raise BrokenImageError(f"it cannot be read from {self.store.root} ({error})") from None
        if len(data) != record["size"]:
            raise BrokenImageError("it has changed since the run was started")
        return with_eight_bits(data) if record["shard"] == SIXTEEN_BITS else data


class OpenedFolder:
    """A folder of images with its index, as `PreparedCopy` is a prepared copy with one.

    Args:
        root: The folder.
        complete: Whether only train and val are of interest, and both must have all classes.

    Raises:
        ValueError: It is not there, or holds no image, or the classes of its splits do not fit together.
    """

    def __init__(self, root: Path, complete: bool = False) -> None:
        self.folder = read_folder(root, SPLITS) if complete else read_folder(root)
        self.folder.check_classes(complete=complete)
        path = os.fsencode(os.path.realpath(root))
        self._place = reader.CACHE / "folders" / hashlib.sha256(path).hexdigest()[:32]
        self._index = self._load_or_make()
        self.manifest = Manifest(
            layout="tree",
            classes=tuple(ImageClass(shown(name) or "unlabeled") for name in self.folder.classes),
            splits={
                split: SplitEntry(len(index.records), int(index.records["size"].sum(dtype=np.int64)), "")
                for split, index in self._index.items()
            },
            source={"tree": str(root), "checksums": False},
        )

    def split(self, name: str, verify: bool = True) -> FolderSplit:
        """Open a split; there is no checksum that could be verified.

        Raises:
            ValueError: The folder has none of this name.
        """
        if name not in self._index:
            raise ValueError(f"{self.folder.root} has no folder {name}: restore it, or name another (--data.root).")
        return FolderSplit(self.folder, name, self.manifest, self._index[name].records)

    def identity(self, split: str) -> str:
        """See `SplitIndex`."""
        return self._index[split].identity

    def changes_since(self, split: str, identity: str) -> Tally | None:
        """What has changed in a split since it had an identity; None if that is not known any more."""
        for earlier in self._earlier():
            if split in earlier and earlier[split].identity == identity:
                changes = Tally()
                for name, files in self.folder.splits[split].items():
                    _compare(self.folder, split, name, files, earlier[split].images(name), changes, by_time=False)
                _add_classes_gone(self.folder, split, earlier[split], changes)
                return changes
        return None

    def _load_or_make(self) -> Index:
        path = self._place / self.folder.digest
        if (index := _load(path, self.folder)) is not None:
            with suppress(OSError):  # in a cache that may only be read
                os.utime(path)  # it is the latest again
            return index
        try:
            with _locked(self._place):  # the other processes of the host wait for the first
                if (index := _load(path, self.folder)) is None:
                    index = self._make()
                    _save(path, index)
                    self._remove_old()
        except OSError as error:
            index = self._make()
            rank_zero_info(
                f"The index of {self.folder.root} cannot be kept in {self._place} ({error.strerror}) and is made at "
                "each start: name a folder for caches that can be written to in the environment, XDG_CACHE_HOME."
            )
        return index

    def _make(self) -> Index:
        earlier = next(self._earlier(), {})
        changes = Tally()
        index = {split: _read_split(self.folder, split, earlier.get(split), changes) for split in self.folder.splits}
        if earlier:
            for split in earlier.keys() & index.keys():
                _add_classes_gone(self.folder, split, earlier[split], changes)
            if changes.counts:
                rank_zero_info(f"{self.folder.root} has changed since it was last read: {changes}.")
        return index

    def _earlier(self) -> Iterator[Index]:
        """What the folder was before, the latest first."""
        for path in self._saved():
            splits = [file.name.removesuffix(".times.npy") for file in path.glob("*.times.npy")]
            with suppress(OSError, ValueError, EOFError):
                yield {split: _load_split(path, split) for split in splits}

    def _saved(self) -> list[Path]:
        with suppress(OSError):
            found = [path for path in self._place.iterdir() if path.is_dir() and not path.name.endswith(PART)]
            return sorted(found, key=lambda path: path.stat().st_mtime, reverse=True)
        return []

    def _remove_old(self) -> None:
        for path in [*self._saved()[KEPT:], *self._place.glob(f"*{PART}")]:
            shutil.rmtree(path, ignore_errors=True)


def open_copy(root: str, complete: bool = False) -> PreparedCopy | OpenedFolder:
    """Open a prepared copy, here or at a URL, or a folder of images; see `OpenedFolder`.

    Raises:
        ValueError: There is neither.
    """
    folder = Path(root).expanduser()
    return PreparedCopy(root) if "://" in root or _is_prepared(folder) else OpenedFolder(folder, complete)


def _is_prepared(folder: Path) -> bool:
    """Whether a folder's manifest is that of a copy, and neither a user's own file nor an index of older versions."""
    if not (folder / MANIFEST).exists():
        return False
    try:
        content = read_json(folder / MANIFEST)
    except UnreadableError:
        content = {}
    source = content.get("source")
    if {"format", "layout", "splits"} <= content.keys() and isinstance(source, dict):
        return bool(source.get("checksums", True))
    return not has_class_folders(folder / "train")


@contextmanager
def _locked(place: Path) -> Iterator[None]:
    place.mkdir(parents=True, exist_ok=True)
    lock = FileLock(place / "lock")
    with suppress(NotImplementedError):  # on file systems that know no locks, the work is done twice
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _load(path: Path, folder: Folder) -> Index | None:
    """The index of what a folder holds now; None if it is not there, or damaged."""
    try:
        index = {split: _load_split(path, split) for split in folder.splits}
    except (OSError, ValueError, EOFError):
        return None
    fits = all(
        index[split].classes.tolist() == list(folder.classes)
        and len(index[split].records) == sum(len(files.names) for files in classes.values())
        for split, classes in folder.splits.items()
    )
    return index if fits else None


def _load_split(path: Path, split: str) -> SplitIndex:
    classes, times = np.load(path / f"{split}.classes.npy"), np.load(path / f"{split}.times.npy", mmap_mode="r")
    records = np.load(path / f"{split}.npy", mmap_mode="r")
    if records.dtype.names != RECORD.names or len(times) != len(records):
        raise ValueError(f"{path} is damaged")
    return SplitIndex(classes, records, times)


def _save(path: Path, index: Index) -> None:
    """Write an index; it is whole or not there."""
    part = path.with_name(f"{path.name}.{secrets.token_hex(4)}{PART}")
    try:
        for split, (classes, records, times) in index.items():
            for name, values in ((split, records), (f"{split}.classes", classes), (f"{split}.times", times)):
                with whole_file(part / f"{name}.npy") as file:
                    np.save(file, values)
        shutil.rmtree(path, ignore_errors=True)  # of a damaged one
        part.replace(path)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _read_split(folder: Folder, split: str, earlier: SplitIndex | None, changes: Tally) -> SplitIndex:
    """Make the index of a split; what has changed since the earlier one is counted."""
    found: list[tuple[Any, ...]] = []
    times: list[int] = []
    classes = folder.splits[split]
    count = sum(len(files.names) for files in classes.values())
    labels = {name: label for label, name in enumerate(folder.classes)}
    with (
        ThreadPoolExecutor(THREADS) as threads,
        tqdm(
            desc=f"index of {shown(folder.root.name)}, {split}", total=count, unit="", leave=False, delay=1
        ) as progress,
    ):
        for name, files in classes.items():
            known = earlier.images(name) if earlier else {}
            new = _compare(folder, split, name, files, known, changes if earlier else Tally())
            place = folder.path(split) / os.fsdecode(name)
            paths = [place / os.fsdecode(file) for file in new]
            headers = dict(zip(new, threads.map(_header, paths), strict=True))
            for file, size, time in zip(*files, strict=True):
                width, height, bits = headers[file] if file in headers else known[file][2]
                found.append((bits, 0, min(size, 2**32 - 1), 0, labels.get(name, -1), width, height, file))
                times.append(time)
            progress.update(len(files.names))
    longest = max((len(record[-1]) for record in found), default=1)
    records = np.array(found, record_dtype(longest))
    order = np.argsort(records["name"], kind="stable")
    return SplitIndex(np.array(folder.classes, np.bytes_), records[order], np.array(times, np.int64)[order])


def _compare(
    folder: Folder,
    split: str,
    name: bytes,
    files: Files,
    known: dict[bytes, tuple[int, int, tuple[int, int, int]]],
    changes: Tally,
    *,
    by_time: bool = True,
) -> list[bytes]:
    """Count what has changed in a class; returns the files that are new or have changed."""
    place = os.path.join(folder.folders[split], name)
    new = []
    for file, size, time in zip(*files, strict=True):
        before = known.get(file)
        if before is not None and before[0] == size and (before[1] == time or not by_time):
            continue
        new.append(file)
        changes.add("new" if before is None else "changed", os.path.join(place, file))
    for file in sorted(known.keys() - set(files.names)):
        changes.add("gone", os.path.join(place, file))
    return new


def _add_classes_gone(folder: Folder, split: str, earlier: SplitIndex, changes: Tally) -> None:
    for name in set(earlier.classes.tolist()).difference(folder.splits[split]):
        for file in sorted(earlier.images(name)):
            changes.add("gone", os.path.join(folder.folders[split], name, file))


def _header(path: Path) -> tuple[int, int, int]:
    """Width, height, and `SIXTEEN_BITS` if so; no pixels where it is no image that can be read."""
    try:
        with open_regular(path) as file:
            head = file.read(HEADER_BYTES)
            width, height, sixteen_bits = read_header(head)
            if not width and len(head) == HEADER_BYTES:  # the header of a TIFF may stand at its end
                width, height, sixteen_bits = read_header(head + file.read())
    except (UnreadableError, OSError):
        return 0, 0, 0
    return width, height, SIXTEEN_BITS if sixteen_bits else 0
