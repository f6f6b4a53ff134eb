"""Augmentation and normalization of a whole batch at a time, on whatever device holds it.

Nothing here loops over samples, reads a value back from the device or keeps state.
"""

import functools
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from datamodules.counter_random import CounterRandom, Stream


def augment(images: Tensor, random: CounterRandom, *, crop_padding: int, horizontal_flip: bool) -> Tensor:
    """Flips and shifts every image as a pure function of (seed, epoch, sample index).

    Args:
        images: uint8 images. Shape (B, C, H, W).
        random: Random numbers of the images.
        crop_padding: Zeros added to each side, in pixels, before a random crop to the original size; 0 crops nothing.
        horizontal_flip: Whether to mirror half of the images.

    Returns:
        uint8 images. Shape (B, C, H, W).
    """
    if horizontal_flip:
        images = flip_horizontally(images, random.booleans(Stream.FLIP))
    if crop_padding:
        positions = 2 * crop_padding + 1
        top = random.integers(positions, Stream.CROP_Y)
        left = random.integers(positions, Stream.CROP_X)
        images = pad_and_crop(images, crop_padding, top, left)
    return images


def flip_horizontally(images: Tensor, flipped: Tensor) -> Tensor:
    """Mirrors the images for which `flipped` is True.

    Choosing whole images from both versions takes a fifth of the time of a `torch.where` over their pixels.

    Shape:
        images (B, C, H, W), flipped (B,) → (B, C, H, W)
    """
    count = len(images)
    both = torch.cat((images, images.flip(-1)))
    return both.index_select(0, torch.arange(count, device=images.device) + count * flipped)


def pad_and_crop(images: Tensor, padding: int, top: Tensor, left: Tensor) -> Tensor:
    """Pads with zeros and cuts a window of the original size out of each image.

    Each row of a window is a run of W contiguous pixels of the padded batch, so one `index_select` over all such runs
    copies row by row; an advanced index over samples would copy pixel by pixel.

    Args:
        images: Shape (B, C, H, W).
        padding: Zeros on each side, in pixels.
        top: First row of each window in the padded image, of [0, 2 * padding]. Shape (B,).
        left: First column of each window, likewise. Shape (B,).

    Returns:
        The windows. Shape (B, C, H, W).
    """
    batch, channels, height, width = images.shape
    padded = F.pad(images, (padding,) * 4)
    _, _, padded_height, padded_width = padded.shape

    steps = functools.partial(torch.arange, device=images.device)
    first_pixel = steps(batch) * (channels * padded_height * padded_width) + top * padded_width + left
    row_offset = (steps(channels)[:, None] * padded_height + steps(height)) * padded_width  # (C, H)
    starts = first_pixel[:, None] + row_offset.flatten()  # (B, C * H)
    rows = padded.flatten().unfold(0, width, 1)
    return rows.index_select(0, starts.flatten()).view(batch, channels, height, width)


def normalize(images: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """Scales uint8 images to zero mean and unit variance in each channel.

    Args:
        images: uint8 images. Shape (B, C, H, W).
        mean: Mean of each channel, as a fraction of 255.
        std: Standard deviation of each channel, as a fraction of 255.

    Returns:
        float32 images. Shape (B, C, H, W).
    """
    scale, shift = _scale_and_shift(tuple(mean), tuple(std), images.device)
    return images.float().mul_(scale).add_(shift)


@functools.lru_cache
def _scale_and_shift(mean: tuple[float, ...], std: tuple[float, ...], device: torch.device) -> tuple[Tensor, Tensor]:
    # Cached: a copy from the host for every batch would make the host wait for the device.
    center, spread = (torch.tensor(values, dtype=torch.float64).view(-1, 1, 1) for values in (mean, std))
    scale, shift = 1 / (255 * spread), -center / spread
    return scale.to(device, torch.float32), shift.to(device, torch.float32)
