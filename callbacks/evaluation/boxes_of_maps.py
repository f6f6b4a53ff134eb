"""From a class activation map to the bounding box of the class, without any training on boxes.

Zhou et al. 2016 (Learning Deep Features for Discriminative Localization, §3.2): "We first segment the regions of which
the value is above 20 % of the max value of the CAM. Then we take the bounding box that covers the largest connected
component in the segmentation map."

The map is enlarged bilinearly to what the network saw first. Pixels are connected in eight directions, and of
components of the same size the first one counts; the paper says neither.
"""

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

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
