"""Files that are either whole under their name or not there, and errors of a disk in one sentence."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PART = ".part"
_FULL = {errno.ENOSPC, errno.EDQUOT}


@contextmanager
def errors_of_writing_to(folder: Path) -> Iterator[None]:
    """Say in one sentence that a folder cannot be written to.

    Raises:
        ValueError: An operation of the block raised OSError.
    """
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise ValueError(
                f"The disk of {folder} is full: free some space and give the same command again, "
                "which goes on with what is finished."
            ) from None
        raise ValueError(f"{folder} cannot be written to ({error}): name another folder, or repair this one.") from None


@contextmanager
def part_of(path: Path) -> Iterator[Path]:
    """Give the path a file its name when it is whole and on the disk; on an error, nothing is left.

    Args:
        path: The name that the file is to have.

    Yields:
        Where to write it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + PART)
    try:
        yield part
        with part.open("rb") as file:
            os.fsync(file.fileno())
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def write_whole(path: Path, content: bytes) -> None:
    """Write a file that no reader ever sees half of.

    Args:
        path: Its name.
        content: Its bytes.
    """
    with part_of(path) as part:
        part.write_bytes(content)
