"""Measures the samples of a generator against real images, while it is trained and afterwards."""

from pathlib import Path
from typing import Any, Literal, Protocol, get_args, runtime_checkable

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor
from torchmetrics.utilities.distributed import gather_all_tensors

from callbacks.gan.distances import bias_warning
from callbacks.gan.feature_spaces import FeatureSpace, InceptionFeatures, read_classifier
from callbacks.gan.measures import MEASURES, OF_PIXELS, ImageSet, MeasureName, measured, reference
from callbacks.gan.pixels import as_bytes
from callbacks.measured_steps import evaluated_split, log_evaluation
from records.measures import add_measurement

INCEPTION = "inception"
FEW = 64


@runtime_checkable
class Samples(Protocol):
    """What a module must have: images that it makes."""

    def sample(self, count: int, labels: Tensor | None = None, *, seed: int = 0) -> Tensor:
        """Images (count, C, H, W) in [-1, 1], the same for the same seed."""


class SampleMeasures(Callback):
    """Measures samples at the end of a validation or test: FID, KID, Inception score, precision, recall and others.

    Figures in the features of Inception are named after it (`val/fid_inception`, `val/inception_score`), those in the
    features of a classifier after that (`val/fid_resnet20`, `val/classifier_score_resnet20`). Each is also in
    `measures.json` in the run's directory, with the numbers of images, the rest of the protocol, and for distances and
    score what real images themselves come to. Real images are all those of the evaluated split, as 8 bits a channel, as
    samples are.

    All ranks hand in their real images; rank 0 draws the samples and measures, while the others wait for its figures.

    Args:
        features: Network whose features are compared: inception, or a classifier, by the directory of its run or a
            checkpoint in it; null for diversity and parzen, which compare pixels.
        measures: Measures to take: fid, kid, score, precision_recall, density_coverage, diversity, parzen; by default
            all but parzen, and only diversity without features.
        images: Number of samples to measure.
        every_n_epochs: Number of epochs between two measurements in fit, which also measures after its last epoch.
        real_split: Split of the real images. evaluated: the split under evaluation; train: the training split, as in
            StudioGAN's protocol, which adds _train to the names of the figures.
        seed: Seed of the samples' latents, the same for each measurement.
        batch_size: Number of images in a batch of the feature network.
        inception_weights: File of Inception's weights; null downloads them.

    Raises:
        ValueError: The arguments do not go together; in `setup`: the network of features is not there or takes other
            images, or the module makes none.
    """

    def __init__(
        self,
        features: str | None = None,
        measures: list[MeasureName] | None = None,
        images: int = 10_000,
        every_n_epochs: int = 10,
        real_split: Literal["evaluated", "train"] = "evaluated",
        seed: int = 0,
        batch_size: int = 250,
        inception_weights: str | None = None,
    ) -> None:
        if measures is None:
            # A Parzen window ranks models wrongly, so it is measured only where it is asked for.
            measures = [name for name in MEASURES if name != "parzen"] if features else ["diversity"]
        unknown = [name for name in measures if name not in MEASURES]
        if unknown or not measures or len(set(measures)) < len(measures):
            names = ", ".join(get_args(MeasureName))
            raise ValueError(f"SampleMeasures.measures must be one or more different of {names}, not {measures}.")
        if features is None and not set(measures) <= set(OF_PIXELS):
            raise ValueError(
                "SampleMeasures compares images in the features of a network: set features to inception, or to the run "
                "of a classifier."
            )
        least = {"images": (images, 2), "every_n_epochs": (every_n_epochs, 1), "batch_size": (batch_size, 1)}
        for name, (value, lowest) in least.items():
            if value < lowest:
                raise ValueError(f"SampleMeasures.{name} must be at least {lowest}, not {value}.")
        if real_split not in ("evaluated", "train"):
            raise ValueError(f"SampleMeasures.real_split must be evaluated or train, not {real_split}.")
        self.features = features
        self.measures = measures
        self.images = images
        self.every_n_epochs = every_n_epochs
        self.real_split = real_split
        self.seed = seed
        self.batch_size = batch_size
        self.inception_weights = inception_weights
        self._space: FeatureSpace | None = None
        self._real: dict[str, ImageSet] = {}
        self._references: dict[str, dict[str, float]] = {}
        self._collected: list[tuple[Tensor, Tensor]] = []

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Load the network of features, before anything is trained."""
        if not isinstance(pl_module, Samples):
            raise ValueError(
                f"SampleMeasures measures what a module samples, but {type(pl_module).__name__} has no method sample: "
                "leave the callback out."
            )
        if self.real_split == "train" and not hasattr(getattr(trainer, "datamodule", None), "plain_training_loader"):
            raise ValueError(
                "SampleMeasures.real_split train takes a DataModule with plain_training_loader: set it to evaluated."
            )
        if self._space is None and not set(self.measures) <= set(OF_PIXELS):
            assert self.features is not None
            inception = self.features == INCEPTION
            self._space = InceptionFeatures(self.inception_weights) if inception else read_classifier(self.features)
        sizes = [getattr(pl_module, name, None) for name in ("in_channels", "image_size")]
        if self._space is not None and isinstance(sizes[0], int) and isinstance(sizes[1], int):
            self._space.check(sizes[0], sizes[1])

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Collect anew."""
        self._collected = []

    on_test_epoch_start = on_validation_epoch_start

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Keep the real images, the first time."""
        wanted = self.real_split != "train" and evaluated_split(trainer) not in self._real and not dataloader_idx
        if wanted and self._is_due(trainer):
            counted = batch.labels >= 0
            self._collected.append((as_bytes(batch.images[counted]), batch.indices[counted].cpu()))

    on_test_batch_end = on_validation_batch_end

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Measure, if it is time."""
        if self._is_due(trainer):
            self._measure(trainer, pl_module, evaluated_split(trainer))

    on_test_epoch_end = on_validation_epoch_end

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Forget the real images, which another command may replace, and leave the device."""
        self._real.clear()
        self._references.clear()
        self._collected = []
        if self._space is not None:
            self._space.to(torch.device("cpu"))

    def _is_due(self, trainer: Trainer) -> bool:
        if trainer.sanity_checking:
            return False
        epoch = trainer.current_epoch + 1
        fitting = trainer.state.fn == "fit"
        return not fitting or epoch % self.every_n_epochs == 0 or epoch == trainer.max_epochs

    def _measure(self, trainer: Trainer, pl_module: LightningModule, split: str) -> None:
        self._gather(trainer, pl_module, split)
        # What goes wrong on rank 0 ends all ranks; else the others would wait for ever.
        values: dict[str, float] = {}
        failure: str | None = None
        if trainer.is_global_zero:
            try:
                values = self._figures(trainer, pl_module, split)
            except ValueError as error:
                failure = str(error)
            except Exception as error:
                trainer.strategy.broadcast(({}, f"Rank 0 could not measure: {error!r}"))
                raise
        values, failure = trainer.strategy.broadcast((values, failure))
        if failure is not None:
            raise ValueError(failure)
        log_evaluation(trainer, pl_module, values)

    def _gather(self, trainer: Trainer, pl_module: LightningModule, split: str) -> None:
        """Bring the real images of all ranks together, in the order of the split, whatever their number."""
        if split in self._real:
            return
        if self.real_split == "train":
            if not trainer.is_global_zero:
                return
            batches = trainer.datamodule.plain_training_loader()  # type: ignore[attr-defined]
            images = torch.cat([batch.images.cpu() for batch in batches])
        elif self._collected:
            images, indices = (torch.cat(parts) for parts in zip(*self._collected, strict=True))
            self._collected = []
            if trainer.world_size > 1:
                images, indices = (
                    torch.cat(gather_all_tensors(part.to(pl_module.device))).cpu() for part in (images, indices)
                )
            images = images[indices.argsort()]
        else:
            raise ValueError("SampleMeasures has no real images to compare with: set limit_val_batches above 0.")
        self._real[split] = ImageSet(images, self._space, pl_module.device, self.batch_size)

    @torch.no_grad()
    def _figures(self, trainer: Trainer, pl_module: LightningModule, split: str) -> dict[str, float]:
        real = self._real[split]
        assert isinstance(pl_module, Samples)
        quick = bool(trainer.fast_dev_run)  # type: ignore[attr-defined]
        count = min(FEW, self.images) if quick else self.images
        samples = as_bytes(pl_module.sample(count, seed=self.seed))
        if samples.shape[1:] != real.images.shape[1:]:
            raise ValueError(
                f"Samples have shape {tuple(samples.shape[1:])}, real images {tuple(real.images.shape[1:])}: set "
                "model.image_size and model.in_channels to those of the data set, or leave them out."
            )
        fake = ImageSet(samples, self._space, pl_module.device, self.batch_size)
        suffix = "_train" if self.real_split == "train" else ""
        values = measured(self.measures, real, fake, suffix)
        if not quick:
            if split not in self._references:
                self._references[split] = reference(self.measures, real, suffix)
            warning = "fid" in self.measures and bias_warning(len(real), len(fake), real.features.shape[1])
            if warning:
                rank_zero_warn(warning)
            measurement = {
                "split": split,
                "epoch": trainer.current_epoch,
                "step": trainer.global_step,
                "data": getattr(getattr(trainer, "datamodule", None), "name", None),
                "real_split": self.real_split,
                "real_images": len(real),
                "samples": len(fake),
                "seed": self.seed,
                "features": None if self._space is None else self._space.description(),
                "values": values,
                "reference": self._references[split],
            }
            add_measurement(Path(trainer.default_root_dir), measurement)
        return values
