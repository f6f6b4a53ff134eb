"""Rectangles of random area and aspect ratio, as random resized crops have them; random erasing.

Zhong et al., "Random Erasing Data Augmentation", 2017, as torchvision's RandomErasing draws it.
"""

import math

import torch
from torch import Tensor

from datamodules.counter_random import Stream, random_fractions, random_integers

TRIES = 10  # as torchvision


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
    down, across = (side.long() for side in first_fitting(fits, down, across))
    top = random_integers(height - down + 1, seed, epoch, Stream.ERASED_Y, indices)
    left = random_integers(width - across + 1, seed, epoch, Stream.ERASED_X, indices)
    chosen = random_fractions(seed, epoch, Stream.ERASING, indices, dtype=torch.float32)[:, 0] < probability
    erased = rectangle_mask(top, left, top + down, left + across, height, width)
    return images.masked_fill(erased & (chosen & fits.any(dim=1))[:, None, None, None], value)


def random_sides(
    image_area: Tensor | int,
    area: tuple[float, float],
    aspect: tuple[float, float],
    indices: Tensor,
    *,
    seed: int,
    epoch: int,
    streams: tuple[Stream, Stream],
    dtype: torch.dtype,
) -> tuple[Tensor, Tensor]:
    """Draws the sides of `TRIES` rectangles for each sample.

    Args:
        image_area: Pixels of the image. One number, or shape (B, 1).
        area: Least and largest share of the image, drawn uniformly.
        aspect: Least and largest ratio of the first side to the second, drawn uniformly in its logarithm.
        indices: Sample indices. Shape (B,).
        seed: The run's seed.
        epoch: Training epoch.
        streams: What areas and aspect ratios are drawn from.
        dtype: Of the result.

    Returns:
        First and second sides, whole numbers. Shape (B, TRIES) each.
    """
    low, high = area
    share, position = (random_fractions(seed, epoch, stream, indices, count=TRIES, dtype=dtype) for stream in streams)
    pixels = image_area * (low + share * (high - low))
    log_low, log_high = math.log(aspect[0]), math.log(aspect[1])
    ratio = torch.exp(log_low + position * (log_high - log_low))
    return (pixels * ratio).sqrt().round(), (pixels / ratio).sqrt().round()


def first_fitting(fits: Tensor, *values: Tensor) -> tuple[Tensor, ...]:
    """Takes the first try that fits; the first of all where none does.

    Shape:
        fits and each of values (B, TRIES) → (B,) for each of values
    """
    first = fits.int().argmax(dim=1, keepdim=True)
    return tuple(value.gather(1, first)[:, 0] for value in values)


def check_ranges(what: str, area: tuple[float, float], aspect: tuple[float, float]) -> None:
    """Refuses ranges that no rectangle can have.

    Raises:
        ValueError: An area is not a share of the image, or a range is the wrong way round.
    """
    if not 0 < area[0] <= area[1] <= 1:
        raise ValueError(f"{what}: area={area} must be two shares of the image, the smaller first, such as (0.08, 1).")
    if not 0 < aspect[0] <= aspect[1]:
        raise ValueError(
            f"{what}: aspect={aspect} must be two positive ratios, the smaller first, such as (0.75, 1.33)."
        )


def rectangle_mask(top: Tensor, left: Tensor, bottom: Tensor, right: Tensor, height: int, width: int) -> Tensor:
    """Which pixels of an image lie in a rectangle.

    Shape:
        four times (B,) → bool (B, 1, height, width)
    """
    rows, columns = (torch.arange(length, device=top.device) for length in (height, width))
    in_rows = (rows >= top[:, None]) & (rows < bottom[:, None])
    in_columns = (columns >= left[:, None]) & (columns < right[:, None])
    return in_rows[:, None, :, None] & in_columns[:, None, None, :]
