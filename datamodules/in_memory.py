"""What all data sets that fit into memory share: the images as one tensor, their checks and their division."""

from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from datamodules.augmentation import augment
from datamodules.counter_random import CounterRandom, Stream, random_permutation
from datamodules.image_data_module import ImageDataModule, divide
from datamodules.loader import ImageBatch
from datamodules.photographs.augmentation import EIGENVECTORS, add_color_noise


class Split(NamedTuple):
    """All images of one split.

    Attributes:
        images: uint8. Shape (N, C, H, W).
        labels: int64. Shape (N,).
    """

    images: Tensor
    labels: Tensor

    @property
    def size(self) -> int:
        """Number of images."""
        return len(self.images)

    def select(self, indices: Tensor) -> "Split":
        """Copies the images and labels at `indices`, of shape (M,)."""
        return Split(self.images.index_select(0, indices), self.labels.index_select(0, indices))

    @property
    def device(self) -> torch.device:
        """Where the images lie."""
        return self.images.device

    def batches(self, requests: Iterable[tuple[Tensor, int | None]]) -> Iterator[ImageBatch]:
        """Gathers each batch with one operation for the images and one for the labels."""
        for indices, epoch in requests:
            yield ImageBatch(*self.select(indices), indices, epoch)

    def to(self, device: torch.device) -> "Split":
        """Moves the split to a device, where its batches are gathered from then on."""
        return Split(self.images.to(device), self.labels.to(device))


class InMemoryDataModule(ImageDataModule):
    """Small images held in memory as one tensor, augmented and normalized on the device.

    Args:
        crop_padding: Number of zeros on each side of a training image, before a random crop back to its size.
        horizontal_flip: Whether to mirror half of the training images.
        color_noise: Standard deviation of random colors along the principal components of ImageNet's pixels, added to
            each training image; 0.1 in AlexNet (Krizhevsky et al. 2012, §4.1), 0 for none.
        train_size: Number of training images to use, with equal shares of each class, chosen by split_seed; null uses
            all.
        storage: Memory for the images. cpu: memory of the host; device: memory of each training device.
        kwargs: Arguments of every data set.

    Raises:
        ValueError: An argument is out of its range.
    """

    _splits: Mapping[str, Split]

    def __init__(
        self,
        *,
        crop_padding: int = 0,
        horizontal_flip: bool = False,
        color_noise: float = 0.0,
        train_size: int | None = None,
        storage: Literal["cpu", "device"] = "cpu",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.check_at_least({"crop_padding": (crop_padding, 0)})
        if train_size is not None:
            self.check_at_least({"train_size": (train_size, 1)})
        if color_noise < 0 or (color_noise and self.in_channels != len(EIGENVECTORS)):
            raise ValueError(f"color_noise={color_noise} is for color images, and not below 0: leave it out.")
        if storage not in ("cpu", "device"):
            raise ValueError(f"storage={storage!r} is not offered: --data.storage must be cpu or device.")
        self.crop_padding = crop_padding
        self.horizontal_flip = horizontal_flip
        self.color_noise = color_noise
        self.train_size = train_size
        self.storage = storage

    @abstractmethod
    def read(self) -> tuple[Split, Split, bool]:
        """Reads the training images, the test images, and whether both are known to be the published ones."""

    def open_splits(self) -> Mapping[str, Split]:
        """Reads, checks and divides the images."""
        train, test, self._verified = self.read()
        for name, split in (("train", train), ("test", test)):
            _check_split(split, name, self.num_classes, (self.in_channels, self.image_size, self.image_size))
        train, val = hold_out(train, self.val_size, self.split_seed) if self.val_size else (train, test)
        if self.train_size is not None:
            train = train.select(stratified(train.labels, self.train_size, self.split_seed))
        _check_classes_present(train, self.num_classes)
        return {"train": train, "val": val, "test": test}

    @property
    def training_labels(self) -> Tensor:
        """Labels of the training images (N,), in the order of their indices. To be read after `setup`."""
        return self._splits["train"].labels

    def setup(self, stage: str | None = None) -> None:
        """Reads, checks and divides the images, once; moves them to the device if they are to lie there."""
        super().setup(stage)
        if self.storage == "device" and self.trainer is not None:
            device = self.trainer.strategy.root_device
            self._splits = {name: split.to(device) for name, split in self._splits.items()}

    def on_after_batch_transfer(self, batch: ImageBatch, dataloader_idx: int) -> ImageBatch:
        """Augments a training batch and normalizes any batch, on the device."""
        images = batch.images
        if batch.epoch is not None:
            random = CounterRandom(self.seed, batch.epoch, batch.indices)
            images = augment(images, random, crop_padding=self.crop_padding, horizontal_flip=self.horizontal_flip)
            if self.color_noise:
                images = add_color_noise(
                    images, random, reading="eigenvalue", mean=self.mean, strength=self.color_noise
                )
        return batch._replace(images=self.normalized(images))


def hold_out(split: Split, size: int, seed: int) -> tuple[Split, Split]:
    """The images kept and the images held out; see `divide`."""
    kept, held_out = divide(split.size, size, seed)
    return split.select(kept), split.select(held_out)


def stratified(labels: Tensor, size: int, seed: int) -> Tensor:
    """Indices of some images, ascending, in which each class has its share to within one image.

    Args:
        labels: Classes of all images. Shape (N,).
        size: How many are chosen.
        seed: Of the choice, which depends on nothing else.

    Raises:
        ValueError: There are not so many.
    """
    if size > len(labels):
        raise ValueError(
            f"train_size={size} is more than the {len(labels)} training images: choose fewer with --data.train_size."
        )
    order = random_permutation(len(labels), seed, stream=Stream.SUBSET)
    order = order[labels[order].sort(stable=True).indices]  # class by class, at random within each
    counts = torch.bincount(labels)
    firsts = counts.cumsum(0) - counts
    place = (torch.arange(len(labels)) - firsts[labels[order]] + 0.5) / counts[labels[order]]
    return order[place.sort(stable=True).indices[:size]].sort().values


def _check_split(split: Split, name: str, num_classes: int, image_shape: tuple[int, int, int]) -> None:
    """Refuses a split that a network would read wrongly or crash on: of a wrong type or shape, empty or mislabeled."""
    images, labels = split
    if images.dtype != torch.uint8 or tuple(images.shape[1:]) != image_shape:
        raise ValueError(
            f"The {name} images are {images.dtype} of shape {tuple(images.shape[1:])}, not torch.uint8 of shape "
            f"{image_shape}: check the files under --data.root."
        )
    if labels.dtype != torch.int64 or labels.shape != images.shape[:1] or not len(labels):
        raise ValueError(
            f"The {name} split has {len(images)} images and {labels.dtype} labels of shape {tuple(labels.shape)}, "
            "not one int64 label for each image: check the files under --data.root."
        )
    lowest, highest = int(labels.min()), int(labels.max())
    if lowest < 0 or highest >= num_classes:
        raise ValueError(
            f"The {name} labels span {lowest} to {highest}, but {num_classes} classes allow 0 to {num_classes - 1}: "
            "check that the files under --data.root belong to this data set."
        )


def _check_classes_present(split: Split, num_classes: int) -> None:
    """Refuses training images that lack a whole class, which a network would silently never learn."""
    counts = torch.bincount(split.labels, minlength=num_classes)
    missing = (counts == 0).nonzero().flatten().tolist()
    if missing:
        raise ValueError(
            f"The {split.size} training images have none of class {', '.join(map(str, missing))}: "
            "check the files under --data.root, or hold out fewer images with --data.val_size."
        )
