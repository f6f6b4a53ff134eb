"""Distances between two sets of features: of all pairs of vectors, Fréchet's of their normal fits, and a kernel's.

Fréchet distance of two sets of features, each taken for a normal distribution (Heusel et al. 2017, eq. 6).

    ‖μ - μ'‖² + tr(Σ + Σ' - 2 (Σ Σ')^½)

Heusel et al. 2017: GANs Trained by a Two Time-Scale Update Rule Converge to a Local Nash Equilibrium; the formula is
that of Dowson and Landau 1982. With Inception's features it is the FID.

Departure, in the arithmetic alone: neither a covariance nor the square root of a matrix is computed. With centered
features X = Q R, Σ = Rᵀ R / (n - 1), and tr (Σ Σ')^½ is the sum of the singular values of R R'ᵀ / √((n - 1)(n' - 1)).
So nothing is complex or has to be nudged, and features that lie in a subspace, or are more than the images, do not lose
half of the digits, as the root of a rounded 0 does.

Kernel distance of two sets of features (Bińkowski et al. 2018, Demystifying MMD GANs, §4): the KID.

The squared maximum mean discrepancy for the kernel k(x, y) = (xᵀy / F + 1)³, estimated without bias: its mean is 0 for
samples of one distribution, whatever their number, so that it can be negative.
"""

import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

BLOCK = 2**24
"""Distances in memory at a time: 64 MiB in float32."""


def squared_distances(first: Tensor, second: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """Rows and the squared Euclidean distances (rows, M) of first (N, F) from all of second (M, F), block by block.

    Computed as ‖x‖² + ‖y‖² - 2 xᵀy, after the mean of `second` was taken off both: common offsets would cost digits.
    """
    center = second.mean(0)
    first, second = first - center, second - center
    norms = second.square().sum(1)
    rows = max(1, BLOCK // max(1, len(second)))
    for start in range(0, len(first), rows):
        block = first[start : start + rows]
        distances = torch.addmm(norms.expand(len(block), -1), block, second.T, alpha=-2)
        distances += block.square().sum(1, keepdim=True)
        yield slice(start, start + len(block)), distances.clamp_min_(0)


class NormalFit(NamedTuple):
    """A normal distribution that was fitted to features; small, so that real images pass a network only once.

    Attributes:
        mean: Shape (F,).
        factor: Upper triangular, the covariance is factorᵀ · factor. Shape (min(N, F), F).
        images: How many they were.
    """

    mean: Tensor
    factor: Tensor
    images: int


def normal_fit(features: Tensor) -> NormalFit:
    """Mean and factor of the unbiased covariance of features (N, F), in float64.

    Raises:
        ValueError: There are fewer than two images, or a feature is not finite.
    """
    if len(features) < 2:
        raise ValueError(f"A covariance takes at least two images, not {len(features)}: take more images.")
    if not features.isfinite().all():
        raise ValueError("A feature is NaN or infinite: look at the images and at the network that sees them.")
    features = features.double()
    mean = features.mean(0)
    factor = torch.linalg.qr(features - mean, mode="r").R / (len(features) - 1) ** 0.5
    return NormalFit(mean, factor, len(features))


def frechet_distance(real: Tensor | NormalFit, fake: Tensor | NormalFit) -> float:
    """Squared Fréchet distance between two sets of features (N, F), or what was fitted to them.

    The estimate is biased upwards, the more so the fewer the images (Bińkowski et al. 2018, §4), so it means nothing
    without their numbers; see `bias_warning`.

    Raises:
        ValueError: There are fewer than two images in a set, or their features are of different lengths.
    """
    real = real if isinstance(real, NormalFit) else normal_fit(real)
    fake = fake if isinstance(fake, NormalFit) else normal_fit(fake)
    _check_lengths(len(real.mean), len(fake.mean))
    covariances = real.factor.square().sum() + fake.factor.square().sum()
    both = torch.linalg.svdvals(real.factor @ fake.factor.T).sum()
    distance = (real.mean - fake.mean).square().sum() + covariances - 2 * both
    return max(0.0, float(distance))  # rounding alone makes it negative


def _check_lengths(real: int, fake: int) -> None:
    if real != fake:
        raise ValueError(f"Features of lengths {real} and {fake} cannot be compared: take both from one network.")


def bias_warning(real: int, fake: int, features: int) -> str | None:
    """What is to be said of a distance from fewer images than features; None if there are enough."""
    if min(real, fake) > features:
        return None
    return (
        f"A Fréchet distance from {real:,} real and {fake:,} fake images in {features:,} features is far too large, "
        f"because their covariances are singular: take more than {features:,} of each, or compare equal numbers only."
    )


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
    _check_lengths(real.shape[1], fake.shape[1])
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
