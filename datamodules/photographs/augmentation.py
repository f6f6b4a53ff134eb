"""What is done to a batch of training photographs on the device: color noise, mixup, CutMix and random erasing.

All are pure functions of (seed, epoch, sample index), with no state, so what becomes of an image does not depend on its
batch.
"""

import functools
import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from datamodules.counter_random import CounterRandom, Stream

Reading = Literal["eigenvalue", "standard_deviation"]

# Of the colors of ImageNet's training pixels, from 0 to 1 (facebook/fb.resnet.torch, datasets/imagenet.lua).
EIGENVALUES = (0.2175, 0.0188, 0.0045)
EIGENVECTORS = (  # a row for each component: its red, green and blue
    (-0.5675, -0.5808, -0.5836),
    (0.7192, -0.0045, -0.6948),
    (0.4009, -0.8140, 0.4203),
)


def add_color_noise(
    images: Tensor, random: CounterRandom, *, reading: Reading, mean: Sequence[float], strength: float = 0.1
) -> Tensor:
    """Adds a random color along the principal components of the pixels' colors (Krizhevsky et al. 2012, §4.1).

    To each pixel of an image the paper adds [p1 p2 p3] [α1 λ1, α2 λ2, α3 λ3]ᵀ, with p and λ the eigenvectors and
    eigenvalues of the covariance of the training pixels' colors, and α drawn once an image from a normal distribution
    with standard deviation 0.1. An eigenvalue is a variance, so this depends on the unit of the pixels. Hence two
    readings:

        reading             noise                   of PC1, in levels of 255   from
        eigenvalue          p α λ on pixels 0 to 1  0.1 · 0.2175 · 255 = 5.5   the formula as printed;
                                                                               facebook/fb.resnet.torch, transforms.lua
        standard_deviation  p α √λ in any unit      0.1 · 0.4664 · 255 = 11.9  akrizhevsky/cuda-convnet2, convdata.py

    In the authors' code, the factors are called `color_stdevs` (the file with their values is not public: the name has
    to suffice), and the noisy image, its mean subtracted, is divided by 1 + 0.1, to keep its scale near that of test
    images. They switched the noise off for the last epochs.

    Args:
        images: Pixels from 0 to 255, uint8 or float, not normalized yet. Shape (B, 3, H, W).
        random: Random numbers of the images.
        reading: eigenvalue: the formula as printed, on pixels from 0 to 1; standard_deviation: the authors' code.
        mean: Mean of each channel, as a fraction of 255, around which the authors' code shrinks the image.
        strength: Standard deviation of α.

    Returns:
        float32, not clipped: pixels may lie outside of 0 to 255. Shape (B, 3, H, W).

    Raises:
        ValueError: There is no such reading.
    """
    if reading not in ("eigenvalue", "standard_deviation"):
        raise ValueError(
            f"There is no reading {reading!r} of the color noise: choose eigenvalue or standard_deviation."
        )
    alpha = strength * random.normals(Stream.COLOR_NOISE, count=3, dtype=torch.float32)
    colors = (alpha @ _components(reading, images.device))[:, :, None, None]
    if reading == "eigenvalue":
        return images.float() + colors
    scale = 1 / (1 + strength)
    return images.float().mul_(scale).add_(colors * scale + _levels(tuple(mean), images.device) * (1 - scale))


@functools.lru_cache
def _components(reading: Reading, device: torch.device) -> Tensor:
    # Cached: a copy from the host for every batch would make the host wait for the device.
    power = 1.0 if reading == "eigenvalue" else 0.5
    lengths = torch.tensor(EIGENVALUES, dtype=torch.float64) ** power
    return (255 * lengths[:, None] * torch.tensor(EIGENVECTORS, dtype=torch.float64)).to(device, torch.float32)


@functools.lru_cache
def _levels(mean: tuple[float, ...], device: torch.device) -> Tensor:
    return 255 * torch.tensor(mean, device=device).view(-1, 1, 1)


def mix(
    images: Tensor,
    labels: Tensor,
    random: CounterRandom,
    *,
    num_classes: int,
    mixup_alpha: float = 0.0,
    cutmix_alpha: float = 0.0,
) -> tuple[Tensor, Tensor]:
    """Mixes images and labels in pairs: mixup (Zhang et al. 2018) and CutMix (Yun et al. 2019).

        mixup    image · λ + partner · (1 - λ),             λ ~ Beta(α, α)
        CutMix   a rectangle of the partner in the image,   λ the share of the image that is left

    Both are one weight for each pixel, so one operation does either; if both are on, they are equally likely. The
    partner of an image is the row before it in the batch of its process, as in torchvision. λ, the rectangle and the
    choice of the way are drawn for each image; torchvision draws them once for a batch, which gives an image the same
    distribution.

    Args:
        images: Normalized images on any device, or others of a float type. Shape (B, C, H, W).
        labels: int64. Shape (B,).
        random: Random numbers of the images.
        num_classes: Number of classes.
        mixup_alpha: α of mixup; 0 switches it off. 0.2 in the paper and in torchvision's recipes.
        cutmix_alpha: α of CutMix; 0 switches it off. 1 in the paper and in torchvision's recipes.

    Returns:
        The images (B, C, H, W), and the share of each class in them, float32 (B, num_classes).

    Raises:
        ValueError: Neither way is on, or the images are not of a float type.
    """
    if min(mixup_alpha, cutmix_alpha) < 0 or max(mixup_alpha, cutmix_alpha) == 0:
        raise ValueError(
            f"mixup_alpha={mixup_alpha} and cutmix_alpha={cutmix_alpha} must not be negative, and not both be 0."
        )
    if not images.is_floating_point():
        raise ValueError(f"Images of type {images.dtype} cannot be mixed: normalize them first.")
    weights = _weights(mixup_alpha, cutmix_alpha, random, *images.shape[-2:])
    share = weights.mean(dim=(1, 2, 3))
    partners = torch.cat((images[-1:], images[:-1]))  # keeps channels_last, which `roll` does not
    mixed = partners.lerp_(images, weights.to(images.dtype))
    targets = torch.zeros(len(labels), num_classes, device=labels.device)
    targets.scatter_(1, labels[:, None], share[:, None])
    targets.scatter_add_(1, labels.roll(1, 0)[:, None], 1 - share[:, None])
    return mixed, targets


def random_shares(alpha: float, random: CounterRandom) -> Tensor:
    """Draws from Beta(alpha, alpha) for each sample, in closed form.

    With T of Student's distribution of 2α degrees of freedom, 1/2 + T / (2 √(2α + T²)) is of Beta(α, α), and T is
    √(2α (U^(-1/α) - 1)) cos(2π V) for uniform U and V (Bailey, "Polar generation of random variates with the
    t-distribution", 1994; Devroye, "Random variate generation in one line of code", 1996).

    Returns:
        float32. Shape (B,).
    """
    u, v = random.fractions(Stream.MIXED_SHARE, count=2, dtype=torch.float32).unbind(dim=1)
    cosine = torch.cos(2 * math.pi * v)
    # expm1 of a logarithm keeps what is left of U^(-1/alpha) - 1 near 0; where it is infinite, the share is 0 or 1.
    square = torch.expm1(-torch.log1p(-u) / alpha) * cosine.square()
    return 0.5 + 0.5 * cosine.sign() / (1 + 1 / square).sqrt()


def _weights(mixup_alpha: float, cutmix_alpha: float, random: CounterRandom, height: int, width: int) -> Tensor:
    """Share of the image in each pixel: (B, 1, 1, 1) if by mixup alone, else (B, 1, height, width)."""
    if mixup_alpha:
        everywhere = random_shares(mixup_alpha, random)[:, None, None, None]
        if not cutmix_alpha:
            return everywhere
    outside = _outside_a_rectangle(cutmix_alpha, random, height, width)
    if not mixup_alpha:
        return outside
    return torch.where(random.booleans(Stream.MIXING)[:, None, None, None], everywhere, outside)


def _outside_a_rectangle(alpha: float, random: CounterRandom, height: int, width: int) -> Tensor:
    """1 where the image stays, 0 in a rectangle of area 1 - λ around a random pixel, cut at the border."""
    half = 0.5 * (1 - random_shares(alpha, random)).sqrt()
    half_height, half_width = (half * height).long(), (half * width).long()
    y = random.integers(height, Stream.MIXED_Y)
    x = random.integers(width, Stream.MIXED_X)
    # What lies beyond the border is no pixel, so there is nothing to clamp.
    return (~rectangle_mask(y - half_height, x - half_width, y + half_height, x + half_width, height, width)).float()


TRIES = 10  # as torchvision


def erase(
    images: Tensor,
    random: CounterRandom,
    *,
    probability: float = 0.1,
    area: tuple[float, float] = (0.02, 0.33),
    aspect: tuple[float, float] = (0.3, 3.3),
    value: float = 0.0,
) -> Tensor:
    """Overwrites a random rectangle of some of the images (Zhong et al., "Random Erasing Data Augmentation", 2017).

    As torchvision's RandomErasing: of ten rectangles, the first that fits is taken; if none does, the image stays.

    Args:
        images: Normalized images, on any device: 0 is the mean color. Shape (B, C, H, W).
        random: Random numbers of the images.
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
    streams = Stream.ERASED_AREA, Stream.ERASED_ASPECT
    down, across = random_sides(height * width, area, aspect, random, streams, torch.float32)
    fits = (down < height) & (across < width)
    down, across = (side.long() for side in first_fitting(fits, down, across))
    top = random.integers(height - down + 1, Stream.ERASED_Y)
    left = random.integers(width - across + 1, Stream.ERASED_X)
    chosen = random.fractions(Stream.ERASING, dtype=torch.float32)[:, 0] < probability
    erased = rectangle_mask(top, left, top + down, left + across, height, width)
    return images.masked_fill(erased & (chosen & fits.any(dim=1))[:, None, None, None], value)


def random_sides(
    image_area: Tensor | int,
    area: tuple[float, float],
    aspect: tuple[float, float],
    random: CounterRandom,
    streams: tuple[Stream, Stream],
    dtype: torch.dtype,
) -> tuple[Tensor, Tensor]:
    """Draws the sides of `TRIES` rectangles for each sample.

    Args:
        image_area: Pixels of the image. One number, or shape (B, 1).
        area: Least and largest share of the image, drawn uniformly.
        aspect: Least and largest ratio of the first side to the second, drawn uniformly in its logarithm.
        random: Random numbers of the samples.
        streams: What areas and aspect ratios are drawn from.
        dtype: Of the result.

    Returns:
        First and second sides, whole numbers. Shape (B, TRIES) each.
    """
    low, high = area
    share, position = (random.fractions(stream, count=TRIES, dtype=dtype) for stream in streams)
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
