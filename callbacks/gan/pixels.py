"""What is measured of pixels alone: how much images differ from each other, and how likely samples make others.

Diversity. Salimans et al. 2016 (§3.2) describe the collapse: all latents give one image. A mean over pairs sees that,
and sees it without a network; it does not see a few good modes that are left. For those there are recall and coverage.

Log-likelihood of test images under a Parzen window on samples (Goodfellow et al. 2014, §5, Table 1).

    p(x) = mean over samples s of N(x; s, σ²I)

σ is chosen so that validation images are likeliest. Pixels are from 0 to 1. The estimate has a large variance and does
badly in many dimensions, as the paper says; Theis et al. 2016 (A note on the evaluation of generative models, §3.2)
show that it ranks models wrongly. It is here for the paper's table: 225 ± 2 for MNIST, with 10,000 samples.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from callbacks.gan.distances import squared_distances


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


def diversity(images: Tensor) -> float:
    """Mean over pairs of two images of the root of the mean squared difference of their pixels.

    Args:
        images: Shape (N, …).

    Raises:
        ValueError: There are fewer than two images.
    """
    count = len(images)
    if count < 2:
        raise ValueError(f"Diversity takes at least two images, not {count}: take more images.")
    pixels = images.flatten(1).double()
    total = sum(float(distances.sqrt().sum()) for _, distances in squared_distances(pixels, pixels))
    # The distance of an image from itself is 0, but for rounding: its share is a millionth at most.
    return total / (count * (count - 1)) / pixels.shape[1] ** 0.5


SIGMAS = tuple(10 ** (-1 + step / 9) for step in range(10))
"""Ten values from 0.1 to 1, evenly by logarithm, as in the authors' code (goodfeli/adversarial, parzen_ll.py)."""


class LogLikelihood(NamedTuple):
    """A mean over images.

    Attributes:
        mean: In nats.
        standard_error: Of the mean.
        sigma: The width that was chosen.
    """

    mean: float
    standard_error: float
    sigma: float


def parzen_log_likelihood(
    samples: Tensor, validation: Tensor, test: Tensor, sigmas: Sequence[float] = SIGMAS
) -> LogLikelihood:
    """Mean log-likelihood of test images, with σ chosen on validation images; in float64.

    Args:
        samples: Pixels from 0 to 1. Shape (M, D).
        validation: Images that choose σ, none of which is a test image. Shape (V, D).
        test: Shape (N, D).
        sigmas: Widths to choose from.

    Raises:
        ValueError: There are no samples or no validation images, or fewer than two test images.
    """
    if not len(samples) or not len(validation) or len(test) < 2:
        raise ValueError("A Parzen window takes samples, validation images and at least two test images: take more.")
    on_validation = log_densities(samples, validation, sigmas).mean(1)
    sigma = sigmas[int(on_validation.argmax())]
    on_test = log_densities(samples, test, [sigma])[0]
    return LogLikelihood(float(on_test.mean()), float(on_test.std() / math.sqrt(len(test))), sigma)


def log_densities(samples: Tensor, images: Tensor, sigmas: Sequence[float]) -> Tensor:
    """Logarithms of p of images (N, D) under windows on samples (M, D) for each σ. Shape (len(sigmas), N)."""
    samples, images = samples.double(), images.double()
    count, dimensions = samples.shape
    densities = images.new_empty(len(sigmas), len(images))
    for rows, distances in squared_distances(images, samples):
        for row, sigma in enumerate(sigmas):
            constant = math.log(count) + dimensions / 2 * math.log(2 * math.pi * sigma**2)
            densities[row, rows] = torch.logsumexp(distances / (-2 * sigma**2), 1) - constant
    return densities
