"""How well a network fits its training images, measured as validation measures: in evaluation mode, on plain images."""

from typing import Any

import torch
import torch.nn.functional as F
from lightning.pytorch import Callback, LightningModule, Trainer

from lightning_modules.classifier import ImageClassifier


class TrainingError(Callback):
    """Logs `train_eval/acc1` and `train_eval/loss` of some training images at each validation of a training.

    `train/acc1` is of augmented images, with dropout, and with weights that change from step to step. The
    training error of papers (He et al. 2015, Fig. 6) is this one. The images are the same each time: evenly
    spaced in the training split, each without augmentation and as one view.

    Args:
        images: Largest number of training images to measure.

    Raises:
        ValueError: The number is below 1, or the data set does not offer its training images without augmentation.
    """

    def __init__(self, images: int = 2000) -> None:
        if images < 1:
            raise ValueError(f"TrainingError measures images: images={images} must be at least 1.")
        self.images = images

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Refuse a data set without plain training images."""
        if stage == "fit" and not hasattr(getattr(trainer, "datamodule", None), "plain_training_loader"):
            raise ValueError("TrainingError takes a DataModule with plain_training_loader: leave the callback out.")

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Measure and log."""
        if trainer.sanity_checking or trainer.state.fn != "fit" or not isinstance(pl_module, ImageClassifier):
            return
        data: Any = trainer.datamodule  # type: ignore[attr-defined]
        loader = data.plain_training_loader()
        count = min(self.images, loader.split.size)
        chosen = torch.arange(count, device=loader.split.device) * loader.split.size // count
        of_rank = chosen[trainer.global_rank :: trainer.world_size].split(loader.batch_size)
        sums = torch.zeros(3, dtype=torch.float64, device=pl_module.device)
        for batch in loader.split.batches((indices, None) for indices in of_rank):
            labels = batch.labels.to(pl_module.device)
            images = data.normalized(batch.images.to(pl_module.device))
            with trainer.precision_plugin.forward_context():
                logits = pl_module(pl_module.arranged(images)).float()
            right = (logits.argmax(-1) == labels).sum()
            sums += torch.stack(
                [right, F.cross_entropy(logits, labels, reduction="sum"), right.new_tensor(len(labels))]
            )
        right, loss, measured = trainer.strategy.reduce(sums, reduce_op="sum")
        pl_module.log_dict({"train_eval/acc1": right / measured, "train_eval/loss": loss / measured})
