"""Rectangles of random area and aspect ratio: what random resized crops and random erasing have in common."""

import math

import torch
from torch import Tensor

from datamodules.counter_random import Stream, random_fractions

TRIES = 10  # as torchvision


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


def first_of(fits: Tensor, *values: Tensor) -> tuple[Tensor, ...]:
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
