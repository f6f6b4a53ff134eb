"""Which training images keep their label in semi-supervised training (Salimans et al. 2016, §5)."""

from typing import Any, NamedTuple

import torch
from torch import Tensor


class LabeledImages(NamedTuple):
    """Images that keep their label, as the discriminator sees them.

    Attributes:
        images: In [-1, 1]. Shape (N, C, H, W).
        labels: Shape (N,).
    """

    images: Tensor
    labels: Tensor


def labeled_images(data: Any, count: int, seed: int, device: torch.device) -> LabeledImages:
    """`count` training images of each class, chosen by the seed, without augmentation.

    Raises:
        ValueError: The data set does not have its labels in memory, or a class has fewer images.
    """
    labels = getattr(data, "training_labels", None)
    if labels is None:
        raise ValueError("labels_per_class needs a data set that has its labels in memory: leave it out.")
    kept = first_of_each_class(labels.cpu(), count, seed)
    parts = []
    for batch in data.plain_training_loader():
        images = data.on_after_batch_transfer(batch._replace(images=batch.images.to(device)), 0).images
        wanted = kept[batch.indices.cpu()] & (batch.labels.cpu() >= 0)
        parts.append((images[wanted.to(device)], batch.labels.to(device)[wanted.to(device)]))
    return LabeledImages(*(torch.cat(part) for part in zip(*parts, strict=True)))


def first_of_each_class(labels: Tensor, count: int, seed: int) -> Tensor:
    """Which images keep their label: `count` of each class, chosen by the seed.

    Args:
        labels: Of all training images. Shape (N,).
        count: Images of each class.
        seed: Of the choice.

    Returns:
        bool. Shape (N,).

    Raises:
        ValueError: A class has fewer.
    """
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))
    kept = torch.zeros(len(labels), dtype=torch.bool)
    for label in range(int(labels.max()) + 1):
        chosen = order[labels[order] == label][:count]
        if len(chosen) < count:
            raise ValueError(f"Class {label} has {len(chosen)} images: lower model.labels_per_class to that.")
        kept[chosen] = True
    return kept
