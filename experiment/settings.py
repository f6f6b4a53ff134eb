"""Settings that Lightning or PyTorch would refuse late, or take for something else in silence.

What can be told from the options is refused before anything is built, the rest before the first step.
"""

import math
import os
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path, PurePath
from typing import Any

import torch
from jsonargparse import Namespace
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import (
    EarlyStopping,
    LearningRateMonitor,
    ModelCheckpoint,
    ProgressBar,
    StochasticWeightAveraging,
    Timer,
)

from callbacks import ClassErrors, DDPScaling, KeepFinite, PolyakAveraging, SamplePictures, StepSeed, Throughput
from callbacks.training.stop_signal import StopWithoutSaving
from records.config import read_config
from records.files import UnreadableError

ACCELERATORS = ("auto", "cpu", "gpu", "cuda", "mps", "tpu")
SHARES = tuple(f"limit_{split}_batches" for split in ("train", "val", "test", "predict"))
# Smaller ones would fail within Lightning, or be taken for something else.
LEAST = {"check_val_every_n_epoch": 1, "accumulate_grad_batches": 1, "num_nodes": 1, "log_every_n_steps": 0}
LEAST |= {"max_epochs": -1, "max_steps": -1, "num_sanity_val_steps": -1, "gradient_clip_val": 0}
STEPS = ("training_step", "validation_step", "test_step")
# Whether they log something, and what, is known below.
KNOWN_LOGGING = (
    *(ClassErrors, DDPScaling, EarlyStopping, KeepFinite, LearningRateMonitor, ModelCheckpoint, PolyakAveraging),
    *(ProgressBar, SamplePictures, StepSeed, StopWithoutSaving, Throughput, Timer),
)


def check_settings(options: Namespace, command: str) -> None:
    """Refuse options that cannot be meant, and say how one is taken that may be meant otherwise.

    Args:
        options: Those of the command.
        command: Its name.

    Raises:
        ValueError: A device is not there, a file stands where a directory must, nothing would be trained, or a
            checkpoint would be saved outside the run or never.
    """
    trainer = options.trainer
    _check_devices(trainer.get("devices", "auto"), str(trainer.get("accelerator", "auto")))
    for name in ("run_dir", "resume"):
        path = options.get(name)
        if path is not None and Path(path).exists() and not Path(path).is_dir():
            raise ValueError(f"{name} names the directory of a run, and {path} is a file: name another.")
    for name in SHARES:
        _check_share(name, trainer.get(name), command)
    for name, least in LEAST.items():
        if isinstance(value := trainer.get(name), int | float) and not value >= least:
            raise ValueError(f"trainer.{name} must be at least {least}, not {value}.")
    if isinstance(interval := trainer.get("val_check_interval"), int | float) and not interval > 0:
        raise ValueError(f"trainer.val_check_interval must be above 0, not {interval}: 0.5 validates twice an epoch.")
    for name in ("max_epochs", "max_steps"):
        if command == "fit" and trainer.get(name) == 0:
            raise ValueError(
                f"trainer.{name} 0 trains nothing: set the length of the run, or use the command validate."
            )
    if not isinstance(trainer.get("callbacks"), str | None):
        for callback in trainer.callbacks if isinstance(trainer.callbacks, list) else [trainer.callbacks]:
            _check_checkpoint(callback)


def check_resumption(directory: Path, options: Namespace) -> None:
    """Refuse to go on with another number of accumulated batches, which would be another training from there on.

    Raises:
        ValueError: The run's config has another one.
    """
    try:
        trainer = read_config(directory).get("trainer")
    except UnreadableError:
        return
    saved = trainer.get("accumulate_grad_batches") if isinstance(trainer, Mapping) else None
    current = options.trainer.get("accumulate_grad_batches")
    if isinstance(saved, int) and saved != current:
        raise ValueError(
            f"The run {directory} adds up the gradients of {saved} batch(es), and trainer.accumulate_grad_batches is "
            f"{current}: resume with {saved}, or start a new run."
        )


def missing_run(words: Iterable[str]) -> str | None:
    """What is wrong with `--resume RUN` where no run is, in a command line that names no config; None if nothing is."""
    listed = list(words)
    if "fit" not in listed or any(word in ("-c", "--config") or word.startswith("--config=") for word in listed):
        return None
    for word, following in zip(listed, [*listed[1:], ""], strict=True):
        name = word.removeprefix("--resume=") if word.startswith("--resume=") else following
        if not word.startswith("--resume") or name == "auto" or not name:
            continue
        run = Path(os.path.expanduser(name))
        if run.is_dir():
            return None if (run / "config.yaml").exists() else f"{name} is no directory of a run, it has no config.yaml"
        others = [str(path) for path in run.parent.glob("*") if path.is_dir()] if run.parent.is_dir() else []
        meant = get_close_matches(str(run), others, n=1)
        return f"There is no run {name}{f'; did you mean {meant[0]}?' if meant else ': name its directory'}"
    return None


class CheckBeforeFirstStep(Callback):
    """Refuses, before the first step, to monitor what nothing logs, and rates that would not be those of the recipe."""

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Look at the callbacks and the schedules.

        Raises:
            ValueError: One monitors a metric that is not logged, a schedule is too short, or one rate would replace
                several.
        """
        _check_one_rate(trainer)
        known = logged_names(trainer, pl_module)
        callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]
        monitors = {type(callback).__name__: getattr(callback, "monitor", None) for callback in callbacks}
        if pl_module.automatic_optimization:
            monitors |= {
                type(c.scheduler).__name__: c.monitor for c in trainer.lr_scheduler_configs if c.reduce_on_plateau
            }
            _check_length_of_schedules(trainer)
        for name, monitor in monitors.items():
            if known is not None and isinstance(monitor, str) and monitor not in known:
                meant = get_close_matches(monitor, known, n=1)
                remedy = f"did you mean {meant[0]}? It has" if meant else "choose among"
                raise ValueError(f"{name} monitors {monitor}, which nothing logs: {remedy} {', '.join(sorted(known))}.")


def logged_names(trainer: Trainer, module: LightningModule) -> set[str] | None:
    """Names under which a run logs metrics; None where other callbacks or the module may log what nobody declares.

    A module declares them by a method `metric_names`; one that inherits it and has steps of its own declares nothing.
    """
    callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]
    foreign = [
        callback
        for callback in callbacks
        if not isinstance(callback, (*KNOWN_LOGGING, CheckBeforeFirstStep))
        and not type(callback).__module__.startswith(("experiment.", "lightning."))
    ]
    kind = type(module)
    declaring = next((base for base in kind.__mro__ if "metric_names" in vars(base)), None)
    if foreign or declaring is None:
        return None
    if any(getattr(kind, name) is not getattr(declaring, name) for name in STEPS):
        return None
    speed = {f"throughput/{name}" for name in ("images_per_second", "peak_memory_gib")}
    rates = {f"lr-{type(optimizer).__name__}" for optimizer in trainer.optimizers}
    declared: set[str] = module.metric_names()  # type: ignore[operator]
    return declared | {"images_seen", "epoch", "step"} | speed | rates


def _check_length_of_schedules(trainer: Trainer) -> None:
    for config in trainer.lr_scheduler_configs:
        length = getattr(config.scheduler, "total_steps", None)
        steps = trainer.estimated_stepping_batches if config.interval == "step" else trainer.max_epochs
        if steps is None or steps < 0:
            steps = math.inf
        if isinstance(length, int) and steps / config.frequency > length:
            unit = "updates" if config.interval == "step" else "epochs"
            wanted = f"total_steps to {int(steps)}" if math.isfinite(steps) else "trainer.max_epochs"
            raise ValueError(
                f"{type(config.scheduler).__name__} ends after {length} {unit}, and the run has "
                f"{int(steps) if math.isfinite(steps) else 'no end of its own'}: set {wanted}, or choose another unit "
                "with model.lr_scheduler_interval."
            )


def _check_one_rate(trainer: Trainer) -> None:
    """Refuse StochasticWeightAveraging where the parameters have factors of the rate, which it would forget."""
    callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]
    if not any(isinstance(callback, StochasticWeightAveraging) for callback in callbacks):
        return
    groups = [group for optimizer in trainer.optimizers for group in optimizer.param_groups]
    if any(group.get("lr_scale", 1) != 1 or "fixed_lr" in group for group in groups):
        raise ValueError(
            "StochasticWeightAveraging gives all parameters rates of its own, and this network's have factors of the "
            "rate: leave it out, use PolyakAveraging, or set model.bias_lr_scale to 1 and leave out model.bias_lr."
        )


def _check_devices(devices: Any, accelerator: str) -> None:
    if accelerator not in ACCELERATORS:
        return  # a plugin's; Lightning knows
    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    other = torch.backends.mps.is_available()
    if accelerator in ("gpu", "cuda") and not gpus and not (other and accelerator == "gpu"):
        raise ValueError(
            f"trainer.accelerator is {accelerator}, and PyTorch finds no GPU on this machine: use "
            "--trainer.accelerator cpu, or install a driver and a torch for it."
        )
    if accelerator == "mps" and not other:
        raise ValueError("trainer.accelerator is mps, which is a Mac's: use auto, cpu or gpu.")
    if devices in (None, "auto"):
        return
    on_gpus = accelerator in ("gpu", "cuda") or (accelerator == "auto" and gpus > 0)
    text = str(devices).strip("[]").replace(" ", "")
    try:
        numbers = [int(part) for part in text.split(",") if part]
    except ValueError:
        raise ValueError(f"trainer.devices must be auto, a number or a list of numbers, not {devices}.") from None
    several = isinstance(devices, list | tuple) or "," in text
    if not on_gpus and (several or numbers != [abs(number) for number in numbers] or numbers == [0]):
        raise ValueError(
            f"trainer.devices is {devices}, and a processor has no numbered devices: give the number of processes, "
            "such as --trainer.devices 2, or auto."
        )
    if on_gpus and gpus:
        wrong = [number for number in numbers if not 0 <= number < gpus] if several else []
        if wrong or (not several and (numbers == [0] or numbers[0] < -1 or numbers[0] > gpus)):
            raise ValueError(f"trainer.devices is {devices}, and this machine has {gpus} GPU(s), counted from 0.")


def _check_share(name: str, value: Any, command: str) -> None:
    if value is None or isinstance(value, bool):
        return
    if value < 0 or (value > 1 and value != int(value)):
        raise ValueError(f"trainer.{name} is {value}: give a share from 0.0 to 1.0, or a whole number of batches.")
    split = name.split("_")[1]
    if value == 0 and {"fit": "train", "validate": "val"}.get(command, command) == split:
        raise ValueError(f"trainer.{name} is 0, so that {command} has nothing to do: leave it out.")


def _check_checkpoint(callback: Any) -> None:
    """Refuse a name that leads out of the run's folder of checkpoints, and intervals below zero."""
    arguments = callback.get("init_args") if isinstance(callback, Mapping | Namespace) else None
    if not arguments:
        return
    name = str(callback.get("class_path")).rpartition(".")[2]
    filename = arguments.get("filename")
    if isinstance(filename, str) and (PurePath(filename).is_absolute() or ".." in PurePath(filename).parts):
        raise ValueError(f"{name}.filename is {filename}, which leads out of the run: give a name without folders.")
    for option, value in vars(arguments).items() if isinstance(arguments, Namespace) else arguments.items():
        if option.startswith("every_n_") and isinstance(value, int) and value < 0:
            raise ValueError(f"{name}.{option} is {value}: give a number of at least 1, or null.")
