"""The state to evaluate: the best by what the module says."""

import math

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint


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
