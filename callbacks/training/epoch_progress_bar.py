"""One line of progress for an epoch, without the number that Lightning gives to a logger's version."""

from typing import Any, ClassVar

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import TQDMProgressBar

from lightning_modules.classifier import is_logged_step

Metrics = dict[str, int | str | float | dict[str, float]]


class EpochProgressBar(TQDMProgressBar):
    """Progress of the epoch, with the loss and the accuracy.

    Numbers of the training are those of the last step that was logged, so that in no other the host waits for a GPU.

    Args:
        refresh_rate: Number of batches between two updates of the bar; 0 turns it off.
        leave: Whether the bar of each epoch stays on the screen.
    """

    finds_by_itself: ClassVar[tuple[str, ...]] = ("train/loss",)
    """Numbers of steps that it shows without `prog_bar`, for which Lightning would read them in each step."""

    def __init__(self, refresh_rate: int = 5, leave: bool = True) -> None:
        super().__init__(refresh_rate=refresh_rate, leave=leave)
        self._metrics: Metrics = {}

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Move the bar."""
        if is_logged_step(trainer):
            self._read(trainer, pl_module)
        super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Show what the epoch came to."""
        self._read(trainer, pl_module)
        super().on_train_epoch_end(trainer, pl_module)

    def get_metrics(self, trainer: Trainer, pl_module: LightningModule) -> Metrics:
        """What stands behind the bar."""
        if not trainer.training:
            self._read(trainer, pl_module)
        return dict(self._metrics)

    def _read(self, trainer: Trainer, pl_module: LightningModule) -> None:
        found = {
            name: trainer.callback_metrics[name] for name in self.finds_by_itself if name in trainer.callback_metrics
        }
        self._metrics = {name: float(value) for name, value in found.items()} | super().get_metrics(trainer, pl_module)
        self._metrics.pop("v_num", None)
