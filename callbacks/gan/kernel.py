"""Kernel distance of two sets of features (Bińkowski et al. 2018, Demystifying MMD GANs, §4): the KID.

The squared maximum mean discrepancy for the kernel k(x, y) = (xᵀy / F + 1)³, estimated without bias: its mean is 0 for
samples of one distribution, whatever their number, so that it can be negative.
"""

import math

import torch
from torch import Tensor


def kernel_distance(
    real: Tensor, fake: Tensor, subsets: int = 100, subset_size: int = 1000, seed: int = 0
) -> tuple[float, float]:
    """Mean and standard deviation of the estimate over subsets, as in the authors' code (mbinkowski/MMD-GAN).

    Args:
        real: Features of real images. Shape (N, F).
        fake: Features of samples. Shape (M, F).
        subsets: Number of subsets, each drawn without replacement. One is enough where it has all images.
        subset_size: Images in a subset of either set; fewer if there are fewer.
        seed: Of their choice.

    Returns:
        Mean, and standard deviation over subsets: that of one subset, not of the mean.

    Raises:
        ValueError: There are fewer than two images in a set, or their features are of different lengths.
    """
    size = min(subset_size, len(real), len(fake))
    if size < 2:
        raise ValueError("The kernel distance takes at least two real and two fake images: take more images.")
    if real.shape[1] != fake.shape[1]:
        raise ValueError(
            f"Features of lengths {real.shape[1]} and {fake.shape[1]} cannot be compared: take both from one network."
        )
    if size == len(real) == len(fake):
        subsets = 1  # they would all be the same
    source = torch.Generator().manual_seed(seed)
    values = [squared_discrepancy(_chosen(real, size, source), _chosen(fake, size, source)) for _ in range(subsets)]
    mean = math.fsum(values) / subsets
    return mean, math.sqrt(math.fsum((value - mean) ** 2 for value in values) / subsets)


def squared_discrepancy(real: Tensor, fake: Tensor) -> float:
    """Unbiased estimate from features (N, F) and (M, F) (Gretton et al. 2012, A Kernel Two-Sample Test, eq. 3)."""
    return _mean_of_pairs(real) + _mean_of_pairs(fake) - 2 * float(_kernel(real, fake).mean(dtype=torch.float64))


def _mean_of_pairs(features: Tensor) -> float:
    """Mean of the kernel over pairs of two different images."""
    count = len(features)
    kernel = _kernel(features, features)
    # In double, for small differences of sums are left.
    total = kernel.sum(dtype=torch.float64) - kernel.diagonal().sum(dtype=torch.float64)
    return float(total / (count * (count - 1)))


def _kernel(first: Tensor, second: Tensor) -> Tensor:
    base = (first @ second.T).div_(first.shape[1]).add_(1)
    return base * base * base


def _chosen(features: Tensor, size: int, source: torch.Generator) -> Tensor:
    return features[torch.randperm(len(features), generator=source)[:size].to(features.device)]
