"""Color noise along the principal components of the pixels' colors (Krizhevsky et al. 2012, §4.1).

To each pixel of an image the paper adds [p1 p2 p3] [α1 λ1, α2 λ2, α3 λ3]ᵀ, with p and λ the eigenvectors and
eigenvalues of the covariance of the training pixels' colors, and α drawn once an image from a normal distribution with
standard deviation 0.1. An eigenvalue is a variance, so this depends on the unit of the pixels. Hence two readings:

    reading              noise                    of PC1, in levels of 255    from
    eigenvalue           p α λ on pixels 0 to 1   0.1 · 0.2175 · 255 = 5.5    the formula as printed;
                                                                              facebook/fb.resnet.torch, transforms.lua
    standard_deviation   p α √λ in any unit       0.1 · 0.4664 · 255 = 11.9   akrizhevsky/cuda-convnet2, convdata.py

In the authors' code, the factors are called `color_stdevs` (the file with their values is not public: the name has to
suffice), and the noisy image, its mean subtracted, is divided by 1 + 0.1, to keep its scale near that of test images.
They switched the noise off for the last epochs.
"""

import functools
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from datamodules.counter_random import Stream, random_normals

Reading = Literal["eigenvalue", "standard_deviation"]

# Of the colors of ImageNet's training pixels, from 0 to 1 (facebook/fb.resnet.torch, datasets/imagenet.lua).
EIGENVALUES = (0.2175, 0.0188, 0.0045)
EIGENVECTORS = (  # a row for each component: its red, green and blue
    (-0.5675, -0.5808, -0.5836),
    (0.7192, -0.0045, -0.6948),
    (0.4009, -0.8140, 0.4203),
)


def add_color_noise(
    images: Tensor,
    indices: Tensor,
    *,
    seed: int,
    epoch: int,
    reading: Reading,
    mean: Sequence[float],
    strength: float = 0.1,
) -> Tensor:
    """Adds one random color to all pixels of each image, as a pure function of (seed, epoch, index).

    Args:
        images: Pixels from 0 to 255, uint8 or float, not normalized yet. Shape (B, 3, H, W).
        indices: Sample indices, on the device of the images. Shape (B,).
        seed: The run's seed.
        epoch: Training epoch.
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
    alpha = strength * random_normals(seed, epoch, Stream.COLOR_NOISE, indices, count=3, dtype=torch.float32)
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
