"""Fidelity and variety apart, by nearest neighbors in the space of features.

Each image is the center of a ball that reaches to its k-th nearest neighbor in its own set. Where are the other set's
images?

    precision   share of samples in the ball of some real image              Kynkäänniemi et al. 2019, eq. 2, k = 3
    recall      share of real images in the ball of some sample              the same
    density     balls of real images that a sample is in, over k, on average Naeem et al. 2020, eq. 3, k = 5
    coverage    share of real images with a sample in their ball             the same, eq. 4

Kynkäänniemi et al. 2019: Improved Precision and Recall Metric for Assessing Generative Models; Naeem et al. 2020:
Reliable Fidelity and Diversity Metrics for Generative Models. An outlier among the real images has a large ball, which
lets in any sample; density and coverage mind this less. A ball includes its edge, as in both papers, and an image is on
it if rounding alone keeps its distance from being the radius. Radii shrink with the number of images, so only figures
from equally many can be compared.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from callbacks.gan.distances import squared_distances

ROUNDING = 1e-12
"""Largest error of a squared distance in float64, as a part of the largest squared distances from the center."""


def squared_radii(features: Tensor, k: int) -> Tensor:
    """Squared distances (N, k) of each image, by features (N, F), to its 1st … k-th nearest neighbor but itself.

    Raises:
        ValueError: There are not more than k images.
    """
    if not 1 <= k < len(features):
        raise ValueError(f"{len(features)} images do not have {k} neighbors each: take more images.")
    features = features.double()
    radii = features.new_empty(len(features), k)
    for rows, distances in squared_distances(features, features):
        distances[torch.arange(len(distances)), torch.arange(rows.start, rows.stop)] = torch.inf
        radii[rows] = distances.topk(k, largest=False, sorted=True).values
    return radii


def _least_distances(first: Tensor, second: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """As `squared_distances`, in float64 and less what rounding can have added: no equal distance is above another."""
    first, second = first.double(), second.double()
    center = second.mean(0)
    slack = ROUNDING * sum((features - center).square().sum(1).max() for features in (first, second))
    for rows, distances in squared_distances(first, second):
        yield rows, distances - slack


def precision_and_recall(
    real: Tensor, fake: Tensor, k: int = 3, radii: tuple[Tensor, Tensor] | None = None
) -> tuple[float, float]:
    """Share of samples that look real, and share of real images that the generator could have made.

    Args:
        real: Features of real images. Shape (N, F).
        fake: Features of samples. Shape (M, F).
        k: Neighbors that a ball reaches to.
        radii: `squared_radii` of both for some k that is not smaller, where they are known.

    Raises:
        ValueError: There are not more than k images in a set.
    """
    of_real, of_fake = radii if radii is not None else (squared_radii(real, k), squared_radii(fake, k))
    in_real = torch.zeros(len(fake), dtype=torch.bool, device=fake.device)
    in_fake = torch.zeros(len(real), dtype=torch.bool, device=real.device)
    for rows, distances in _least_distances(fake, real):
        in_real[rows] = (distances <= of_real[:, k - 1]).any(1)
        in_fake |= (distances <= of_fake[rows, k - 1, None]).any(0)
    return float(in_real.double().mean()), float(in_fake.double().mean())


def density_and_coverage(
    real: Tensor, fake: Tensor, k: int = 5, real_radii: Tensor | None = None
) -> tuple[float, float]:
    """How densely real images stand where the samples are, and share of real images with a sample near by.

    Args:
        real: Features of real images. Shape (N, F).
        fake: Features of samples. Shape (M, F).
        k: Neighbors that a ball reaches to.
        real_radii: `squared_radii` of the real images for some k that is not smaller, where they are known.

    Returns:
        Density, which is 1 on average where both are of one distribution and can be more; coverage, at most 1.

    Raises:
        ValueError: There are not more than k real images.
    """
    radii = (squared_radii(real, k) if real_radii is None else real_radii)[:, k - 1]
    covered = torch.zeros(len(real), dtype=torch.bool, device=real.device)
    inside = 0
    for _, distances in _least_distances(fake, real):
        hits = distances <= radii
        inside += int(hits.sum())
        covered |= hits.any(0)
    return inside / (k * len(fake)), float(covered.double().mean())
