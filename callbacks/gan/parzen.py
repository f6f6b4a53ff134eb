"""Log-likelihood of test images under a Parzen window on samples (Goodfellow et al. 2014, §5, Table 1).

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

from callbacks.gan.pairwise import squared_distances

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
