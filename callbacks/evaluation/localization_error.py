"""The two errors of ILSVRC's localization task, from their definition.

Russakovsky et al. 2014 (ImageNet Large Scale Visual Recognition Challenge, §4.1 and §4.2): for an image with the class
g and the boxes z_1 … z_M of its instances, a method gives five labels l_j, each with a box b_j, and errs by

    classification   min_j d(l_j, g)
    localization     min_j min_m max{d(l_j, g), f(b_j, z_m)}

where d is 0 for the same class, else 1, and f is 0 if the boxes overlap by more than 50 %, else 1. Overlap is the area
that they share divided by the area that they cover together. An image of ILSVRC 2012 has one class, so the sum over its
classes is left out.

Boxes are left, top, right and bottom pixel, which belong to them: their width is right - left + 1, as in the
development kit (compute_overlap.m). Its eval_localization_flat.m also accepts an overlap of exactly 50 %; the paper
does not, and is followed here.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torchmetrics import Metric

LABELS = 5  # that a method may give
LEAST_OVERLAP = 0.5


def overlaps(boxes: Tensor, others: Tensor) -> Tensor:
    """Area that boxes share divided by the area that they cover together, for each pair: (J, 4), (M, 4) → (J, M).

    NaN for a box of NaN.
    """
    boxes, others = boxes.unsqueeze(1), others.unsqueeze(0)
    first = torch.maximum(boxes[..., :2], others[..., :2])
    last = torch.minimum(boxes[..., 2:], others[..., 2:])
    shared = (last - first + 1).clamp_min(0).prod(-1)
    return shared / (_areas(boxes) + _areas(others) - shared)


def _areas(boxes: Tensor) -> Tensor:
    return (boxes[..., 2:] - boxes[..., :2] + 1).prod(-1)


def localized(labels: Tensor, boxes: Tensor, true_label: int, true_boxes: Tensor) -> bool:
    """Whether one of the labels of an image is right and its box overlaps with one of the true boxes.

    Args:
        labels: Shape (J,).
        boxes: Box of each label, NaN for a label without one. Shape (J, 4).
        true_label: Class of the image.
        true_boxes: Boxes of its instances. Shape (M, 4).
    """
    right = labels == true_label
    return bool((overlaps(boxes[right], true_boxes) > LEAST_OVERLAP).any())


class LocalizationErrors(Metric):
    """Images, and those of them that are misclassified and mislocalized: integers, so exact on any number of ranks."""

    images: Tensor
    misclassified: Tensor
    mislocalized: Tensor

    def __init__(self) -> None:
        super().__init__()
        for name in ("images", "misclassified", "mislocalized"):
            self.add_state(name, torch.tensor(0), dist_reduce_fx="sum")

    def update(self, labels: Tensor, boxes: Tensor, true_labels: Tensor, true_boxes: Sequence[Tensor]) -> None:
        """Count images.

        Args:
            labels: Up to five labels for each. Shape (N, J).
            boxes: Box of each label, NaN for a label without one. Shape (N, J, 4).
            true_labels: Shape (N,).
            true_boxes: Boxes of the instances in each image, (M, 4).

        Raises:
            ValueError: There are more labels than a method may give.
        """
        if labels.shape[1] > LABELS:
            raise ValueError(
                f"Localization is judged by {LABELS} labels an image, not {labels.shape[1]}: give the best."
            )
        right = (labels == true_labels.unsqueeze(1)).any(1)
        found = sum(map(localized, labels, boxes, true_labels.tolist(), true_boxes))
        self.images += len(labels)
        self.misclassified += int((~right).sum())
        self.mislocalized += len(labels) - found

    def compute(self) -> Tensor:
        """Counts (3,): images, misclassified, mislocalized."""
        return torch.stack([self.images, self.misclassified, self.mislocalized])
