"""Checkpoints that are whole or absent, signed with a SHA-256 of their bytes, and which of them a run goes on with."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO
from lightning.pytorch import LightningModule
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from lightning.pytorch.utilities import rank_zero_warn

from callbacks.training.stop_on_nan import check_state, not_finite
from records.checkpoints import (
    SUFFIX,
    CheckpointIndex,
    SavedCheckpoint,
    best_checkpoints,
    digest_path,
    digests_of,
    file_of_run,
    is_verified,
    sha256_of,
    write_digest,
)
from records.files import whole_file
from records.layout import CHECKPOINTS, CONFIG
from records.weights import TO_RESUME, UnusableWeightsError, read_weights


class DamagedCheckpointError(ValueError):
    """A checkpoint is not what was written, or not a checkpoint."""


class VerifiedCheckpointIO(TorchCheckpointIO):
    """Saves checkpoints so that a kill or a full disk at any instant leaves the earlier ones, and no half of a new one.

    The file is written under another name in its own folder, flushed to the disk and renamed; then the digest, which
    `sha256sum --check` reads, is written likewise. A checkpoint without its digest was interrupted and is not resumed.
    If it takes the place of another of the same name, the digests of both are there while it does. Last, the index of
    the run names it.

    Attributes:
        callbacks: Those that save the checkpoints of a run, which tell what is best; without any there is no index.
    """

    def __init__(self) -> None:
        super().__init__()
        self.callbacks: Sequence[Callback] = ()

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any | None = None) -> None:
        """Write `checkpoint` to `path` and its digest beside it.

        Raises:
            OSError: The file cannot be written; what stood there before still does.
            NonFiniteStateError: Its weights are not finite; likewise.
        """
        check_state(checkpoint)
        target = Path(path)
        earlier = digests_of(target) if target.exists() else []
        with whole_file(target) as file:
            torch.save(checkpoint, file)
            file.flush()
            digest = sha256_of(Path(file.name))
            if earlier:
                write_digest(target, digest, earlier[0])
        write_digest(target, digest)
        if self.callbacks and target.parent.name == CHECKPOINTS:
            self._index(checkpoint, target)

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

    def _index(self, checkpoint: Mapping[str, Any], target: Path) -> None:
        """Name a checkpoint in the index of its run, and what is the best one now.

        One that a metric chose is the latest only if no other is of its step: a validation that a stop within an epoch
        held is not a part of the run that goes on.
        """
        run, name = target.parent.parent, f"{CHECKPOINTS}/{target.name}"
        savers = [one for one in self.callbacks if isinstance(one, ModelCheckpoint)]
        choosing = [one for one in savers if one.monitor]
        scores = {one.monitor: one.best_k_models.get(str(target)) for one in choosing}
        monitor, score = next(((of, score) for of, score in scores.items() if score is not None), (None, None))
        saved = SavedCheckpoint(
            file=name,
            epoch=checkpoint["epoch"],
            step=checkpoint["global_step"],
            by=next((type(one).__name__ for one in savers if one.best_model_path == str(target)), None),
            monitor=monitor,
            value=None if score is None else float(score),
            resumable="optimizer_states" in checkpoint,
        )
        earlier = CheckpointIndex.of_run(run)
        others = [one for one in earlier.saved if one.file != name and file_of_run(run, one.file)]
        same_step = any(one.file == earlier.latest and one.step == saved.step for one in others)
        latest = name if saved.resumable and (monitor is None or not same_step) else earlier.latest
        paths = [Path(one.best_model_path) for one in choosing if one.best_model_path]
        best = f"{CHECKPOINTS}/{paths[0].name}" if paths else None
        CheckpointIndex(best=best, latest=latest, saved=[*others, saved]).write(run)


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
    return next(iter(_verified(folder, needs)), None)


def _verified(folder: Path, needs: Iterable[str]) -> list[Path]:
    """The checkpoints of `newest_verified`, the newest first."""
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
    return [path for *_, path in sorted(candidates, reverse=True)]


def with_config_of_resumed_run(words: Sequence[str]) -> list[str]:
    """The command line, with the run's own config put first where `--resume RUN` names no other."""
    words = list(words)
    if any(word in ("-c", "--config") or word.startswith("--config=") for word in words):
        return words
    for position, word in enumerate(words):
        value = word.partition("=")[2] if word.startswith("--resume=") else ""
        if word == "--resume" and position + 1 < len(words):
            value = words[position + 1]
        config = Path(value).expanduser() / CONFIG
        if value and config.is_file():
            return [*words[:1], "--config", str(config), *words[1:]]
    return words


def latest_of_run(run: Path, needs: Iterable[str] = ()) -> Path | None:
    """The latest checkpoint of a run by its index, else the newest that verifies, as of `newest_verified`."""
    indexed = file_of_run(run, CheckpointIndex.of_run(run).latest)
    if indexed is not None and is_verified(indexed):
        with suppress(UnusableWeightsError):
            read_weights(indexed, needs, mapped=True)
            return indexed
    return newest_verified(run / CHECKPOINTS, needs)


def checkpoint_to_resume(run: Path, problem_of: Callable[[dict[str, Any]], str | None]) -> Path | None:
    """The checkpoint from which a run goes on: the latest, or before it the newest that fits; None if none verifies.

    Args:
        run: Directory of the run.
        problem_of: What keeps the content of a checkpoint from the network, to stand behind its name; None if nothing.

    Raises:
        ValueError: None fits.
    """
    latest = latest_of_run(run, TO_RESUME)
    if latest is None or (problem := problem_of(read_weights(latest, TO_RESUME, mapped=True))) is None:
        return latest
    for path in _verified(run / CHECKPOINTS, TO_RESUME):
        if path != latest and problem_of(read_weights(path, TO_RESUME, mapped=True)) is None:
            rank_zero_warn(f"The checkpoint {latest} {problem}: it is left out.")
            return path
    raise ValueError(f"The checkpoint {latest} {problem}: give the config of its own run, or another file.")


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
    checkpoint = best[0] if best else latest_of_run(Path(path))
    if checkpoint is None:
        raise ValueError(f"The run {path} has no checkpoint that verifies: name another with --ckpt_path.")
    return checkpoint


def misfit(state: Mapping[str, torch.Tensor], network: LightningModule) -> str | None:
    """What keeps the weights of a checkpoint from a network: other names or shapes, or values that are not finite."""
    own = network.state_dict()
    if network.strict_loading and (other := sorted(own.keys() ^ state.keys())):
        return f"does not fit {type(network).__name__}: only one of the two has {other[0]}"
    for name in own.keys() & state.keys():
        if own[name].shape != state[name].shape:
            shapes = f"{tuple(state[name].shape)} instead of {tuple(own[name].shape)}"
            return f"does not fit {type(network).__name__}: {name} is {shapes}"
    spoiled = not_finite(
        {name: tensor for name, tensor in state.items() if tensor.is_floating_point() and tensor.numel()}
    )
    return f"holds values that are not finite, as in {spoiled[0]}" if spoiled else None


def differences(saved: Mapping[str, Any], current: Mapping[str, Any]) -> list[str]:
    """Arguments of a network that a checkpoint holds with another value, as `name: saved → current`."""
    names = sorted(saved.keys() & current.keys())
    return [f"{name}: {saved[name]} → {current[name]}" for name in names if saved[name] != current[name]]
