"""Which states of a run are kept: the best, to evaluate, by what the module says; the newest, to resume from."""

import math
import signal
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.utilities import rank_zero_info
from lightning.pytorch.utilities.exceptions import SIGTERMException

from callbacks.training.stop_signal import StopSignal


class BestCheckpoint(ModelCheckpoint):
    """Saves the best epoch, by the `monitor` and the `mode` that the module names, such as val/acc1 and max.

    Nothing is saved for a module that names none, as a GAN, nor beside a ModelCheckpoint of the user's own that
    monitors a metric, which then chooses the best epoch.

    Args:
        filename: Name of the file, with {epoch} and {step}; it begins with best, by which `--ckpt_path RUN` finds it.
    """

    def __init__(self, filename: str = "best-{epoch:04d}") -> None:
        super().__init__(filename=filename, auto_insert_metric_name=False)

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


class LatestCheckpoint(ModelCheckpoint):
    """Saves the state at the end of each epoch, every so many steps, and when a signal asks the run to stop.

    It keeps the newest file only and, unlike `save_last=True`, does not wait for a metric to improve. After SIGTERM or
    SIGUSR1 to any of the ranks, all of them end the step that they are in, or the one after it; the state is saved, and
    each process exits with 128 + the signal's number: 143 or 138. A validation is finished first.

    Args:
        every_n_steps: Number of updates between two checkpoints within an epoch; null saves at the end of each epoch
            only.
        filename: Name of the file, with {epoch} and {step}.
    """

    def __init__(self, every_n_steps: int | None = None, filename: str = "last-{step:08d}") -> None:
        super().__init__(
            filename=filename, every_n_epochs=1, save_on_train_epoch_end=True, auto_insert_metric_name=False
        )
        self.every_n_steps = every_n_steps
        self._resumed_from: Path | None = None
        self._stop_signal = StopSignal()
        self._step_before = 0
        self._stopped_by = 0

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on, and remember the file that a newer one will replace."""
        super().load_state_dict(state_dict)
        self._resumed_from = Path(self.best_model_path)

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Have all ranks asked in each step whether to stop."""
        super().setup(trainer, pl_module, stage)
        if stage == "fit":
            self._stop_signal.ask_all_ranks(trainer)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Listen for signals."""
        super().on_train_start(trainer, pl_module)
        self._step_before, self._stopped_by = trainer.global_step, 0
        self._stop_signal.listen(trainer)

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Stop, now that what the step before has logged is written."""
        if self._stopped_by:
            rank_zero_info(
                f"Stopped by {signal.Signals(self._stopped_by).name} after step {trainer.global_step}, which is saved: "
                f"go on with python main.py fit --resume {trainer.default_root_dir}"
            )
            raise SIGTERMException(128 + self._stopped_by)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Save within the epoch, but not after its last batch.

        There Lightning 2.6.6 has not yet counted the epoch: resumed, it would leave out the validation, and resumed
        once more train an epoch too many. The end of the epoch is saved anyway, a validation later.
        """
        updated = trainer.global_step != self._step_before  # else gradients are being added up, which no file holds
        self._step_before = trainer.global_step
        if trainer.is_last_batch:
            return
        if updated:
            self._stopped_by = self._stop_signal.number(trainer)
        if self._stopped_by or (self.every_n_steps and trainer.global_step % self.every_n_steps == 0):
            self._save(trainer, pl_module)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save, and stop before the next epoch if a signal asked for it."""
        self._stopped_by = self._stop_signal.number(trainer)
        self._save(trainer, pl_module)

    def _save(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save, and remove what the run was resumed from: Lightning 2.6.6 would keep one more file for each resume."""
        super().on_train_epoch_end(trainer, pl_module)
        old, new = self._resumed_from, Path(self.best_model_path)
        if old and old != new and old.parent == new.parent and new.is_file():
            trainer.strategy.remove_checkpoint(old)
            self._resumed_from = None
