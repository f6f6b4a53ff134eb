"""Bytes of files under a root: a folder of this machine, or anything that fsspec reads, such as s3://bucket/imagenet."""

import os
from pathlib import Path
from threading import Lock
from typing import Protocol

import fsspec
from fsspec.spec import AbstractFileSystem

MOST_OPEN_FILES = 512


class Store(Protocol):
    """Files that are read in any order, from several threads at once."""

    root: str

    def read(self, path: str, offset: int = 0, size: int | None = None) -> bytes:
        """Part of a file, or all of it.

        Args:
            path: From the root, with forward slashes.
            offset: First byte.
            size: How many; None for all that follow.

        Raises:
            OSError: The file is not there or cannot be read.
        """


class LocalStore:
    """A folder of this machine. Shards stay open, files that are read whole do not.

    Args:
        root: The folder.
    """

    def __init__(self, root: Path) -> None:
        self.root = str(root)
        self._open: dict[str, int] = {}
        self._lock = Lock()

    def read(self, path: str, offset: int = 0, size: int | None = None) -> bytes:
        """See `Store.read`."""
        if size is None:
            with open(f"{self.root}/{path}", "rb", buffering=0) as file:
                file.seek(offset)
                return file.read()
        return os.pread(self._descriptor(path), size, offset)

    def _descriptor(self, path: str) -> int:
        descriptor = self._open.get(path)
        if descriptor is None:
            with self._lock:
                descriptor = self._open.get(path)
                if descriptor is None:
                    descriptor = self._open[path] = os.open(f"{self.root}/{path}", os.O_RDONLY)
        return descriptor

    def __del__(self) -> None:
        for descriptor in self._open.values():
            os.close(descriptor)


class RemoteStore:
    """Files behind a URL, each read by a request of its own.

    Args:
        root: Such as s3://bucket/imagenet; its library, here s3fs, must be installed.

    Raises:
        ValueError: The library for such URLs is missing.
    """

    def __init__(self, root: str) -> None:
        self.root = root
        try:
            self._files: AbstractFileSystem
            self._files, self._base = fsspec.core.url_to_fs(root)
        except (ImportError, ValueError) as error:
            raise ValueError(
                f"{root} cannot be opened ({error}): install the library that fsspec wants, such as s3fs for s3://."
            ) from None

    def read(self, path: str, offset: int = 0, size: int | None = None) -> bytes:
        """See `Store.read`."""
        end = None if size is None else offset + size
        content: bytes = self._files.cat_file(f"{self._base}/{path}", start=offset, end=end)
        return content


def store_at(root: str) -> Store:
    """The store for a folder or a URL."""
    return RemoteStore(root) if "://" in root else LocalStore(Path(root).expanduser())
