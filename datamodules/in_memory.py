"""The DataModule shared by all data sets that fit into memory."""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Literal

from torch import Tensor

from datamodules.augmentation import augment
from datamodules.batch import ImageBatch
from datamodules.image_data_module import ImageDataModule
from datamodules.splits import Split, check_classes_present, check_split, hold_out


class InMemoryDataModule(ImageDataModule):
    """Small images held in memory as one tensor, augmented and normalized on the device.

    Args:
        batch_size: Images in a training batch of each device.
        eval_batch_size: Images in a validation or test batch of each device.
        val_size: Training images held out to select a model with. 0 holds out none and validates on the test images,
            which the run's record then says.
        crop_padding: Zeros added to each side of a training image, in pixels, before a random crop back to its size.
        horizontal_flip: Whether to mirror half of the training images.
        normalization: standard: to mean 0 and variance 1 by channel; mean: pixels from 0 to 255 minus their mean, as
            before 2015, for which the initial weights of those papers are made; symmetric: to [-1, 1], as generators
            make them.
        storage: Where the images lie: in the memory of the host ("cpu") or of each training device ("device").
        seed: Key of the sample order and the augmentation; the command line sets it to seed_everything.
        split_seed: Key of the choice of the held-out images; independent of the run's seed, so that runs with different
            seeds are selected on the same images.

    Raises:
        ValueError: An argument is out of its range.
    """

    _splits: Mapping[str, Split]

    def __init__(
        self,
        *,
        batch_size: int = 128,
        eval_batch_size: int = 500,
        val_size: int = 0,
        crop_padding: int = 0,
        horizontal_flip: bool = False,
        normalization: Literal["standard", "mean", "symmetric"] = "standard",
        storage: Literal["cpu", "device"] = "cpu",
        seed: int = 42,
        split_seed: int = 0,
    ) -> None:
        super().__init__(
            batch_size=batch_size,
            eval_batch_size=eval_batch_size,
            val_size=val_size,
            normalization=normalization,
            seed=seed,
            split_seed=split_seed,
        )
        self.check_at_least({"crop_padding": (crop_padding, 0)})
        if storage not in ("cpu", "device"):
            raise ValueError(f"storage={storage!r} is not offered: --data.storage must be cpu or device.")
        self.crop_padding = crop_padding
        self.horizontal_flip = horizontal_flip
        self.storage = storage

    @abstractmethod
    def read(self) -> tuple[Split, Split, bool]:
        """Reads the training images, the test images, and whether both are known to be the published ones."""

    def open_splits(self) -> Mapping[str, Split]:
        """Reads, checks and divides the images."""
        train, test, self._verified = self.read()
        for name, split in (("train", train), ("test", test)):
            check_split(split, name, self.num_classes, (self.in_channels, self.image_size, self.image_size))
        train, val = hold_out(train, self.val_size, self.split_seed) if self.val_size else (train, test)
        check_classes_present(train, self.num_classes)
        return {"train": train, "val": val, "test": test}

    @property
    def training_labels(self) -> Tensor:
        """Labels of the training images (N,), in the order of their indices. To be read after `setup`."""
        return self._splits["train"].labels

    def setup(self, stage: str | None = None) -> None:
        """Reads, checks and divides the images, once; moves them to the device if they are to lie there.

        Raises:
            ValueError: The files, the labels or the sizes do not fit the data set or the arguments.
        """
        super().setup(stage)
        if self.storage == "device" and self.trainer is not None:
            device = self.trainer.strategy.root_device
            self._splits = {name: split.to(device) for name, split in self._splits.items()}

    def on_after_batch_transfer(self, batch: ImageBatch, dataloader_idx: int) -> ImageBatch:
        """Augments a training batch and normalizes any batch, on the device."""
        images = batch.images
        if batch.epoch is not None:
            images = augment(
                images,
                batch.indices,
                seed=self.seed,
                epoch=batch.epoch,
                crop_padding=self.crop_padding,
                horizontal_flip=self.horizontal_flip,
            )
        return batch._replace(images=self.normalized(images))
