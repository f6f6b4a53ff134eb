"""An image with its class activation map laid over it, the box that follows from the map, and the true boxes."""

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from torch import Tensor
from torchvision.transforms.functional import to_pil_image

from callbacks.inside.class_activation_maps import STRENGTH, colored

SIDE = 224
TRUE, PREDICTED, SHADE = "#2ecc71", "#ffffff", "#101010"


def localization_picture(
    image: Tensor,
    activation_map: NDArray[np.float32],
    true_boxes: Iterable[Sequence[float]],
    predicted_box: Sequence[float],
) -> Image.Image:
    """Draw the true boxes in green and the predicted one in white.

    Args:
        image: Of any range, gray or color. Shape (C, H, W).
        activation_map: Drawn by its maximum; nothing where it is negative. Shape (H, W).
        true_boxes: Left, top, right and bottom edge, in pixels of the image.
        predicted_box: Likewise.
    """
    image = image.float().cpu()
    image = (image - image.min()) / (image.max() - image.min()).clamp_min(1e-6)
    strength = torch.from_numpy(activation_map)
    strength = (strength / strength.max().clamp_min(1e-12)).clamp(0, 1)
    mixed = image.mean(0, keepdim=True) * (1 - STRENGTH) + colored(strength) * STRENGTH
    scale = max(1, round(SIDE / image.shape[-1]))
    size = (scale * image.shape[-1], scale * image.shape[-2])
    picture = to_pil_image(mixed).resize(size, Image.Resampling.NEAREST)
    draw = ImageDraw.Draw(picture)
    for box in true_boxes:
        _outline(draw, [scale * edge for edge in box], TRUE, width=4)
    _outline(draw, [scale * edge for edge in predicted_box], PREDICTED, width=2)  # a true one beneath stays visible
    return picture


def _outline(draw: ImageDraw.ImageDraw, box: Sequence[float], color: str, width: int) -> None:
    """The outline of a box, within its edges, with a dark line inside so that it shows on any ground."""
    left, top, right, bottom = (round(edge) for edge in box)
    corners = [left, top, max(left, right - 1), max(top, bottom - 1)]
    draw.rectangle(corners, outline=SHADE, width=width + 1)
    draw.rectangle(corners, outline=color, width=width)
