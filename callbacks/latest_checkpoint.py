"""The state to resume from: the newest, whatever the metrics say."""

from pathlib import Path
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint


class LatestCheckpoint(ModelCheckpoint):
    """Saves the state at the end of each epoch, and within it every so many steps; keeps the newest file only.

    Unlike `save_last=True`, it does not wait for a metric to improve.

    Args:
        every_n_steps: Updates between two checkpoints within an epoch; null saves at its end only.
        filename: Name of the file, with {epoch} and {step}.
    """

    def __init__(self, every_n_steps: int | None = None, filename: str = "last-{step:08d}") -> None:
        super().__init__(
            filename=filename, every_n_epochs=1, save_on_train_epoch_end=True, auto_insert_metric_name=False
        )
        self.every_n_steps = every_n_steps
        self._resumed_from: Path | None = None

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on, and remember the file that a newer one will replace."""
        super().load_state_dict(state_dict)
        self._resumed_from = Path(self.best_model_path)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save, and remove what the run was resumed from: Lightning 2.6.6 would keep one more file for each resume."""
        super().on_train_epoch_end(trainer, pl_module)
        old, new = self._resumed_from, Path(self.best_model_path)
        if old and old != new and old.parent == new.parent and new.is_file():
            trainer.strategy.remove_checkpoint(old)
            self._resumed_from = None

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Save within the epoch, but not after its last batch.

        There Lightning 2.6.6 has not yet counted the epoch: resumed, it would leave out the validation, and resumed
        once more train an epoch too many. The end of the epoch is saved anyway, a validation later.
        """
        if self.every_n_steps and trainer.global_step % self.every_n_steps == 0 and not trainer.is_last_batch:
            self.on_train_epoch_end(trainer, pl_module)
