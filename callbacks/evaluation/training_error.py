"""How a network does on images that it trains on, judged as the validation images are."""

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor
from torchmetrics import MeanMetric

from callbacks.measured_steps import image_classifier
from lightning_modules.classifier import ImageClassifier
from lightning_modules.evaluation_views import negative_log_likelihood


class TrainingError(Callback):
    """Measures loss and accuracy on the same training images at the end of epochs, in evaluation mode.

    `train/acc1` is of augmented images, with dropout and the statistics of their batch, and of weights that change
    meanwhile. `train_eval/acc1` and `train_eval/loss` are of the images as they are, by running averages, after the
    epoch: what papers call training error (He et al. 2015, Fig. 6, compares plain networks by it). Training goes on as
    if it had not been measured. Ranks share the images, and count each once.

    Args:
        images: Number of training images, the same in each epoch; null for all.
        every_n_epochs: Number of epochs from one measurement to the next; the last epoch is always measured.

    Raises:
        ValueError: An argument is below 1; in `setup`: the network is no classifier, or the data set cannot give its
            training images without augmentation.
    """

    def __init__(self, images: int | None = 2000, every_n_epochs: int = 1) -> None:
        for name, value in (("images", images), ("every_n_epochs", every_n_epochs)):
            if value is not None and value < 1:
                raise ValueError(f"TrainingError.{name} must be at least 1, not {value}.")
        self.images = images
        self.every_n_epochs = every_n_epochs

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Check the network and the data set, before anything is trained."""
        image_classifier(pl_module, "TrainingError")
        if not hasattr(getattr(trainer, "datamodule", None), "plain_training_loader"):
            raise ValueError(
                "TrainingError takes a data set that gives training images without augmentation "
                "(plain_training_loader): leave the callback out."
            )

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Measure, if it is time."""
        epoch = trainer.current_epoch + 1
        if epoch % self.every_n_epochs == 0 or epoch == trainer.max_epochs:
            network = image_classifier(pl_module, "TrainingError")
            for name, value in self._measured(trainer, network).items():
                # All ranks have the same value already; their maximum is that value, to the bit.
                pl_module.log(f"train_eval/{name}", value, sync_dist=True, reduce_fx="max")

    @torch.no_grad()
    def _measured(self, trainer: Trainer, network: ImageClassifier) -> dict[str, Tensor]:
        metrics = {name: MeanMetric().to(network.device) for name in ("loss", "acc1")}
        data = trainer.datamodule  # type: ignore[attr-defined]
        loader = data.plain_training_loader()
        chosen = fixed_subset(loader.split.size, self.images)[trainer.global_rank :: trainer.world_size]
        modes = {module: module.training for module in network.modules()}
        network.eval()
        try:
            requests = ((indices, None) for indices in chosen.to(loader.split.device).split(loader.batch_size))
            for batch in loader.split.batches(requests):
                moved = batch._replace(**{name: getattr(batch, name).to(network.device) for name in FIELDS})
                with trainer.precision_plugin.val_step_context():
                    outputs = network.evaluated(data.on_after_batch_transfer(moved, 0))
                probabilities, labels = outputs["probabilities"], outputs["labels"]
                metrics["loss"].update(negative_log_likelihood(probabilities, labels))
                metrics["acc1"].update((probabilities.argmax(-1) == labels).float())
        finally:
            for module, training in modes.items():
                module.training = training
        return {name: metric.compute() for name, metric in metrics.items()}


FIELDS = ("images", "labels", "indices")
"""Tensors of a batch."""


def fixed_subset(count: int, size: int | None) -> Tensor:
    """Indices of `size` of `count` images, ascending, which depend on these numbers alone; all if there are fewer."""
    order = torch.randperm(count, generator=torch.Generator().manual_seed(0))
    return order[: count if size is None else size].sort().values
