"""A run that goes on: which options were of an earlier start, whether anything is left to do, and from where."""

import math
import os
from collections.abc import Iterable, Mapping, Sequence
from inspect import isfunction
from pathlib import Path
from typing import Any

from jsonargparse import Namespace
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import Callback, EarlyStopping, ModelCheckpoint
from lightning.pytorch.callbacks.early_stopping import EarlyStoppingReason
from lightning.pytorch.callbacks.timer import Timer

from callbacks import LatestCheckpoint
from records.checkpoints import CheckpointIndex, SavedCheckpoint, file_of_run
from records.files import UnreadableError, read_yaml
from records.layout import CHECKPOINTS, CONFIG, SUMMARY

OF_ONE_START = ("run_dir", "resume", "ckpt_path", "weights_only", "verbose", "return_predictions")
"""Options that belong to one start of a process, not to the experiment: no config of a run holds them."""
PATHS = ("run_dir", "resume", "ckpt_path")
EPOCHS_WITHOUT_A_LIMIT = 1000  # Lightning's
_PATHS_IN_STATE = ("best_model_path", "kth_best_model_path", "last_model_path")


def without_start(config: Namespace) -> Namespace:
    """The config of an experiment, without what belongs to this start; a W&B run that was named was this one's.

    A default that is a function without a name, as the optimizers of a GAN, cannot stand in a file: left out, it is the
    default again.
    """
    kept = config.clone()
    for name in OF_ONE_START:
        kept.pop(name, None)
    for name in [name for name, value in kept.items() if isfunction(value) and "<" in value.__qualname__]:
        kept.pop(name)
    loggers = kept.trainer.logger
    for logger in loggers if isinstance(loggers, list) else [loggers]:
        if isinstance(logger, Namespace) and logger.get("init_args.id"):
            logger["init_args.id"] = None
    return kept


def with_own_start(words: Sequence[str]) -> list[str]:
    """The command line, in which configs of earlier versions' runs do not say where to start.

    They held `resume` and `run_dir` of the start that wrote them. Those of the command line are put behind.
    """
    words = list(words)
    configs = [value for option, value in _options(words) if option in ("--config", "-c")]
    if not any(_says_where_to_start(Path(config).expanduser()) for config in configs):
        return words
    given = [f"--{name}={value}" for name in PATHS for option, value in _options(words) if option == f"--{name}"]
    return [*words, *(f"--{name}=null" for name in PATHS), *given]


def what_ended(
    checkpoint: Mapping[str, Any], trainer: Namespace, callbacks: Iterable[Callback]
) -> tuple[str, str] | None:
    """Why a run has nothing to do after a checkpoint, and what would change that; None if it has.

    Args:
        checkpoint: Content of its newest checkpoint.
        trainer: Options of the Trainer.
        callbacks: Those of the run.
    """
    if "loops" not in checkpoint:  # weights alone, which Lightning refuses
        return None
    epochs, steps = epochs_of(checkpoint), checkpoint["global_step"]
    most_epochs, most_steps = trainer.get("max_epochs"), trainer.get("max_steps")
    if most_steps not in (None, -1) and steps >= most_steps:
        return f"max_steps={most_steps} is reached", "raise --trainer.max_steps"
    if most_epochs is None:
        most_epochs = EPOCHS_WITHOUT_A_LIMIT if most_steps in (None, -1) and not trainer.get("max_time") else -1
    if most_epochs != -1 and epochs >= most_epochs:
        return f"max_epochs={most_epochs} is reached", "raise --trainer.max_epochs"
    states = checkpoint.get("callbacks", {})
    if trainer.get("max_time"):
        timer = Timer(trainer.max_time, verbose=False)
        timer.load_state_dict(states.get(timer.state_key, {}))
        left = timer.time_remaining()
        if left is not None and left <= 0:
            return f"max_time={trainer.max_time} is reached", "raise --trainer.max_time"
    enough = epochs >= (trainer.get("min_epochs") or 0) and steps >= (trainer.get("min_steps") or 0)
    for callback in callbacks:
        if isinstance(callback, EarlyStopping) and enough and _has_stopped(callback, states.get(callback.state_key)):
            return f"{callback.monitor} no longer improved", "raise the patience of EarlyStopping or leave it out"
    return None


def epochs_of(checkpoint: Mapping[str, Any]) -> int:
    """Whole epochs that a checkpoint has behind it."""
    progress = _as_cut(checkpoint["loops"]["fit_loop"])["epoch_progress"]
    return int(progress["current"]["processed"])


def prepare(trainer: Trainer, checkpoint: dict[str, Any]) -> set[str]:
    """Make the state of a checkpoint fit the run that goes on, before Lightning restores it.

    Args:
        trainer: The Trainer, whose callbacks are set up.
        checkpoint: What was loaded; it is changed.

    Returns:
        The metrics by which callbacks choose best checkpoints of which the state tells.
    """
    monitors: set[str] = set()
    checkpoint["loops"]["fit_loop"] = _as_cut(checkpoint["loops"]["fit_loop"])
    states = checkpoint.get("callbacks", {})
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        state = states.get(callback.state_key)
        if state is None:
            continue
        if isinstance(callback, EarlyStopping):  # Lightning would take the old patience
            states[callback.state_key] = {**state, "patience": callback.patience}
        elif isinstance(callback, ModelCheckpoint) and callback.dirpath is not None:
            here = os.fspath(callback.dirpath)
            monitors |= {callback.monitor} if callback.monitor else set()
            states[callback.state_key] = _known_best(
                moved(state, state.get("dirpath") or "", here), Path(here), callback
            )
    return monitors


def portable(states: dict[str, Any], callbacks: Iterable[Callback]) -> dict[str, Any]:
    """States of callbacks as a checkpoint holds them: with names of files in the place of paths."""
    folders = {one.state_key: one.dirpath or "" for one in callbacks if isinstance(one, ModelCheckpoint)}
    return {key: moved(state, folders[key], "") if key in folders else state for key, state in states.items()}


def moved(state: dict[str, Any], source: str | Path, target: str) -> dict[str, Any]:
    """The state of a ModelCheckpoint whose files are in the folder `target` instead of `source`."""

    def path(earlier: str) -> str:
        try:
            return os.path.join(target, Path(earlier).relative_to(source)) if earlier else earlier
        except ValueError:  # in another folder
            return earlier

    paths = {name: path(state[name]) for name in _PATHS_IN_STATE if name in state}
    models = {path(file): score for file, score in state.get("best_k_models", {}).items()}
    return {**state, **paths, "best_k_models": models, "dirpath": target}


def remove_what_comes_again(trainer: Trainer, run: Path, restored: set[str]) -> None:
    """Remove checkpoints that the run will save again, now that it goes on from before them; rank 0 does.

    Args:
        trainer: The Trainer, with the state of the checkpoint.
        run: Directory of the run.
        restored: The metrics that `prepare` returned.
    """
    index = CheckpointIndex.of_run(run)
    monitors = [one for one in trainer.checkpoint_callbacks if isinstance(one, ModelCheckpoint) and one.monitor]
    latest = f"{CHECKPOINTS}/{Path(str(trainer.ckpt_path)).name}"
    kept = {f"{CHECKPOINTS}/{Path(path).name}" for one in monitors for path in one.best_k_models} | {latest}

    def comes_again(saved: SavedCheckpoint) -> bool:
        step = saved.step or 0
        if saved.file in kept:
            return False
        if saved.monitor is not None:  # of the same step: by a validation that the stop held
            return step >= trainer.global_step and saved.monitor in restored
        return step > trainer.global_step or saved.by == LatestCheckpoint.__name__

    again = [one for one in index.saved if comes_again(one)]
    if not again:
        return
    best = next((f"{CHECKPOINTS}/{Path(one.best_model_path).name}" for one in monitors if one.best_model_path), None)
    CheckpointIndex(best=best, latest=latest, saved=[one for one in index.saved if one not in again]).write(run)
    for one in again:
        if path := file_of_run(run, one.file):
            trainer.strategy.remove_checkpoint(path)


def _as_cut(loops: dict[str, Any]) -> dict[str, Any]:
    """State of Lightning's loops in which an epoch that a run stopped within is not counted.

    Lightning 2.6.6 ends such an epoch like a whole one; what it saves there would leave out the rest of the epoch.
    """
    epochs, batches = loops["epoch_progress"], loops["epoch_loop.batch_progress"]
    counted = epochs["current"]["processed"] == epochs["current"]["started"]
    if not counted or batches["is_last_batch"] or not batches["current"]["completed"]:
        return loops
    uncounted = {name: {**count, "processed": count["processed"] - 1} for name, count in epochs.items()}
    return {**loops, "epoch_progress": uncounted}


def _has_stopped(callback: EarlyStopping, state: Mapping[str, Any] | None) -> bool:
    reason = (state or {}).get("stopping_reason", EarlyStoppingReason.NOT_STOPPED.value)
    if state is None or reason == EarlyStoppingReason.NOT_STOPPED.value:
        return False
    return reason != EarlyStoppingReason.PATIENCE_EXHAUSTED.value or state["wait_count"] >= callback.patience


def _known_best(state: dict[str, Any], folder: Path, callback: ModelCheckpoint) -> dict[str, Any]:
    """The state of a callback that chooses a best checkpoint, of those that are still there.

    If a kill came after a better one had taken the place of that of the state, the better one is.
    """
    if callback.monitor is None or not state["best_k_models"]:
        return state
    models = {path: score for path, score in state["best_k_models"].items() if Path(path).is_file()}
    like = next(iter(state["best_k_models"].values()))
    if not models:
        index = CheckpointIndex.of_run(folder.parent)
        models = {
            os.path.join(folder, Path(one.file).name): like.new_tensor(one.value)
            for one in index.saved
            if one.monitor == callback.monitor and one.value is not None and file_of_run(folder.parent, one.file)
        }
    better, worse = (max, min) if callback.mode == "max" else (min, max)
    known = {**state, "best_k_models": models}
    if not models:
        none = like.new_tensor(-math.inf if callback.mode == "max" else math.inf)
        return known | {"best_model_path": "", "best_model_score": None, "kth_best_model_path": "", "kth_value": none}
    best, kth = better(models, key=models.__getitem__), worse(models, key=models.__getitem__)
    known |= {"best_model_path": best, "best_model_score": models[best]}
    return known | {"kth_best_model_path": kth, "kth_value": models[kth]}


def _options(words: Sequence[str]) -> list[tuple[str, str]]:
    """Options of a command line with their values, written in one word or in two."""
    pairs = zip(words, [*words[1:], ""], strict=False)
    return [tuple(word.split("=", 1)) if "=" in word else (word, after) for word, after in pairs if word[:1] == "-"]  # type: ignore[misc]


def _says_where_to_start(config: Path) -> bool:
    """Whether this is the config of a run of an earlier version."""
    if config.stem.partition("-")[0] != Path(CONFIG).stem or not (config.parent / SUMMARY).exists():
        return False
    try:
        return any(name in read_yaml(config) for name in PATHS)
    except UnreadableError:
        return False
