"""What a run writes of itself: its whole resolved config, and what came out."""

import os
import platform
import subprocess
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
import yaml
from jsonargparse import Namespace
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.cli import LightningArgumentParser, SaveConfigCallback
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities import rank_zero_info
from lightning.pytorch.utilities.exceptions import SIGTERMException

from callbacks.scaling.ddp_scaling import accumulated_batches
from callbacks.scaling.throughput import Throughput
from experiment.csv_logger import ResumableCSVLogger
from experiment.resume import epochs_of, portable, prepare, remove_what_comes_again, without_start
from experiment.run_directory import RunDirectory
from experiment.wandb_logger import ResilientWandbLogger
from lightning_modules import ImageClassifier, NonFiniteLossError
from lightning_modules.gan import GAN
from lightning_modules.model_card import count_parameters, model_card
from records.config import write_config
from records.files import UnreadableError
from records.metrics import BETTER
from records.summary import COMPLETED, FAILED, INTERRUPTED, RUNNING, Best, Summary

PACKAGES = ("torch", "torchvision", "lightning", "torchmetrics", "wandb")
TOLD_TO_LOGGERS = {"images_per_second", "wall_time_seconds", "measured_images"}
COMMANDS = {TrainerFn.FITTING: "fit", TrainerFn.VALIDATING: "validate", TrainerFn.TESTING: "test"}


class RunRecord(SaveConfigCallback):
    """Writes `config.yaml` and `summary.json` into the run's directory, and gives both to the loggers.

    Both are there from the first batch on, and not before, as a command that is refused leaves nothing behind. The
    summary then has the status `running`, so that a run that was killed is not taken for one that never was; it is
    written anew after each validation and at the end. A run that goes on keeps what it has until there is more.
    """

    def __init__(self, parser: LightningArgumentParser, config: Namespace, directory: RunDirectory) -> None:
        super().__init__(parser, without_start(config), save_to_log_dir=False)
        self.directory = directory
        self.opening: dict[str, Any] = {}
        self.summary = Summary()
        self.earlier = Summary()
        self.has_begun = False
        self.waits_for_test = False
        self._metrics: dict[str, float] = {}
        self._measured_images: dict[str, float] = {}
        self._counted = 0
        self._csv_loggers: list[ResumableCSVLogger] = []
        self._max_steps = -1
        self._restored: set[str] = set()
        self.batches: float | None = None  # of an epoch
        self.best: dict[str, dict[str, float]] = {}
        self.earlier_seconds = 0.0
        self._start = time.perf_counter()

    def save_config(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Write the config; an earlier one of the same run that differs is kept under another name."""
        write_config(self.directory.path, self.parser.dump(self.config, skip_unset=False))

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Tell the loggers what is known before the first step."""
        if self._tests_a_fit(trainer):
            return
        self._csv_loggers = [one for one in trainer.loggers if isinstance(one, ResumableCSVLogger)]
        if trainer.is_global_zero:
            self.opening = self._opening(trainer, pl_module)
            known = Summary(**self.opening).plain()
            config = yaml.safe_load(self.parser.dump(self.config, skip_unset=False, skip_link_targets=False))
            for logger in _wandb_loggers(trainer):
                logger.record_config({"config": config, **known})
                logger.record_summary({"model": known["model"]})

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Count a run that goes on in epochs while it is restored; `on_train_start` takes that back.

        One that is counted in steps Lightning 2.6.6 would take for stopped within an epoch though it was at its end,
        which it would then end once more.
        """
        self._max_steps = trainer.max_steps
        if trainer.ckpt_path is not None:
            trainer.fit_loop.epoch_loop.max_steps = -1

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Make the state fit a run that goes on, wherever it lies now."""
        if trainer.state.fn == TrainerFn.FITTING:
            self._restored = prepare(trainer, checkpoint)

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Leave the place of the run out of its checkpoints."""
        checkpoint["callbacks"] = portable(checkpoint["callbacks"], trainer.checkpoint_callbacks)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Remove what a run that goes on will save again.

        Raises:
            ValueError: Its epochs would be of other batches than those before.
        """
        trainer.fit_loop.epoch_loop.max_steps = self._max_steps
        earlier, self.batches = self.batches, trainer.num_training_batches
        if earlier not in (None, self.batches):
            raise ValueError(
                f"An epoch of this run has {earlier:g} batches, and would now have {self.batches:g}: to go on, leave "
                "--trainer.limit_train_batches as it was."
            )
        if trainer.is_global_zero and trainer.ckpt_path is not None:
            remove_what_comes_again(trainer, self.directory.path, self._restored)

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Write the record with the first batch."""
        self._begin(trainer, pl_module)

    def on_validation_batch_start(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        """Write the record with the first batch."""
        if trainer.state.fn != TrainerFn.FITTING:
            self._begin(trainer, pl_module)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Count the images anew."""
        self._counted = 0

    on_test_start = on_validation_start

    def on_validation_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, *_: Any, **__: Any
    ) -> None:
        """Count the images of a batch, without those that only fill it."""
        if isinstance(pl_module, ImageClassifier) and outputs is not None:
            self._counted += len(outputs["labels"])

    on_test_batch_end = on_validation_batch_end

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Add up the images of all ranks."""
        if isinstance(pl_module, ImageClassifier) and not trainer.sanity_checking:
            images = torch.tensor(self._counted, device=pl_module.device)
            split = "test" if trainer.state.fn == TrainerFn.TESTING else "val"
            self._measured_images[split] = int(trainer.strategy.reduce(images, reduce_op="sum"))

    on_test_epoch_end = on_validation_epoch_end

    def on_test_batch_start(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        """Write the record with the first batch."""
        self._begin(trainer, pl_module)

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Note what came out."""
        if self._tests_a_fit(trainer):
            self._write(trainer, RUNNING)
            for logger in _wandb_loggers(trainer):
                logger.record_summary(self.summary.model_dump(include=TOLD_TO_LOGGERS))
            for name in ("test/acc1", "test/loss"):
                if name in self._metrics:
                    rank_zero_info(f"{name} of the chosen checkpoint: {self._metrics[name]:.4f}")

    def on_predict_batch_start(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        """Write the record with the first batch."""
        self._begin(trainer, pl_module)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Note the best values so far."""
        if trainer.sanity_checking:
            return
        for name, better in BETTER.items():
            if name in trainer.callback_metrics:
                value = float(trainer.callback_metrics[name])
                earlier = self.best[name]["value"] if name in self.best else None
                if earlier is None or {"max": max, "min": min}[better](value, earlier) != earlier:
                    self.best[name] = {"value": value, "epoch": trainer.current_epoch, "step": trainer.global_step}
        self._write(trainer, RUNNING)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Put what only the record measures into the loggers' summaries."""
        self._write(trainer, RUNNING)
        for logger in _wandb_loggers(trainer):
            logger.record_summary(self.summary.model_dump(include=TOLD_TO_LOGGERS))

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Note what ended the run, if it had begun."""
        if not self.has_begun:
            for logger in _wandb_loggers(trainer):
                logger.end()
            return
        interrupted = isinstance(exception, KeyboardInterrupt | SIGTERMException)
        error = None if interrupted else f"{type(exception).__name__}: {exception}".splitlines()[0]
        for logger in _wandb_loggers(trainer):
            if isinstance(exception, NonFiniteLossError):
                logger.alert("A number is not finite", str(exception))
            preempted = isinstance(exception, SIGTERMException)
            logger.note_ending("preempted" if preempted else "stopped" if interrupted else "failed")
        self._write(trainer, INTERRUPTED if interrupted else FAILED, error)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Note the end, if nothing went wrong and nothing more is to come.

        Raises:
            ValueError: There was nothing to do.
        """
        only_tests = self.waits_for_test and trainer.ckpt_path is not None
        if not self.has_begun and not only_tests:
            raise ValueError(
                "Nothing was done, because there is no batch: raise --trainer.max_epochs, --trainer.max_steps or the "
                "limit of batches that is 0."
            )
        if not (self.waits_for_test and trainer.state.fn == TrainerFn.FITTING):
            self.complete(trainer)

    def complete(self, trainer: Trainer) -> None:
        """Note the end, if nothing went wrong."""
        if self.summary.status == RUNNING:
            self._write(trainer, COMPLETED)
            for logger in _wandb_loggers(trainer) if self.opening.get("command") == "fit" else ():
                logger.log_class_errors(self.directory.path)  # last: W&B may take long over a table, or fail

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run carries on."""
        rows = next((logger.row_count for logger in self._csv_loggers), None)
        return {"best": self.best, "seconds": self._seconds(), "metrics_rows": rows, "batches": self.batches}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Carry on with the best values and the time of the run's earlier parts."""
        if self.waits_for_test and self.has_begun:  # the chosen checkpoint knows less than the run
            return
        self.best = state_dict["best"]
        self.earlier_seconds = state_dict["seconds"]
        self.batches = state_dict.get("batches")
        for logger in self._csv_loggers:
            logger.rows_before = state_dict.get("metrics_rows")

    def _begin(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the config, and what is known before the first step, beside what an earlier part of the run has."""
        if self.has_begun:
            return
        self.has_begun = True
        self.directory.keep()
        if trainer.is_global_zero:
            if self.opening["command"] == "fit" and trainer.ckpt_path is not None:
                with suppress(UnreadableError):
                    self.earlier = Summary.read_if_any(self.directory.path) or Summary()
            self.save_config(trainer, pl_module, "")
            self._write(trainer, RUNNING)

    def _opening(self, trainer: Trainer, pl_module: LightningModule) -> dict[str, Any]:
        data = getattr(trainer, "datamodule", None)
        model: dict[str, Any] = {"class": f"{type(pl_module).__module__}.{type(pl_module).__qualname__}"}
        if isinstance(pl_module, ImageClassifier):
            card = model_card(pl_module)
            rank_zero_info(str(card))
            model |= card.as_dict()
        elif isinstance(pl_module, GAN):
            counts = {name: count_parameters(getattr(pl_module, name)) for name in ("generator", "discriminator")}
            rank_zero_info(
                f"{pl_module.architecture}: {counts['generator'].total:,} parameters in the generator, "
                f"{counts['discriminator'].total:,} in the discriminator"
            )
            model |= {"architecture": pl_module.architecture, "parameters": asdict(counts["generator"])}
            model |= {"discriminator_parameters": asdict(counts["discriminator"])}
        assert trainer.state.fn is not None
        batch_size = getattr(data, "batch_size", None)
        return {
            "command": COMMANDS.get(trainer.state.fn, "predict"),
            "model": model,
            "data": data.description() if data is not None and hasattr(data, "description") else None,
            "seed": self.config.get("seed_everything"),
            "global_batch_size": batch_size
            and batch_size * trainer.world_size * accumulated_batches(trainer, pl_module),
            "precision": trainer.precision,
            "world_size": trainer.world_size,
            "started": _now(),
            "hardware": hardware(trainer.num_nodes),
            "versions": {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}},
            "git": git_state(),
            "wandb_id": next((logger.run_id for logger in _wandb_loggers(trainer)), None),
        }

    def _write(self, trainer: Trainer, status: str, error: str | None = None) -> None:
        if not trainer.is_global_zero:
            return
        speeds = [callback.run.images_per_second for callback in trainer.callbacks if isinstance(callback, Throughput)]  # type: ignore[attr-defined]
        self._metrics |= {name: float(value) for name, value in trainer.callback_metrics.items()}
        metrics = self.earlier.metrics | self._metrics
        self.summary = Summary(
            **self.opening,
            status=status,
            error=error,
            epochs=trainer.fit_loop.epoch_progress.current.completed,
            steps=trainer.global_step,
            images_seen=int(metrics.get("images_seen", 0)),
            metrics=metrics,
            measured_images=self.earlier.measured_images | self._measured_images,
            best={name: Best.model_validate(best) for name, best in self.best.items()},
            images_per_second=next((speed for speed in speeds if speed), self.earlier.images_per_second),
            wall_time_seconds=self._seconds(),
            finished=None if status == RUNNING else _now(),
        )
        self.summary.write(self.directory.path)

    def _tests_a_fit(self, trainer: Trainer) -> bool:
        """Whether the test images are measured at the end of a training, and not by a command of their own."""
        return self.waits_for_test and trainer.state.fn == TrainerFn.TESTING

    def _seconds(self) -> float:
        return self.earlier_seconds + time.perf_counter() - self._start


def _wandb_loggers(trainer: Trainer) -> list[ResilientWandbLogger]:
    return [logger for logger in trainer.loggers if isinstance(logger, ResilientWandbLogger)]


def complete_record(directory: Path, checkpoint: Mapping[str, Any]) -> None:
    """Note in the record of a run that it is complete, if a kill came between its last checkpoint and that."""
    try:
        summary = Summary.read(directory)
    except UnreadableError:
        return
    if summary.status != COMPLETED:
        told = {"epochs": epochs_of(checkpoint), "steps": checkpoint["global_step"]}
        ended = {"status": COMPLETED, "error": None, "finished": _now()}
        Summary(**{**summary.plain(), **told, **ended}).write(directory)


def lacks_test(directory: Path) -> bool:
    """Whether a run was stopped after its training, before the test images were measured."""
    try:
        summary = Summary.read(directory)
    except UnreadableError:
        return False
    return summary.status != COMPLETED and "test/acc1" not in summary.metrics


def recorded_wandb_id(directory: Path) -> str | None:
    """Id of the W&B run that an earlier part of the run in `directory` belongs to, if there is one."""
    try:
        return Summary.read(directory).wandb_id
    except UnreadableError:
        return None


def hardware(num_nodes: int) -> dict[str, Any]:
    """Processor, cores, memory in GiB and accelerators of this machine, and how many machines there are."""
    gpus = torch.cuda.device_count()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30 if hasattr(os, "sysconf") else None
    return {
        "cpu": _processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "memory_gib": memory and round(memory, 1),
        "gpu": torch.cuda.get_device_name() if gpus else None,
        "gpus": gpus,
        "hosts": num_nodes,
    }


def git_state() -> dict[str, Any] | None:
    """Commit of the checkout and whether tracked files differ from it; None outside a repository or without git."""
    root = Path(__file__).parent
    try:
        commit = _git(root, "rev-parse", "HEAD")
        return {"commit": commit, "dirty": bool(_git(root, "status", "--porcelain", "--untracked-files=no"))}
    except (OSError, subprocess.CalledProcessError):
        return None


def _git(folder: Path, *arguments: str) -> str:
    command = ["git", "-C", str(folder), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
