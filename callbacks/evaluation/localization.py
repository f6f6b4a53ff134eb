"""From class activation maps to bounding boxes, without any training on boxes, and from those to ILSVRC's two errors.

Zhou et al. 2016 (Learning Deep Features for Discriminative Localization, §3.2): "We first segment the regions of which
the value is above 20 % of the max value of the CAM. Then we take the bounding box that covers the largest connected
component in the segmentation map."

The map is enlarged bilinearly to what the network saw first. Pixels are connected in eight directions, and of
components of the same size the first one counts; the paper says neither.

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

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchmetrics import Metric
from torchvision.ops import box_iou

LABELS = 5  # that a method may give
LEAST_OVERLAP = 0.5

ViewBox = tuple[int, int, int, int]
"""Left, top, right and bottom edge, in pixels of the view; the right and the bottom one are beyond the last pixel."""


def maps_of_classes(maps: Tensor, weights: Tensor, classes: Tensor) -> Tensor:
    """Class activation maps (N, h, w) of the last maps (N, K, h, w), weights (C, K) and a class for each (N,)."""
    return torch.einsum("nkhw,nk->nhw", maps.float(), weights.float()[classes])


def enlarged(activation_map: NDArray[np.float32], height: int, width: int) -> NDArray[np.float32]:
    """A map (h, w) at the size of the view (height, width)."""
    return np.asarray(cv2.resize(activation_map, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)


def box_of_map(activation_map: NDArray[np.float32], threshold: float) -> ViewBox:
    """Box around the largest region in which a map (height, width) is above a share of its maximum.

    All of the map if there is none, as where it is nowhere positive: nothing in the view speaks for the class.
    """
    region = (activation_map > threshold * activation_map.max()).astype(np.uint8)
    if not region.any():
        return 0, 0, activation_map.shape[1], activation_map.shape[0]
    _, _, statistics, _ = cv2.connectedComponentsWithStats(region, connectivity=8, ltype=cv2.CV_16U)  # twice as fast
    largest = 1 + int(statistics[1:, cv2.CC_STAT_AREA].argmax())  # 0 is the rest
    left, top, width, height = statistics[largest, : cv2.CC_STAT_AREA].tolist()
    return left, top, left + width, top + height


def in_photograph(box: ViewBox, size: tuple[int, int], view: tuple[float, float, float, float]) -> list[float]:
    """Left, top, right and bottom pixel in the photograph; all belong to the box.

    Args:
        box: In the view.
        size: Height and width of the view.
        view: Left, top, width and height of what it shows of the photograph.
    """
    left, top, width, height = view
    across, down = width / size[1], height / size[0]
    return [left + box[0] * across, top + box[1] * down, left + box[2] * across - 1, top + box[3] * down - 1]


def in_view(
    box: tuple[float, float, float, float], size: tuple[int, int], view: tuple[float, float, float, float]
) -> list[float]:
    """The other way: left, top, right and bottom edge in the view, which may lie outside of it."""
    left, top, width, height = view
    across, down = size[1] / width, size[0] / height
    return [
        (box[0] - left) * across,
        (box[1] - top) * down,
        (box[2] + 1 - left) * across,
        (box[3] + 1 - top) * down,
    ]


def overlaps(boxes: Tensor, others: Tensor) -> Tensor:
    """Area that boxes share divided by the area that they cover together, for each pair: (J, 4), (M, 4) → (J, M).

    NaN for a box of NaN.
    """
    edges = torch.tensor([0, 0, 1, 1], device=boxes.device)  # the last pixels belong to a box
    return box_iou(boxes + edges, others + edges)


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

    counts: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("counts", torch.zeros(3, dtype=torch.int64), dist_reduce_fx="sum")

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
                f"Localization is measured with {LABELS} labels an image, not {labels.shape[1]}: give the best."
            )
        right = (labels == true_labels.unsqueeze(1)).any(1)
        found = sum(map(localized, labels, boxes, true_labels.tolist(), true_boxes))
        self.counts += torch.tensor([len(labels), int((~right).sum()), len(labels) - found], device=self.counts.device)

    def compute(self) -> Tensor:
        """Counts (3,): images, misclassified, mislocalized."""
        return self.counts
