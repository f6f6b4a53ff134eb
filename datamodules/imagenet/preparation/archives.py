"""Where the photographs lie in the official archives, found without unpacking anything.

The training archive is a tar of a tar for each class, the validation archive a tar of photographs. One pass over an
archive gives both its MD5 and the place of each photograph in it; later, any process reads any photograph from there.
"""

import re
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, BinaryIO, cast

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from datamodules.download import Checksum
from datamodules.imagenet.forms import DEVKIT, TRAIN, VAL

PUBLISHED = {
    # as torchvision.datasets.ImageNet has them
    TRAIN: Checksum("md5", "1d675b47d978889d74fa0da5fadfb00e"),
    VAL: Checksum("md5", "29b22e2961454d5413ddabcf34fc5622"),
    DEVKIT: Checksum("md5", "fa75699e90414af021442c21a62c3abf"),
}

MEMBER = np.dtype([("wnid", "S9"), ("name", "S32"), ("offset", "<u8"), ("size", "<u8")])
Members = npt.NDArray[Any]

_CLASS = re.compile(r"(n\d{8})\.tar")
_TRAIN_IMAGE = re.compile(r"n\d{8}_\d{1,8}\.JPEG")
_VAL_IMAGE = re.compile(r"ILSVRC2012_val_\d{8}\.JPEG")
_CHUNK_BYTES = 1 << 20


def list_members(path: Path, checksum: Checksum | None, *, of_classes: bool) -> tuple[Members, str | None]:
    """Find the photographs of an archive, in the order in which they lie there.

    Args:
        path: The archive.
        checksum: What it must have; None leaves it unread where it can be skipped.
        of_classes: Whether it is a tar of a tar for each class.

    Returns:
        One `MEMBER` for each, and the digest if there was one to compare.

    Raises:
        ValueError: The archive is damaged, is another one, or holds something else, too.
    """
    try:
        with path.open("rb") as raw, tqdm(desc=path.name, total=path.stat().st_size, unit="B", unit_scale=True) as bar:
            file = _HashedFile(raw, checksum, bar)
            stream = cast(IO[bytes], file)
            found = list(_classes(stream, path) if of_classes else _images(stream, _VAL_IMAGE, "", str(path)))
            digest = file.digest_of_all()
    except (OSError, tarfile.TarError) as error:
        raise ValueError(f"{path} cannot be read ({error}): download it again.") from None
    if checksum is not None:
        check_digest(path, str(digest), checksum)
    return np.array(found, MEMBER), digest


def check_digest(path: Path, digest: str, checksum: Checksum) -> None:
    """Refuse an archive, with a ValueError, whose digest is not that of the published one."""
    if not checksum.matches(digest):
        raise ValueError(
            f"{path} is not the published archive ({checksum.algorithm} {digest}, expected {checksum.digest}): "
            "download it again, or accept it with --no_verify, which the manifest then states."
        )


class _HashedFile:
    """A file whose bytes are hashed when they are first passed, read or skipped."""

    def __init__(self, file: BinaryIO, checksum: Checksum | None, progress: "tqdm[Any]") -> None:
        self._file = file
        self._digest = None if checksum is None else checksum.new()
        self._passed = 0
        self._progress = progress

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._file.tell()

    def read(self, size: int = -1) -> bytes:
        start = self._file.tell()
        data = self._file.read(size)
        new = start + len(data) - self._passed
        if new > 0:
            if self._digest is not None:
                self._digest.update(memoryview(data)[-new:])
            self._passed += new
            self._progress.update(new)
        return data

    def seek(self, position: int, whence: int = 0) -> int:
        assert whence == 0
        if self._digest is not None and position > self._passed:
            self._file.seek(self._passed)
            while (gap := position - self._passed) > 0 and self.read(min(gap, _CHUNK_BYTES)):
                pass
        return self._file.seek(position)

    def digest_of_all(self) -> str | None:
        """Read what is left, if the digest is wanted."""
        if self._digest is None:
            return None
        self._file.seek(self._passed)
        while self.read(_CHUNK_BYTES):
            pass
        return self._digest.hexdigest()


def _classes(file: IO[bytes], path: Path) -> Iterator[tuple[str, str, int, int]]:
    for tar, member in _files(file, _CLASS, str(path)):
        content = cast(IO[bytes], tar.extractfile(member))
        wnid = member.name.removesuffix(".tar")
        for _, name, offset, size in _images(content, _TRAIN_IMAGE, wnid, f"{path}, {member.name}"):
            yield wnid, name, member.offset_data + offset, size


def _images(file: IO[bytes], names: re.Pattern[str], wnid: str, where: str) -> Iterator[tuple[str, str, int, int]]:
    for _, member in _files(file, names, where):
        if not member.name.startswith(wnid):
            raise ValueError(f"{where} holds {member.name}, a photograph of another class: name the official archive.")
        yield wnid, member.name, member.offset_data, member.size


def _files(file: IO[bytes], names: re.Pattern[str], where: str) -> Iterator[tuple[tarfile.TarFile, tarfile.TarInfo]]:
    """The archive and each member; no name that is not expected becomes a path."""
    with tarfile.open(fileobj=file, mode="r:") as tar:
        for member in tar:
            if not member.isreg() or not names.fullmatch(member.name):
                raise ValueError(
                    f"{where} holds {member.name!r}, which the official archive does not: name the official archive."
                )
            yield tar, member
        # tarfile takes a damaged header for the end
        file.seek(tar.offset)
        if file.read(tarfile.BLOCKSIZE).strip(b"\0"):
            raise ValueError(f"{where} is damaged at byte {tar.offset:,}: download it again.")
