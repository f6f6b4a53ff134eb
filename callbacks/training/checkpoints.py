"""Which states of a run are kept: the best, to evaluate, by what the module says; the newest, to resume from."""

import math
import signal
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities import rank_zero_info
from lightning.pytorch.utilities.exceptions import SIGTERMException

from callbacks.training.stop_signal import StopSignal


class BestCheckpoint(ModelCheckpoint):
    """Saves the best epoch, by the `monitor` and the `mode` that the module names, such as val/acc1 and max.

    Nothing is saved for a module that names none, as a GAN, nor beside a ModelCheckpoint of the user's own that
    monitors a metric, which then chooses the best epoch.

    A validation that is held only because the run stops within an epoch can choose a best one, too, but leaves the
    earlier one there: a run that goes on has that again.

    Args:
        filename: Name of the file, which begins with best and may hold {epoch} and {step}.
    """

    def __init__(self, filename: str = "best-{epoch:04d}") -> None:
        super().__init__(filename=filename, auto_insert_metric_name=False, enable_version_counter=False)

    @property
    def state_key(self) -> str:
        """The same for every module, for what is monitored is known from `setup` on."""
        return type(self).__qualname__

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Ask the module what to monitor."""
        monitor = getattr(pl_module, "monitor", None)
        if any(other is not self and getattr(other, "monitor", None) for other in trainer.checkpoint_callbacks):
            monitor = None
        if monitor is None:
            self.save_top_k = 0
        elif monitor != self.monitor:  # not again before a test, where the best value is known
            self.monitor, self.mode = monitor, pl_module.mode  # type: ignore[assignment]
            self.kth_value = torch.tensor(-math.inf if self.mode == "max" else math.inf)
        super().setup(trainer, pl_module, stage)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save the best."""
        if not self.monitor or not self.best_model_path or not is_held_for_a_stop(trainer):
            super().on_validation_end(trainer, pl_module)
            return
        score, best = trainer.callback_metrics[self.monitor], self.best_model_score
        assert best is not None
        is_better = bool(score > best if self.mode == "max" else score < best)
        position = {"epoch": torch.tensor(trainer.current_epoch), "step": torch.tensor(trainer.global_step)}
        if is_better and self.format_checkpoint_name(position) != self.best_model_path:
            self.save_top_k += 1  # keeps the earlier one
            super().on_validation_end(trainer, pl_module)
            self.save_top_k -= 1


class LatestCheckpoint(ModelCheckpoint):
    """Saves the state at the end of each epoch, every so many steps, and wherever a run stops within an epoch.

    It keeps the newest file only and, unlike `save_last=True`, does not wait for a metric to improve. After SIGTERM,
    SIGUSR1 or Ctrl+C to any of the ranks, all of them end the step that they are in, or the one after it; the state is
    saved, and each process exits with 128 + the signal's number: 143, 138 or 130. A validation is cut off, and held
    again when the run goes on.

    What a stop within an epoch (by max_steps, max_time, EarlyStopping) still validates is not a part of the state: a
    run that goes on is the one that never stopped.

    Args:
        every_n_steps: Number of updates between two checkpoints within an epoch; null saves at the end of each epoch
            only.
        filename: Name of the file, which may hold {epoch} and {step}.
    """

    def __init__(self, every_n_steps: int | None = None, filename: str = "last-{step:08d}") -> None:
        super().__init__(
            filename=filename,
            every_n_epochs=1,
            save_on_train_epoch_end=True,
            auto_insert_metric_name=False,
            enable_version_counter=False,
        )
        self.every_n_steps = every_n_steps
        self._resumed_from: Path | None = None
        self.stop_signal = StopSignal()
        self._step_before = 0
        self._stopped_by = 0
        self._is_whole_step = True
        self._saves_after_validation = False
        self._stops_after_update = False

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on, and remember the file that a newer one will replace."""
        super().load_state_dict(state_dict)
        self._resumed_from = Path(self.best_model_path)

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Have all ranks asked in each step whether to stop."""
        super().setup(trainer, pl_module, stage)
        if stage == "fit":
            self.stop_signal.ask_all_ranks(trainer)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Listen for signals."""
        super().on_train_start(trainer, pl_module)
        self._step_before, self._stopped_by = trainer.global_step, 0
        self._saves_after_validation = self._stops_after_update = False
        self.stop_signal.listen(trainer)

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Stop, now that what the step before has logged is written."""
        self._obey(trainer)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Save within the epoch, but not after its last batch.

        There Lightning 2.6.6 has not yet counted the epoch: resumed, it would leave out the validation, and resumed
        once more train an epoch too many. The end of the epoch is saved anyway, a validation later. So it is with a
        validation within the epoch, which a run that is resumed before it would leave out.
        """
        self._is_whole_step = trainer.global_step != self._step_before  # else gradients are being added up
        self._step_before = trainer.global_step
        self._saves_after_validation = False
        self._wait_for_an_update(trainer)
        if trainer.is_last_batch or not self._is_whole_step:
            return
        self._stopped_by = self.stop_signal.number(trainer)
        every = self.every_n_steps and trainer.global_step % self.every_n_steps == 0
        if self._stopped_by or every or is_ending(trainer):
            if validates_after(trainer, batch_idx):
                self._saves_after_validation = True
            else:
                self._save(trainer, pl_module)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Listen for signals; before the training, too, when Lightning tries out the validation."""
        if trainer.state.fn == TrainerFn.FITTING:
            self.stop_signal.begin_evaluation(trainer)

    def on_validation_batch_start(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        """Stop within a validation, but not while gradients are being added up, which no file holds."""
        if trainer.state.fn != TrainerFn.FITTING:
            return
        self._stopped_by = self.stop_signal.number_between_batches(trainer)
        if not self._stopped_by or not (self._is_whole_step or trainer.sanity_checking):
            return
        if not trainer.sanity_checking:
            as_begun(trainer.fit_loop.epoch_loop.val_loop.batch_progress)
            self._save(trainer, pl_module)
        self._obey(trainer)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save what waited for a validation within the epoch, or if that stops the run."""
        if trainer.state.fn != TrainerFn.FITTING or trainer.sanity_checking or trainer.is_last_batch:
            return
        self._wait_for_an_update(trainer)
        if self._saves_after_validation or (self._is_whole_step and is_ending(trainer)):
            self._saves_after_validation = False
            self._save(trainer, pl_module)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save, and stop before the next epoch if a signal asked for it.

        What was saved after this very step, because the run ends within its epoch, stays as it is.
        """
        self._stopped_by = self.stop_signal.number(trainer)
        self._save(trainer, pl_module)

    def _wait_for_an_update(self, trainer: Trainer) -> None:
        """Let a run that is to stop add up its gradients first, which no file holds."""
        if trainer.should_stop and not self._is_whole_step:
            trainer.should_stop, self._stops_after_update = False, True
        elif self._stops_after_update and self._is_whole_step:
            trainer.should_stop, self._stops_after_update = True, False

    def _obey(self, trainer: Trainer) -> None:
        if not self._stopped_by:
            return
        name, step, run = signal.Signals(self._stopped_by).name, trainer.global_step, trainer.default_root_dir
        if step:
            rank_zero_info(
                f"Stopped by {name} after step {step}, which is saved: go on with python main.py fit --resume {run}"
            )
        else:
            rank_zero_info(f"Stopped by {name} before the first step.")
        raise SIGTERMException(128 + self._stopped_by)

    def _save(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save, and remove what the run was resumed from: Lightning 2.6.6 would keep one more file for each resume."""
        super().on_train_epoch_end(trainer, pl_module)
        old, new = self._resumed_from, Path(self.best_model_path)
        if old and old != new and old.parent == new.parent and new.is_file():
            trainer.strategy.remove_checkpoint(old)
            self._resumed_from = None


def as_begun(progress: Any) -> None:
    """Make Lightning, when it restores the progress of a validation, hold it from its first batch on.

    By a batch that was started and not processed, it knows that a validation was cut off.
    """
    progress.increment_started()
    progress.current.ready = progress.current.started = 1
    progress.current.processed = progress.current.completed = 0


def is_ending(trainer: Trainer) -> bool:
    """Whether the run stops after this step: because it has done its steps, or was told to and may."""
    if trainer.max_steps != -1 and trainer.global_step >= trainer.max_steps:
        return True
    epochs: int = trainer.fit_loop.epoch_progress.current.processed  # type: ignore[attr-defined]
    enough = epochs >= (trainer.fit_loop.min_epochs or 0) and trainer.global_step >= (trainer.min_steps or 0)
    return trainer.should_stop and enough


def validates_after(trainer: Trainer, batch_idx: int) -> bool:
    """Whether a validation is due after this batch, stop or not."""
    every, epochs = trainer.val_check_batch, trainer.check_val_every_n_epoch
    if not trainer.enable_validation or every is None or every == math.inf:
        return False
    if epochs is None:
        return (trainer.fit_loop.total_batch_idx + 1) % every == 0
    return (trainer.current_epoch + 1) % epochs == 0 and (batch_idx + 1) % every == 0


def is_held_for_a_stop(trainer: Trainer) -> bool:
    """Whether this validation would not be held if the run did not stop here, within an epoch."""
    scheduled = trainer.is_last_batch or validates_after(trainer, trainer.fit_loop.batch_idx)
    return trainer.state.fn == TrainerFn.FITTING and trainer.should_stop and not scheduled
