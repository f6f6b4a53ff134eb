"""A prepared copy, opened: the bytes of any photograph by its row in a split."""

import hashlib
import os
import zlib
from pathlib import Path
from threading import Lock
from typing import Any

import fsspec
import numpy as np
import numpy.typing as npt
from fsspec.spec import AbstractFileSystem

from datamodules.photographs.decoder import BrokenImageError
from datamodules.photographs.folder import shown
from datamodules.photographs.index import MANIFEST, RECORD, Manifest, SplitEntry, manifest_from_json
from records.files import write_whole

CACHE = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "landmark-image-networks"


class Store:
    """Files under a folder of this machine, read in any order, from several threads at once.

    Shards stay open, files that are read whole do not.
    """

    def __init__(self, root: Path | str) -> None:
        self.root = str(root)
        self._open: dict[str, int] = {}
        self._lock = Lock()

    def read(self, path: str, offset: int = 0, size: int | None = None) -> bytes:
        """`size` bytes of a file from `offset`, or all that follow; its path is from the root, with forward slashes.

        Raises:
            OSError: The file is not there or cannot be read.
        """
        if size is None:
            with open(f"{self.root}/{path}", "rb", buffering=0) as file:
                file.seek(offset)
                return file.read()
        return os.pread(self._descriptor(path), size, offset)

    def _descriptor(self, path: str) -> int:
        with self._lock:
            if path not in self._open:
                self._open[path] = os.open(f"{self.root}/{path}", os.O_RDONLY)
            return self._open[path]

    def __del__(self) -> None:
        for descriptor in self._open.values():
            os.close(descriptor)


class RemoteStore(Store):
    """Files behind a URL, each read by a request of its own.

    Args:
        root: Such as s3://bucket/imagenet; its library, here s3fs, must be installed.

    Raises:
        ValueError: The library for such URLs is missing.
    """

    def __init__(self, root: str) -> None:
        super().__init__(root)
        try:
            self._files: AbstractFileSystem
            self._files, self._base = fsspec.core.url_to_fs(root)
        except (ImportError, ValueError) as error:
            raise ValueError(
                f"{root} cannot be opened ({error}): install the library that fsspec wants, such as s3fs for s3://."
            ) from None

    def read(self, path: str, offset: int = 0, size: int | None = None) -> bytes:
        """As of `Store`."""
        end = None if size is None else offset + size
        content: bytes = self._files.cat_file(f"{self._base}/{path}", start=offset, end=end)
        return content


def store_at(root: str) -> Store:
    """The store for a folder, or for a URL that fsspec reads, such as s3://bucket/imagenet."""
    return RemoteStore(root) if "://" in root else Store(Path(root).expanduser())


class PreparedSplit:
    """The photographs of one split, train or val, with a `RECORD` for each.

    With `verify`, the checksum of each photograph is compared when it is read.
    """

    def __init__(
        self, store: Store, name: str, manifest: Manifest, records: npt.NDArray[Any], verify: bool = True
    ) -> None:
        self.store = store
        self.name = name
        self.records = records
        self.verify = verify and manifest.source.get("checksums", True)
        self._classes = [entry.wnid for entry in manifest.classes]
        self._shards = [shard.file for shard in manifest.splits[name].shards]

    def file(self, row: int) -> str:
        """Path of the published file of a photograph, for messages: split, class and name."""
        return shown(self._path(row))

    def _path(self, row: int) -> str:
        record = self.records[row]
        return f"{self.name}/{self._classes[record['label']]}/{os.fsdecode(record['name'])}"

    def read(self, row: int) -> bytes:
        """The bytes of a photograph.

        Raises:
            BrokenImageError: They cannot be read, or are not those that were there when the copy was prepared.
        """
        record = self.records[row]
        size = int(record["size"])
        try:
            if self._shards:
                data = self.store.read(self._shards[record["shard"]], int(record["offset"]), size)
            else:
                data = self.store.read(self._path(row))
        except OSError as error:
            raise BrokenImageError(f"it cannot be read from {self.store.root} ({error})") from None
        if len(data) != size or (self.verify and zlib.crc32(data) != record["crc32"]):
            raise BrokenImageError(f"it has changed since {self.store.root} was prepared")
        return data


class PreparedCopy:
    """A prepared copy of photographs.

    Args:
        root: Its folder, or its URL.

    Raises:
        ValueError: There is none, or its manifest cannot be read.
    """

    def __init__(self, root: str) -> None:
        self.store = store_at(root)
        try:
            text = self.store.read(MANIFEST).decode()
        except FileNotFoundError:
            raise ValueError(
                f"There is no prepared ImageNet at {root} (it would have a {MANIFEST}): make one with "
                "`python -m datamodules.imagenet prepare`, or name the folder that has one (--data.root)."
            ) from None
        except (OSError, UnicodeDecodeError) as error:
            raise ValueError(f"{root}/{MANIFEST} cannot be read ({error}): check --data.root.") from None
        self.manifest = manifest_from_json(text, f"{root}/{MANIFEST}")

    def split(self, name: str, verify: bool = True) -> PreparedSplit:
        """Open a split; takes milliseconds, whatever its size.

        Raises:
            ValueError: It is missing, or its index does not belong to the manifest.
        """
        entry = self.manifest.splits.get(name)
        if entry is None:
            raise ValueError(f"{self.store.root} has no {name} split: prepare it with the archive of {name}.")
        records = self._records(name, entry)
        if records.dtype.descr[:-1] != RECORD.descr[:-1] or len(records) != entry.images:
            raise ValueError(f"{self.store.root}/{name}.npy is not what {MANIFEST} says: prepare it again.")
        return PreparedSplit(self.store, name, self.manifest, records, verify)

    def _records(self, name: str, entry: SplitEntry) -> npt.NDArray[Any]:
        """The index, mapped: from the copy's folder or, of a remote copy, from a file in the user's cache."""
        path = Path(self.store.root) / f"{name}.npy"
        if "://" in self.store.root:
            path = CACHE / f"{entry.index_sha256}.npy"
            if not path.exists():
                content = self.store.read(f"{name}.npy")
                if hashlib.sha256(content).hexdigest() != entry.index_sha256:
                    raise ValueError(f"{self.store.root}/{name}.npy is not what {MANIFEST} says: prepare it again.")
                write_whole(path, content, shared=True)  # each process of a run may
        try:
            records: npt.NDArray[Any] = np.load(path, mmap_mode="r")
        except (OSError, ValueError) as error:
            raise ValueError(f"{path} cannot be read ({error}): prepare the data set again.") from None
        return records
