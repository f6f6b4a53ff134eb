"""What every DataModule of the project shares: batches dealt out to ranks, exact resuming, normalization."""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, Literal

from lightning.pytorch import LightningDataModule
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor

from datamodules.augmentation import normalize
from datamodules.counter_random import Stream, random_permutation
from datamodules.loader import EvaluationLoader, ImageSource, TrainingLoader


class ImageDataModule(LightningDataModule):
    """Labeled images in a training, a validation and a test split, the same batches on any number of ranks.

    Args:
        batch_size: Number of images in a training batch on each device.
        eval_batch_size: Number of images in a validation or test batch on each device.
        val_size: Number of training images that are held out for validation, which chooses the best checkpoint; 0
            validates on the test images, and summary.json says so.
        normalization: Scale of the pixels. standard: mean 0 and variance 1 in each channel; mean: 0 to 255 minus the
            mean of each channel, for the initial weights of papers before 2015; symmetric: -1 to 1, the range of a
            generator's images.
        seed: Seed of the sample order and of the augmentation; the command line takes it from seed_everything.
        split_seed: Seed that chooses the held-out images. It differs from the run's seed, so that runs with different
            seeds validate on the same images.

    Raises:
        ValueError: An argument is out of its range.
    """

    name: str
    num_classes: int
    in_channels: int
    class_names: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    image_size: int
    repetitions = 1

    def __init__(
        self,
        *,
        batch_size: int = 128,
        eval_batch_size: int = 500,
        val_size: int = 0,
        normalization: Literal["standard", "mean", "symmetric"] = "standard",
        seed: int = 42,
        split_seed: int = 0,
    ) -> None:
        super().__init__()
        self.check_at_least({"batch_size": (batch_size, 1), "eval_batch_size": (eval_batch_size, 1)})
        self.check_at_least({"val_size": (val_size, 0)})
        self.batch_size = batch_size
        self.eval_batch_size = eval_batch_size
        self.val_size = val_size
        self.normalization = normalization
        self.seed = seed
        self.split_seed = split_seed
        self._splits: Mapping[str, ImageSource] = {}
        self._verified: bool | None = False

    @staticmethod
    def check_at_least(arguments: dict[str, tuple[int, int]]) -> None:
        """Refuse values below their least: (value, least) by argument.

        Raises:
            ValueError: One is.
        """
        for argument, (value, least) in arguments.items():
            if value < least:
                raise ValueError(f"{argument}={value} is too small: --data.{argument} must be at least {least}.")

    @abstractmethod
    def open_splits(self) -> Mapping[str, ImageSource]:
        """Open or read the splits train, val and test, once; sets `_verified`."""

    def setup(self, stage: str | None = None) -> None:
        """Opens, checks and divides the images, once.

        Raises:
            ValueError: The files, the labels or the sizes do not fit the data set or the arguments.
        """
        if not self._splits:
            self._splits = self.open_splits()
        if stage == TrainerFn.FITTING:
            self.train_dataloader()  # refuses a batch that is too large here, before the sanity check validates

    def train_dataloader(self) -> TrainingLoader:
        """Shuffled batches, going on where the Trainer stands.

        Raises:
            ValueError: There are no training images, or fewer than a batch takes.
        """
        if "train" not in self._splits:
            raise ValueError(f"The data set {self.name} has no training images: name another folder (--data.root).")
        rank, world_size = self._rank_and_world_size()
        return TrainingLoader(
            self._splits["train"],
            self.batch_size,
            seed=self.seed,
            position=self._position,
            rank=rank,
            world_size=world_size,
            repetitions=self.repetitions,
        )

    def val_dataloader(self) -> EvaluationLoader:
        """The images that select a model."""
        return self._evaluation_loader("val")

    def test_dataloader(self) -> EvaluationLoader:
        """The test images."""
        return self._evaluation_loader("test")

    def predict_dataloader(self) -> EvaluationLoader:
        """The test images again; their labels are there to be ignored."""
        return self._evaluation_loader("test")

    def normalized(self, images: Tensor) -> Tensor:
        """uint8 images (…, C, H, W), or floats of their range, as the network is to see them."""
        images = normalize(images, self._center, self._divisor)
        if self.trainer is not None:
            # Lightning converts floats for precisions such as bf16-true before this hook, when images were still uint8.
            images = self.trainer.precision_plugin.convert_input(images)
        return images

    def plain_training_loader(self, batch_size: int | None = None) -> EvaluationLoader:
        """All training images once, in their order and without augmentation, for this process alone."""
        return EvaluationLoader(self._splits["train"], batch_size or self.eval_batch_size)

    def state_dict(self) -> dict[str, Any]:
        """Returns what fixes the training batches, for a checkpoint."""
        if "train" not in self._splits:
            return {}
        return {**self.train_dataloader().state_dict(), "split_seed": self.split_seed}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Refuses to resume training on other batches.

        Lightning restores the loader's own state only in mid-epoch, this one at an epoch's end too.

        Raises:
            ValueError: A seed, the global batch or the number of images differs from the checkpoint's.
        """
        if self.trainer is None or self.trainer.state.fn != TrainerFn.FITTING:
            return
        self.train_dataloader().load_state_dict(state_dict)
        if state_dict["split_seed"] != self.split_seed:
            raise ValueError(
                f"The checkpoint's validation images were chosen with split_seed {state_dict['split_seed']}; with "
                f"{self.split_seed}, images of the one split would be in the other: resume with the saved value of "
                "--data.split_seed."
            )

    def description(self) -> dict[str, Any]:
        """Describes the data for a run's record; plain types only. To be called after `setup`."""
        return {
            "name": self.name,
            "num_classes": self.num_classes,
            "image_size": self.image_size,
            "in_channels": self.in_channels,
            **{f"{name}_images": self._splits[name].size for name in ("train", "val", "test") if name in self._splits},
            "selection_split": "val" if self.val_size else "test",
            "mean": list(self._center),
            "std": list(self._divisor),
            "verified": self._verified,
        }

    @property
    def black(self) -> tuple[float, ...]:
        """What a pixel of 0 is after normalization, in each channel: the border of an image that is shifted."""
        return tuple(-mean / divisor for mean, divisor in zip(self._center, self._divisor, strict=True))

    @property
    def _divisor(self) -> tuple[float, ...]:
        """What pixels from 0 to 1 minus their mean are divided by, for each channel."""
        return {"standard": self.std, "mean": (1 / 255,) * self.in_channels, "symmetric": (0.5,) * self.in_channels}[
            self.normalization
        ]

    @property
    def _center(self) -> tuple[float, ...]:
        """What is taken off pixels from 0 to 1, for each channel."""
        return (0.5,) * self.in_channels if self.normalization == "symmetric" else self.mean

    def _evaluation_loader(self, name: str) -> EvaluationLoader:
        rank, world_size = self._rank_and_world_size()
        return EvaluationLoader(self._splits[name], self.eval_batch_size, rank=rank, world_size=world_size)

    def _rank_and_world_size(self) -> tuple[int, int]:
        return (0, 1) if self.trainer is None else (self.trainer.global_rank, self.trainer.world_size)

    def _position(self) -> tuple[int, int]:
        if self.trainer is None:
            return 0, 0
        fit_loop = self.trainer.fit_loop
        # overfit_batches asks for the same few batches every time: those of epoch 0.
        processed: int = fit_loop.epoch_progress.current.processed  # type: ignore[attr-defined]
        epoch = 0 if self.trainer.overfit_batches else processed  # type: ignore[attr-defined]
        return epoch, fit_loop.epoch_loop.batch_progress.current.ready


def divide(count: int, size: int, seed: int) -> tuple[Tensor, Tensor]:
    """Divides images by a permutation that depends on `seed` alone.

    Returns:
        Indices of the images kept (count - size,) and of those held out (size,), ascending.

    Raises:
        ValueError: No image would be left to train on.
    """
    if size >= count:
        raise ValueError(
            f"val_size={size} leaves none of the {count} training images to train on: "
            "hold out fewer with --data.val_size."
        )
    order = random_permutation(count, seed, stream=Stream.SPLIT)
    return order[size:].sort().values, order[:size].sort().values
