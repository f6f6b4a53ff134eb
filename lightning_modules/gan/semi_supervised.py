"""Semi-supervised learning: a discriminator that tells K classes, of which few images have a label.

Improved Techniques for Training GANs (Salimans et al. 2016), §5.
"""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from lightning_modules.gan.draws import Draws
from lightning_modules.gan.networks import DiscriminatorNetwork, at_least_float32, paper_of


class SemiSupervised:
    """The supervised part of the discriminator's loss.

    Args:
        discriminator: Network with a method `class_logits`, from images to logits (B, K) of the classes.
        labels_per_class: Number of images of each class that keep their label.
        weight: Weight of the loss.

    Raises:
        ValueError: The discriminator has no classes.
    """

    def __init__(self, discriminator: DiscriminatorNetwork, labels_per_class: int, weight: float) -> None:
        if not hasattr(discriminator, "class_logits"):
            raise ValueError(
                f"The discriminator of {paper_of(discriminator)} has no classes: use the networks improved, or leave "
                "labels_per_class out."
            )
        self.class_logits: Callable[[Tensor], Tensor] = discriminator.class_logits  # type: ignore[assignment]
        self.labels_per_class = labels_per_class
        self.weight = weight
        self.images = torch.empty(0)  # with a label, in [-1, 1]: (N, C, H, W)
        self.labels = torch.empty(0, dtype=torch.int64)

    def find_labeled_images(self, data: Any, seed: int, device: torch.device) -> None:
        """Choose the training images that keep their label by the seed; they are seen without augmentation.

        Raises:
            ValueError: The data set does not have its labels in memory, or a class has fewer images.
        """
        labels = getattr(data, "training_labels", None)
        if labels is None:
            raise ValueError("labels_per_class needs a data set that has its labels in memory: leave it out.")
        kept = first_of_each_class(labels.cpu(), self.labels_per_class, seed)
        parts = []
        for batch in data.plain_training_loader():
            images = data.on_after_batch_transfer(batch._replace(images=batch.images.to(device)), 0).images
            wanted = (kept[batch.indices.cpu()] & (batch.labels.cpu() >= 0)).to(device)
            parts.append((images[wanted], batch.labels.to(device)[wanted]))
        self.images, self.labels = (torch.cat(part) for part in zip(*parts, strict=True))

    def loss(self, draws: Draws, real: Tensor) -> tuple[Tensor, Tensor]:
        """Weighted cross entropy of labeled images, as many as real ones (B, C, H, W), and the accuracy on them."""
        chosen = draws.labeled_images(len(self.labels), len(real))
        images, labels = self.images[chosen], self.labels[chosen]
        if real.is_contiguous(memory_format=torch.channels_last):
            images = images.contiguous(memory_format=torch.channels_last)
        logits = at_least_float32(self.class_logits(images))
        return self.weight * F.cross_entropy(logits, labels), (logits.argmax(1) == labels).float().mean()


def first_of_each_class(labels: Tensor, count: int, seed: int) -> Tensor:
    """Which of the training images, of these classes (N,), keep their label (N,): `count` of each, by the seed.

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
