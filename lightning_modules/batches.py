"""Batches as the networks read them: of this project's data sets, or of any DataLoader."""

import warnings
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

# Modules call `as_batch` in this hook, which leaves the batches of a DataModule as they are: nothing to warn of.
warnings.filterwarnings(
    "ignore", r"You have overridden `on_before_batch_transfer` in `LightningModule` but have passed"
)


class Batch(Protocol):
    """What a network reads of a batch: images (B, C, H, W), labels (B,), -1 for rows that do not count.

    Where images are mixed, it also has targets (B, num_classes), the share of each class.
    """

    @property
    def images(self) -> Tensor: ...  # noqa: D102

    @property
    def labels(self) -> Tensor: ...  # noqa: D102

    @property
    def indices(self) -> Tensor | None: ...  # noqa: D102


class LabeledImages(NamedTuple):
    """A batch of a DataLoader that knows nothing of this project; see `Batch`.

    Attributes:
        images: Floats of shape (B, C, H, W).
        labels: int64 of shape (B,).
        indices: None: such a batch does not say which images of the data set it holds.
        targets: Share of each class (B, num_classes), where the DataLoader mixes images.
    """

    images: Tensor
    labels: Tensor
    indices: None = None
    targets: Tensor | None = None


def as_batch(batch: Any, num_classes: int | None, pixels: tuple[float, float] | None = None) -> Batch:
    """A batch as the networks read it: as it is, or made of the pair (images, labels) that a DataLoader hands out.

    Labels are class indices (B,), or shares of the classes (B, num_classes) as of torchvision's MixUp and CutMix. Where
    `num_classes` is None, labels mean nothing, and images alone do.

    Args:
        batch: What the DataLoader hands out.
        num_classes: Number of classes of the network; None where it has none.
        pixels: Least and greatest value of a pixel that the network is made for; None where any will do.

    Raises:
        ValueError: The batch has another form, its images are not floats in this range, or a label names no class.
    """
    if hasattr(batch, "images") and hasattr(batch, "labels"):
        return batch
    parts = list(batch) if isinstance(batch, tuple | list) else [batch]
    if len(parts) == 1 and num_classes is None and isinstance(parts[0], Tensor):
        parts.append(torch.zeros(len(parts[0]), dtype=torch.int64))
    if len(parts) != 2 or not all(isinstance(part, Tensor) for part in parts) or parts[0].ndim != 4:
        raise ValueError(
            "A batch must be a pair of tensors, images (B, C, H, W) and labels (B,), but the DataLoader hands out "
            f"{_described(batch)}: return such a pair from the data set, or bring them into this form in collate_fn."
        )
    images, labels = parts
    if not images.is_floating_point():
        raise ValueError(
            f"The DataLoader hands out images of {images.dtype}, the networks read floats: end the transforms with "
            "torchvision.transforms.v2.ToDtype(torch.float32, scale=True) and Normalize."
        )
    if pixels is not None and _of_another_range(images, *pixels):
        raise ValueError(
            f"The pixels of a batch lie in [{images.min().item():.3g}, {images.max().item():.3g}], those of the "
            f"network in [{pixels[0]:g}, {pixels[1]:g}]: end the transforms with ToDtype(torch.float32, scale=True) "
            "and Normalize(mean=[0.5], std=[0.5])."
        )
    if labels.is_floating_point() and labels.shape == (len(images), num_classes):
        return LabeledImages(images, labels.argmax(1), None, labels)
    if labels.is_floating_point() or labels.shape != (len(images),):
        raise ValueError(
            f"The labels of {len(images)} images must be as many class indices, or floats of shape (B, num_classes), "
            f"not {_described(labels)}: change the data set or collate_fn."
        )
    if num_classes is not None and len(labels) and labels.max() >= num_classes:  # a GPU would only fail an assertion
        raise ValueError(
            f"Label {labels.max().item()} of a batch names no class of a network with num_classes={num_classes}: "
            "classes count from 0, so num_classes must be above the largest label."
        )
    return LabeledImages(images, labels.long())


def _of_another_range(images: Tensor, least: float, greatest: float) -> bool:
    """Whether pixels lie outside the range, or, as with [0, 1] for [-1, 1], several images use its upper half alone."""
    lowest, highest = images.min(), images.max()
    return bool(lowest < least or highest > greatest or (len(images) >= 8 and lowest >= (least + greatest) / 2))


def _described(value: Any) -> str:
    """What something is, in a few words."""
    if isinstance(value, Tensor):
        return f"a tensor of {value.dtype} and shape {tuple(value.shape)}"
    if isinstance(value, tuple | list):
        return f"a {type(value).__name__} of {len(value)}: {', '.join(_described(part) for part in value)}"
    if isinstance(value, dict):
        return f"a dict with the keys {', '.join(map(str, value))}"
    return f"a {type(value).__name__}"
