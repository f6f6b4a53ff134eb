"""One line of progress for an epoch, without the number that Lightning gives to a logger's version."""

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import TQDMProgressBar


class EpochProgressBar(TQDMProgressBar):
    """Progress of the epoch, with the loss and the accuracy.

    Args:
        refresh_rate: Number of batches between two updates of the bar; 0 turns it off.
        leave: Whether the bar of each epoch stays on the screen.
    """

    def __init__(self, refresh_rate: int = 5, leave: bool = True) -> None:
        super().__init__(refresh_rate=refresh_rate, leave=leave)

    def get_metrics(
        self, trainer: Trainer, pl_module: LightningModule
    ) -> dict[str, int | str | float | dict[str, float]]:
        """What stands behind the bar."""
        metrics = super().get_metrics(trainer, pl_module)
        metrics.pop("v_num", None)
        return metrics
