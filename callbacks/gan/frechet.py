"""Fréchet distance of two sets of features, each taken for a normal distribution (Heusel et al. 2017, eq. 6).

    ‖μ - μ'‖² + tr(Σ + Σ' - 2 (Σ Σ')^½)

Heusel et al. 2017: GANs Trained by a Two Time-Scale Update Rule Converge to a Local Nash Equilibrium; the formula is
that of Dowson and Landau 1982. With Inception's features it is the FID.

Departure, in the arithmetic alone: neither a covariance nor the square root of a matrix is computed. With centered
features X = Q R, Σ = Rᵀ R / (n - 1), and tr (Σ Σ')^½ is the sum of the singular values of R R'ᵀ / √((n - 1)(n' - 1)).
So nothing is complex or has to be nudged, and features that lie in a subspace, or are more than the images, do not lose
half of the digits, as the root of a rounded 0 does.
"""

from typing import NamedTuple

import torch
from torch import Tensor


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
    if len(real.mean) != len(fake.mean):
        raise ValueError(
            f"Features of lengths {len(real.mean)} and {len(fake.mean)} cannot be compared: take both from one network."
        )
    covariances = real.factor.square().sum() + fake.factor.square().sum()
    both = torch.linalg.svdvals(real.factor @ fake.factor.T).sum()
    distance = (real.mean - fake.mean).square().sum() + covariances - 2 * both
    return max(0.0, float(distance))  # rounding alone makes it negative


def bias_warning(real: int, fake: int, features: int) -> str | None:
    """What is to be said of a distance from fewer images than features; None if there are enough."""
    if min(real, fake) > features:
        return None
    return (
        f"A Fréchet distance from {real:,} real and {fake:,} fake images in {features:,} features is far too large, "
        f"because their covariances are singular: take more than {features:,} of each, or compare equal numbers only."
    )
