"""Which checkpoint a run goes on with, or is judged by."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from experiment.checkpoint_io import newest_verified

CHECKPOINTS = "checkpoints"
CONFIG = "config.yaml"


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
    checkpoint = newest_verified(run / CHECKPOINTS)
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
    best = sorted(folder.glob("best*.ckpt"))
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
