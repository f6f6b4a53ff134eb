"""The batch that every DataModule hands to every module."""

from typing import NamedTuple

from torch import Tensor


class ImageBatch(NamedTuple):
    """Images, labels and what identifies them.

    Attributes:
        images: uint8 as it leaves the loader; augmented, normalized float32 after ``on_after_batch_transfer``.
            Shape (B, C, H, W).
        labels: int64; -1 marks a filler row, which must not be counted. Shape (B,).
        indices: int64 position of each image in its split, by which it is augmented; with repeated augmentation see
            `augmentation_keys`. Shape (B,).
        epoch: The training epoch, which keys the augmentation; None in evaluation, where nothing is augmented.
        targets: Share of each class in each image, where images are mixed; None where the labels say all. Shape
            (B, num_classes).
    """

    images: Tensor
    labels: Tensor
    indices: Tensor
    epoch: int | None
    targets: Tensor | None = None
