"""One shard: a plain tar of IMAGE.jpg and IMAGE.cls, as `tar` and WebDataset read it, the same bytes every time."""

import hashlib
import tarfile
from pathlib import Path
from types import TracebackType
from typing import Self

_END = bytes(2 * tarfile.BLOCKSIZE)


class ShardWriter:
    """Writes a shard from its first byte to its last, and hashes it on the way.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb")
        self._digest = hashlib.sha256()
        self.bytes = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        try:
            if kind is None:
                self._write(_END)
        finally:
            self._file.close()

    @property
    def sha256(self) -> str:
        """Of what has been written."""
        return self._digest.hexdigest()

    def add(self, stem: str, data: bytes, label: int) -> int:
        """Append a photograph and its label.

        Args:
            stem: Name of both members, without a suffix.
            data: The JPEG.
            label: Place of its class.

        Returns:
            Where the JPEG begins in the shard.
        """
        offset = self._member(f"{stem}.jpg", data)
        self._member(f"{stem}.cls", str(label).encode())
        return offset

    def _member(self, name: str, data: bytes) -> int:
        header = tarfile.TarInfo(name)  # time, owner and group 0: nothing that differs between two preparations
        header.size = len(data)
        self._write(header.tobuf(tarfile.USTAR_FORMAT))
        offset = self.bytes
        self._write(data)
        self._write(bytes(-len(data) % tarfile.BLOCKSIZE))
        return offset

    def _write(self, data: bytes) -> None:
        self._file.write(data)
        self._digest.update(data)
        self.bytes += len(data)
