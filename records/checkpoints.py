"""checkpoints/: weights of a run at several times, each with the SHA-256 of its bytes; checkpoints.json: an index."""

import hashlib
import re
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field

from records.files import UnreadableError, open_regular, read_text, write_whole
from records.layout import CHECKPOINT_INDEX, CHECKPOINTS
from records.record import Flag, Name, Number, Part, Record, Text, Whole

SUFFIX = ".ckpt"
DIGEST = ".sha256"
LARGEST_DIGEST = 4096  # bytes: the digest and a name


class SavedCheckpoint(Part):
    """A checkpoint: its file within the run, when and by which callback it was saved, and the metric that chose it."""

    file: Name
    epoch: Whole = None
    step: Whole = None
    by: Text = None
    monitor: Text = None
    value: Number = None
    resumable: Flag = None


class CheckpointIndex(Record):
    """Which checkpoint of a run is the best and which the latest that a run can go on from, as files within the run.

    It is written after each checkpoint, and before an earlier one is removed, so that it never names two.
    """

    FILE: ClassVar = CHECKPOINT_INDEX
    INDENT: ClassVar = 2
    format: Any = 1
    best: Text = None
    latest: Text = None
    saved: list[SavedCheckpoint] = Field(default_factory=list)

    @classmethod
    def of_run(cls, directory: Path) -> "CheckpointIndex":
        """The index of a run; an empty one where there is none, as in an older run, or where it is damaged."""
        try:
            return cls.read_if_any(directory) or cls()
        except UnreadableError:
            return cls()


def file_of_run(directory: Path, name: str | None) -> Path | None:
    """A file that the index of a run names, if it is there and lies within the run."""
    if name is None or Path(name).is_absolute() or ".." in Path(name).parts:
        return None
    return path if (path := directory / name).is_file() else None


def best_checkpoints(directory: Path) -> list[Path]:
    """The checkpoints of a run that were chosen by a metric: the one that the index names.

    In a run without an index, they are known by their names, and there may be several. Of those that this project
    names, that of the last epoch is the best: it was saved because it was better than those before it.
    """
    indexed = file_of_run(directory, CheckpointIndex.of_run(directory).best)
    if indexed is not None:
        return [indexed]
    found = sorted((directory / CHECKPOINTS).glob(f"best*{SUFFIX}"))
    epochs = [re.fullmatch(r"best-(\d+)(?:-v(\d+))?", path.stem) for path in found]
    if len(found) > 1 and all(epochs):
        order = {path: (int(epoch[1]), int(epoch[2] or 0)) for path, epoch in zip(found, epochs, strict=True) if epoch}
        return [max(found, key=order.__getitem__)]
    return found


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


def write_digest(checkpoint: Path, digest: str, earlier: str | None = None) -> None:
    """Sign a checkpoint: once it is whole, or before it takes the place of one whose digest is `earlier`."""
    lines = [f"{one}  {checkpoint.name}\n" for one in (digest, earlier) if one is not None]
    write_whole(digest_path(checkpoint), "".join(lines))


def digests_of(checkpoint: Path) -> list[str]:
    """The digests beside a checkpoint: one, or two while another checkpoint takes its place; none if unsigned."""
    try:
        lines = read_text(digest_path(checkpoint), LARGEST_DIGEST).splitlines()
    except UnreadableError:
        return []
    return [line.split()[0] for line in lines if line.split()]


def is_verified(checkpoint: Path) -> bool:
    """Whether a digest beside a checkpoint is there and matches."""
    try:
        return bool(digests := digests_of(checkpoint)) and sha256_of(checkpoint) in digests
    except (OSError, UnreadableError):
        return False


def is_damaged(checkpoint: Path) -> bool:
    """Whether a digest lies beside a checkpoint and does not match; one without is from elsewhere."""
    return digest_path(checkpoint).exists() and not is_verified(checkpoint)
