"""Images as they are measured: 8 bits a channel, as they would be saved, so that samples have no other precision."""

import torch
from torch import Tensor


def as_bytes(images: Tensor) -> Tensor:
    """Images in [-1, 1] as uint8 on the host. Shape (N, C, H, W).

    Raises:
        ValueError: They are not in [-1, 1].
    """
    low, high = float(images.min()), float(images.max())
    if not -1.01 <= low <= high <= 1.01:  # also if not a number; -1 and 1 are rounded in bf16
        raise ValueError(
            f"SampleMeasures takes images from -1 to 1, but these span {low:.3g} to {high:.3g}: set "
            "data.normalization to symmetric, and end the generator with tanh."
        )
    return ((images.float() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8).cpu()


def as_unit(images: Tensor) -> Tensor:
    """uint8 images as floats from 0 to 1."""
    return images.float() / 255
