"""checkpoints/: the weights of a run at several times, each with the SHA-256 of its bytes beside it."""

import hashlib
from pathlib import Path

from records.files import UnreadableError, open_regular, read_text, write_whole
from records.layout import CHECKPOINTS

SUFFIX = ".ckpt"
DIGEST = ".sha256"
LARGEST_DIGEST = 4096  # bytes: the digest and a name


def best_checkpoints(directory: Path) -> list[Path]:
    """The checkpoints of a run that were chosen by a metric; one at most, unless the user asked for more."""
    return sorted((directory / CHECKPOINTS).glob(f"best*{SUFFIX}"))


def run_of(checkpoint: Path) -> Path:
    """The directory of the run that a checkpoint is of; that directory itself, if it is given."""
    return checkpoint if checkpoint.is_dir() else checkpoint.parent.parent


def digest_path(checkpoint: Path) -> Path:
    """The file beside a checkpoint that holds its SHA-256, as `sha256sum --check` reads it."""
    return checkpoint.with_name(checkpoint.name + DIGEST)


def sha256_of(path: Path) -> str:
    """SHA-256 of the bytes of a regular file, in hex.

    Raises:
        UnreadableError: There is no such file, or it cannot be read.
    """
    with open_regular(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_digest(checkpoint: Path, digest: str) -> None:
    """Sign a checkpoint, once it is whole."""
    write_whole(digest_path(checkpoint), f"{digest}  {checkpoint.name}\n")


def is_verified(checkpoint: Path) -> bool:
    """Whether the digest beside a checkpoint is there and matches."""
    try:
        return read_text(digest_path(checkpoint), LARGEST_DIGEST).split()[0] == sha256_of(checkpoint)
    except (OSError, IndexError, UnreadableError):
        return False


def is_damaged(checkpoint: Path) -> bool:
    """Whether a digest lies beside a checkpoint and does not match; one without is from elsewhere."""
    return digest_path(checkpoint).exists() and not is_verified(checkpoint)
