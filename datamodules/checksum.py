"""Checksums of files."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, NamedTuple


class Checksum(NamedTuple):
    """A digest that a file is expected to have.

    Attributes:
        algorithm: Name of the hash function.
        digest: In lower-case hexadecimal.
    """

    algorithm: Literal["md5", "sha256"]
    digest: str

    def of(self, path: Path) -> str:
        """Returns the digest that a file has."""
        with path.open("rb") as file:
            return hashlib.file_digest(file, self.new).hexdigest()

    def new(self) -> "hashlib._Hash":
        """Returns an empty hash object."""
        return hashlib.new(self.algorithm, usedforsecurity=False)


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
    for path, checksum in checksums.items():
        found = checksum.of(path)
        if found != checksum.digest:
            if not required:
                return False
            raise ValueError(
                f"{path} is not the published file ({checksum.algorithm} {found}, expected {checksum.digest}): "
                "replace it with the published one, or accept it with --data.verify=false, "
                "which the run's record then says."
            )
    return True
