"""Published files: downloads that are either complete and verified or not there, and checks of those that are."""

import hashlib
import http.client
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from tqdm import tqdm

from records.files import whole_file

_CHUNK_BYTES = 1 << 20
_TIMEOUT_SECONDS = 30


class Checksum(NamedTuple):
    """A digest that a file is expected to have.

    Attributes:
        algorithm: Name of the hash function.
        digest: In lower-case hexadecimal; as many of its first digits as are known.
    """

    algorithm: Literal["md5", "sha256"]
    digest: str

    def of(self, path: Path) -> str:
        """The digest that a file has."""
        with path.open("rb") as file:
            return hashlib.file_digest(file, self.new).hexdigest()

    def matches(self, digest: str) -> bool:
        """Whether a whole digest is the expected one."""
        return digest.startswith(self.digest)

    def new(self) -> "hashlib._Hash":
        """An empty hash object."""
        return hashlib.new(self.algorithm, usedforsecurity=False)


class _DownloadError(Exception):
    """One source could not deliver the file; the next may."""


def download_file(
    urls: Sequence[str],
    destination: Path,
    checksum: Checksum,
    remedy: str = "with --data.root, name a folder that has room for it and may be written to",
) -> None:
    """Fetches a file from the first source that delivers it intact.

    It has its name once its checksum is right; until then, it is a `.part` file, which nothing reads. Two jobs may
    download at once.

    Args:
        urls: Sources, tried in this order.
        destination: Where the file is to lie.
        checksum: What its content must have.
        remedy: What the user may do where the file cannot be written.

    Raises:
        ValueError: No source delivered the file, or it cannot be written.
    """
    failures = []
    for url in urls:
        try:
            _download_from(url, destination, checksum)
            return
        except _DownloadError as failure:
            failures.append(f"{url}: {failure}")
        except OSError as error:
            raise ValueError(f"Could not write {destination} ({error}): {remedy}.") from None
    raise ValueError(
        f"Could not download {destination.name} ({'; '.join(failures)}): check the network, "
        f"or place the file at {destination} by hand."
    )


def verify_files(checksums: Mapping[Path, Checksum], *, required: bool) -> bool:
    """Compares files with their published checksums.

    Args:
        checksums: What each file should have.
        required: Whether a difference is an error.

    Returns:
        Whether all files are the published ones.

    Raises:
        ValueError: `required`, and a file differs.
    """
    return all(
        is_published(path, checksum, checksum.of(path), required=required) for path, checksum in checksums.items()
    )


def is_published(path: Path, checksum: Checksum, found: str, *, required: bool) -> bool:
    """Compares the digest of one file with the published one.

    Args:
        path: The file.
        checksum: What it should have.
        found: What it has, as a whole digest.
        required: Whether a difference is an error.

    Raises:
        ValueError: `required`, and it differs.
    """
    if checksum.matches(found):
        return True
    if not required:
        return False
    raise ValueError(
        f"{path} is not the published file ({checksum.algorithm} {found}, expected {checksum.digest}): "
        "replace it with the published one, or accept it with --data.verify=false, which the run's record then states."
    )


def _download_from(url: str, destination: Path, checksum: Checksum) -> None:
    content = checksum.new()
    with whole_file(destination, shared=True) as file:
        for chunk in _chunks(url):
            file.write(chunk)
            content.update(chunk)
        if not checksum.matches(found := content.hexdigest()):
            raise _DownloadError(f"{checksum.algorithm} is {found}, expected {checksum.digest}")


def _chunks(url: str) -> Iterator[bytes]:
    try:
        with urllib.request.urlopen(url, timeout=_TIMEOUT_SECONDS) as response:
            length = response.headers["Content-Length"]
            total = int(length) if length else None
            received = 0
            with tqdm(total=total, desc=url.rpartition("/")[2], unit="B", unit_scale=True) as progress:
                while chunk := response.read(_CHUNK_BYTES):
                    received += len(chunk)
                    progress.update(len(chunk))
                    yield chunk
            if total is not None and received != total:
                raise _DownloadError(f"the connection ended after {received:,} of {total:,} bytes")
    except (OSError, http.client.HTTPException) as error:
        raise _DownloadError(str(error) or type(error).__name__) from error
