"""Checkpoints that are whole or absent, signed with a SHA-256 of their bytes, and which of them a run goes on with."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO
from lightning.pytorch.utilities import rank_zero_warn

from callbacks.training.stop_on_nan import check_state
from records.checkpoints import SUFFIX, best_checkpoints, digest_path, is_verified, sha256_of, write_digest
from records.files import whole_file
from records.layout import CHECKPOINTS, CONFIG
from records.weights import TO_RESUME, UnusableWeightsError, read_weights


class DamagedCheckpointError(ValueError):
    """A checkpoint is not what was written, or not a checkpoint."""


class VerifiedCheckpointIO(TorchCheckpointIO):
    """Saves checkpoints so that a kill or a full disk at any instant leaves the earlier ones, and no half of a new one.

    The file is written under another name in its own folder, flushed to the disk and renamed; then the digest, which
    `sha256sum --check` reads, is written likewise. A checkpoint without its digest was interrupted and is not resumed.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any | None = None) -> None:
        """Write `checkpoint` to `path` and its digest beside it.

        Raises:
            OSError: The file cannot be written; what stood there before still does.
            NonFiniteStateError: Its weights are not finite; likewise.
        """
        check_state(checkpoint)
        target = Path(path)
        digest_path(target).unlink(missing_ok=True)
        with whole_file(target) as file:
            torch.save(checkpoint, file)
            file.flush()
            digest = sha256_of(Path(file.name))
        write_digest(target, digest)

    def load_checkpoint(
        self, path: str | Path, map_location: Any | None = None, weights_only: bool | None = None
    ) -> Any:
        """Read a checkpoint, without running any code that it may hold; `weights_only` is always true.

        Raises:
            DamagedCheckpointError: The digest does not match, or the file is no checkpoint or holds more than data.
        """
        return load_verified(Path(path), map_location)

    def remove_checkpoint(self, path: str | Path) -> None:
        """Remove a checkpoint and its digest."""
        Path(path).unlink(missing_ok=True)
        digest_path(Path(path)).unlink(missing_ok=True)


def load_verified(path: Path, map_location: Any | None = "cpu", needs: Iterable[str] = ()) -> Any:
    """Read the checkpoint at `path` by the one reader of weights.

    Args:
        path: The file.
        map_location: Device of the tensors.
        needs: Parts that it must have: `TO_RESUME` and the like of `records.weights`.

    Raises:
        DamagedCheckpointError: It is missing, damaged, no checkpoint, or holds more than data or less than is needed.
    """
    try:
        return read_weights(path, needs, map_location)
    except UnusableWeightsError as error:
        if error.kind == "missing":
            sentence = f"There is no checkpoint {path}."
        elif error.kind == "incomplete":
            sentence = f"{path} is no checkpoint of a network of this project: it {error.problem}."
        elif error.problem.startswith("is damaged ("):
            sentence = f"The checkpoint {error}: use an earlier one."
        else:
            sentence = f"{path} is no checkpoint that can be trusted: it {error.problem}."
        raise DamagedCheckpointError(sentence) from error


def newest_verified(folder: Path, needs: Iterable[str] = ()) -> Path | None:
    """The checkpoint of `folder` that verifies and has done most steps, by the step inside it; None if there is none.

    Those that do not verify, or lack one of the parts that the command needs, are named in a warning.
    """
    candidates = []
    for path in sorted(folder.glob(f"*{SUFFIX}")):
        if not is_verified(path):
            rank_zero_warn(f"The checkpoint {path} does not verify and is left out.")
            continue
        try:
            checkpoint = read_weights(path, {"epoch", "global_step", *needs}, mapped=True)
        except UnusableWeightsError as error:
            rank_zero_warn(f"The checkpoint {error}: it is left out.")
            continue
        candidates.append((checkpoint["epoch"], checkpoint["global_step"], path))
    return max(candidates)[2] if candidates else None


def with_config_of_resumed_run(words: Sequence[str]) -> list[str]:
    """The command line, with the run's own config put first where `--resume RUN` names no other."""
    words = list(words)
    if any(word in ("-c", "--config") or word.startswith("--config=") for word in words):
        return words
    for position, word in enumerate(words):
        value = word.partition("=")[2] if word.startswith("--resume=") else ""
        if word == "--resume" and position + 1 < len(words):
            value = words[position + 1]
        config = Path(value) / CONFIG
        if value and config.is_file():
            return [*words[:1], "--config", str(config), *words[1:]]
    return words


def checkpoint_to_resume(run: Path) -> Path:
    """The newest checkpoint of a run that verifies.

    Raises:
        ValueError: The run has none.
    """
    checkpoint = newest_verified(run / CHECKPOINTS, TO_RESUME)
    if checkpoint is None:
        raise ValueError(f"The run {run} has no checkpoint that verifies: start it anew, without --resume.")
    return checkpoint


def checkpoint_to_evaluate(path: str) -> Path:
    """A checkpoint's file as it is; of a run's directory, the best, or the newest where none is chosen, as of a GAN.

    Raises:
        ValueError: There is no such file, or the run has no checkpoint, or several best ones.
    """
    if "://" in path:
        raise ValueError(f"Checkpoints are read from files, not from {path}: download it first.")
    if not Path(path).is_dir():
        if not Path(path).is_file():
            raise ValueError(
                f"There is no checkpoint or run {path}: --ckpt_path names a run's directory or a .ckpt file."
            )
        return Path(path)
    folder = Path(path, CHECKPOINTS)
    best = best_checkpoints(Path(path))
    if len(best) > 1:
        raise ValueError(f"The run {path} has several best checkpoints: name a file of {folder} with --ckpt_path.")
    checkpoint = best[0] if best else newest_verified(folder)
    if checkpoint is None:
        raise ValueError(f"The run {path} has no checkpoint that verifies: name another with --ckpt_path.")
    return checkpoint


def differences(saved: Mapping[str, Any], current: Mapping[str, Any]) -> list[str]:
    """Arguments of a network that a checkpoint holds with another value, as `name: saved → current`."""
    names = sorted(saved.keys() & current.keys())
    return [f"{name}: {saved[name]} → {current[name]}" for name in names if saved[name] != current[name]]
