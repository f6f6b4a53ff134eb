"""Random erasing (Zhong et al., "Random Erasing Data Augmentation", 2017), as torchvision's RandomErasing draws it."""

import torch
from torch import Tensor

from datamodules.counter_random import Stream, random_fractions, random_integers
from datamodules.photographs.augmentation.random_rectangles import check_ranges, first_of, random_sides


def erase(
    images: Tensor,
    indices: Tensor,
    *,
    seed: int,
    epoch: int,
    probability: float = 0.1,
    area: tuple[float, float] = (0.02, 0.33),
    aspect: tuple[float, float] = (0.3, 3.3),
    value: float = 0.0,
) -> Tensor:
    """Overwrites a random rectangle of some of the images, as a pure function of (seed, epoch, index).

    Of ten rectangles, the first that fits is taken; if none fits, the image stays as it is.

    Args:
        images: Normalized images, on any device: 0 is the mean color. Shape (B, C, H, W).
        indices: Sample indices, on the device of the images. Shape (B,).
        seed: The run's seed.
        epoch: Training epoch.
        probability: Share of the images that lose a rectangle; 0.1 in torchvision's recipes, 0.5 in the paper.
        area: Least and largest share of the image that is erased.
        aspect: Least and largest height divided by width.
        value: What is written instead.

    Returns:
        The images. Shape (B, C, H, W).

    Raises:
        ValueError: A number is out of its range.
    """
    if not 0 <= probability <= 1:
        raise ValueError(f"Random erasing: the probability {probability} must be from 0 to 1.")
    check_ranges("Random erasing", area, aspect)
    height, width = images.shape[-2:]
    down, across = random_sides(
        height * width,
        area,
        aspect,
        indices,
        seed=seed,
        epoch=epoch,
        streams=(Stream.ERASED_AREA, Stream.ERASED_ASPECT),
        dtype=torch.float32,
    )
    fits = (down < height) & (across < width)
    down, across = (side.long() for side in first_of(fits, down, across))
    top = random_integers(height - down + 1, seed, epoch, Stream.ERASED_Y, indices)
    left = random_integers(width - across + 1, seed, epoch, Stream.ERASED_X, indices)
    chosen = random_fractions(seed, epoch, Stream.ERASING, indices, dtype=torch.float32)[:, 0] < probability
    erased = inside(top, left, top + down, left + across, height, width)
    return images.masked_fill(erased & (chosen & fits.any(dim=1))[:, None, None, None], value)


def inside(top: Tensor, left: Tensor, bottom: Tensor, right: Tensor, height: int, width: int) -> Tensor:
    """Which pixels of an image lie in a rectangle.

    Shape:
        four times (B,) → bool (B, 1, height, width)
    """
    rows, columns = (torch.arange(length, device=top.device) for length in (height, width))
    in_rows = (rows >= top[:, None]) & (rows < bottom[:, None])
    in_columns = (columns >= left[:, None]) & (columns < right[:, None])
    return in_rows[:, None, :, None] & in_columns[:, None, None, :]
