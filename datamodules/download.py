"""Downloads that are either complete and verified, or not there."""

import http.client
import os
import tempfile
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from tqdm import tqdm

from datamodules.checksum import Checksum

_CHUNK_BYTES = 1 << 20
_TIMEOUT_SECONDS = 30


class _DownloadError(Exception):
    """One source could not deliver the file; the next may."""


def download_file(urls: Sequence[str], destination: Path, checksum: Checksum) -> None:
    """Fetches a file from the first source that delivers it intact.

    The content goes to a `.part` file of a name of its own in the same folder (two jobs may download at once), and is
    renamed once its checksum is right; nothing reads a `.part` file.

    Args:
        urls: Sources, tried in this order.
        destination: Where the file is to lie.
        checksum: What its content must have.

    Raises:
        ValueError: No source delivered the file, or it cannot be written.
    """
    failures = []
    for url in urls:
        try:
            destination.parent.mkdir(parents=True, exist_ok=True)
            _download_from(url, destination, checksum)
            return
        except _DownloadError as failure:
            failures.append(f"{url}: {failure}")
        except OSError as error:
            raise ValueError(
                f"Could not write {destination} ({error}): with --data.root, name a folder that has room for it and "
                "may be written to."
            ) from None
    raise ValueError(
        f"Could not download {destination.name} ({'; '.join(failures)}): check the network, "
        f"or place the file at {destination} by hand."
    )


def _download_from(url: str, destination: Path, checksum: Checksum) -> None:
    handle, name = tempfile.mkstemp(prefix=f"{destination.name}.", suffix=".part", dir=destination.parent)
    part = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            found = _write(_chunks(url), file, checksum)
        if found != checksum.digest:
            raise _DownloadError(f"{checksum.algorithm} is {found}, expected {checksum.digest}")
        part.chmod(0o644)  # mkstemp lets only the owner read; data folders are shared
        part.replace(destination)
    finally:
        part.unlink(missing_ok=True)


def _write(chunks: Iterator[bytes], file: BinaryIO, checksum: Checksum) -> str:
    content = checksum.new()
    for chunk in chunks:
        file.write(chunk)
        content.update(chunk)
    file.flush()
    os.fsync(file.fileno())
    return content.hexdigest()


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
