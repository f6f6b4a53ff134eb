"""Checkpoints that are whole or absent: written beside, flushed, renamed, and signed with a SHA-256 of their bytes."""

import hashlib
import os
from collections.abc import Callable
from io import BufferedRandom
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO
from lightning.fabric.utilities.types import _PATH
from lightning.pytorch.utilities import rank_zero_warn

PARTIAL = ".part"
DIGEST = ".sha256"


class DamagedCheckpointError(ValueError):
    """A checkpoint is not what was written, or not a checkpoint."""


class VerifiedCheckpointIO(TorchCheckpointIO):
    """Saves checkpoints so that a kill or a full disk at any instant leaves the earlier ones, and no half of a new one.

    The file is written under another name in its own folder, flushed to the disk and renamed; then the digest, which
    `sha256sum --check` reads, is written likewise. A checkpoint without its digest was interrupted and is not resumed.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: _PATH, storage_options: Any | None = None) -> None:
        """Write `checkpoint` to `path` and its digest beside it.

        Raises:
            OSError: The file cannot be written; what stood there before still does.
        """
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        _digest_path(target).unlink(missing_ok=True)
        digest = _write_atomically(target, lambda file: torch.save(checkpoint, file))
        line = f"{digest}  {target.name}\n".encode()
        _write_atomically(_digest_path(target), lambda file: file.write(line))

    def load_checkpoint(self, path: _PATH, map_location: Any | None = None, weights_only: bool | None = None) -> Any:
        """Read a checkpoint, without running any code that it may hold; `weights_only` is always true.

        Raises:
            DamagedCheckpointError: The digest does not match, or the file is no checkpoint or holds more than data.
        """
        return load_verified(Path(path), map_location)

    def remove_checkpoint(self, path: _PATH) -> None:
        """Remove a checkpoint and its digest."""
        Path(path).unlink(missing_ok=True)
        _digest_path(Path(path)).unlink(missing_ok=True)


def load_verified(path: Path, map_location: Any | None = "cpu") -> Any:
    """Read the checkpoint at `path`; see `VerifiedCheckpointIO.load_checkpoint`."""
    if not path.is_file():
        raise DamagedCheckpointError(f"There is no checkpoint {path}.")
    if _digest_path(path).exists() and not is_verified(path):
        raise DamagedCheckpointError(f"The checkpoint {path} is damaged (its SHA-256 differs): use an earlier one.")
    try:
        return torch.load(path, map_location=map_location, weights_only=True)
    except Exception as error:
        raise DamagedCheckpointError(
            f"{path} is no checkpoint that can be trusted: it is damaged or holds more than tensors and plain values."
        ) from error


def is_verified(path: Path) -> bool:
    """Whether the digest beside the checkpoint is there and matches."""
    try:
        expected = _digest_path(path).read_text().split()[0]
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == expected
    except (OSError, IndexError, UnicodeDecodeError):
        return False


def newest_verified(folder: Path) -> Path | None:
    """The checkpoint of `folder` that verifies and has done most steps, by the step inside it; None if there is none.

    Those that do not verify are named in a warning.
    """
    candidates = []
    for path in sorted(folder.glob("*.ckpt")):
        if not is_verified(path):
            rank_zero_warn(f"The checkpoint {path} does not verify and is left out.")
            continue
        checkpoint = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        candidates.append((checkpoint["epoch"], checkpoint["global_step"], path))
    return max(candidates)[2] if candidates else None


def remove_partial_files(folder: Path) -> None:
    """Remove what a killed run was writing."""
    for path in folder.glob(f"*{PARTIAL}"):
        path.unlink(missing_ok=True)


def _digest_path(path: Path) -> Path:
    return path.with_name(path.name + DIGEST)


def _write_atomically(target: Path, write: Callable[[BufferedRandom], Any]) -> str:
    """Write a file so that `target` holds the old or the new content at every instant. Returns the SHA-256 in hex."""
    partial = target.with_name(target.name + PARTIAL)
    try:
        with partial.open("w+b") as file:
            write(file)
            digest = _flush_and_digest(file)
        os.replace(partial, target)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    _flush_folder(target.parent)
    return digest


def _flush_and_digest(file: BufferedRandom) -> str:
    file.flush()
    os.fsync(file.fileno())
    file.seek(0)
    return hashlib.file_digest(file, "sha256").hexdigest()


def _flush_folder(folder: Path) -> None:
    """Make a rename last through a power failure; Windows has no such call for folders."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
