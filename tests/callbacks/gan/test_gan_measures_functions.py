"""Each measure against a literal reference, a closed form, and torchmetrics' where it has it."""

import math
from itertools import permutations, product
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.linalg
import torch
from torch import Tensor, nn
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.inception import InceptionScore
from torchmetrics.image.kid import KernelInceptionDistance

from callbacks.gan.distances import (
    bias_warning,
    frechet_distance,
    kernel_distance,
    normal_fit,
    squared_discrepancy,
    squared_distances,
)
from callbacks.gan.measures import ImageSet, inception_score, reference
from callbacks.gan.neighbors import density_and_coverage, precision_and_recall, squared_radii
from callbacks.gan.pixels import diversity, log_densities, parzen_log_likelihood


def normal(count: int, size: int, seed: int, shift: float = 0.0, scale: float = 1.0) -> Tensor:
    source = torch.Generator().manual_seed(seed)
    return torch.randn(count, size, generator=source, dtype=torch.float64) * scale + shift


REAL, FAKE = normal(40, 6, 1), normal(33, 6, 2, shift=0.4, scale=0.8)


class Given(nn.Module):
    """A network of features that are its images."""

    num_features = 6

    def forward(self, features: Tensor) -> Tensor:
        return features


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("callbacks.gan.distances.BLOCK", 100)  # two or three rows at a time


# Inception score


def test_the_score_is_the_exponential_of_the_mean_divergence() -> None:
    probabilities = normal(25, 4, 3, scale=2).softmax(1)
    scores = []
    for chunk in (range(8), range(8, 16), range(16, 25)):
        marginal = [sum(float(probabilities[i, k]) for i in chunk) / len(chunk) for k in range(4)]
        total = 0.0
        for i, k in product(chunk, range(4)):
            p = float(probabilities[i, k])
            total += p * (math.log(p) - math.log(marginal[k]))
        scores.append(math.exp(total / len(chunk)))
    mean, std = inception_score(probabilities, splits=3)
    assert mean == pytest.approx(np.mean(scores), rel=1e-12)
    assert std == pytest.approx(np.std(scores), rel=1e-12)


def test_the_score_has_its_known_extremes() -> None:
    assert inception_score(torch.eye(10).repeat(20, 1), splits=10) == pytest.approx((10, 0))
    assert inception_score(torch.full((50, 10), 0.1), splits=5) == pytest.approx((1, 0), abs=1e-6)
    with pytest.raises(ValueError, match="3 images cannot be divided into 10 chunks"):
        inception_score(torch.eye(3))


def test_the_score_is_that_of_torchmetrics() -> None:
    logits = normal(200, 6, 4, scale=2)
    metric = InceptionScore(feature=Given(), splits=1)
    metric.update(logits)
    assert inception_score(logits.softmax(1), splits=1)[0] == pytest.approx(float(metric.compute()[0]), rel=1e-6)


# Fréchet distance


def test_the_distance_is_that_of_the_formula() -> None:
    mean = [features.numpy().mean(0) for features in (REAL, FAKE)]
    covariance = [np.cov(features.numpy(), rowvar=False) for features in (REAL, FAKE)]
    root = scipy.linalg.sqrtm(covariance[0] @ covariance[1]).real
    expected = ((mean[0] - mean[1]) ** 2).sum() + np.trace(covariance[0] + covariance[1] - 2 * root)
    assert frechet_distance(REAL, FAKE) == pytest.approx(expected, rel=1e-12)
    assert frechet_distance(normal_fit(REAL), FAKE) == frechet_distance(REAL, FAKE)


def test_the_distance_is_that_of_torchmetrics() -> None:
    metric = FrechetInceptionDistance(feature=Given())
    metric.update(REAL, real=True)
    metric.update(FAKE, real=False)
    assert frechet_distance(REAL, FAKE) == pytest.approx(float(metric.compute()), rel=1e-9)


@pytest.mark.parametrize("size", [3, 100])
def test_the_distance_of_features_on_a_line_is_exact(size: int) -> None:
    """Where a covariance has rank 1, more features than images or not, the square root loses nothing."""
    direction = normal(1, size, 5)
    direction /= direction.norm()
    first, second = normal(30, 1, 6), normal(30, 1, 7, shift=2, scale=3)
    expected = float((first.mean() - second.mean()) ** 2 + (first.std() - second.std()) ** 2)
    assert frechet_distance(first * direction, second * direction) == pytest.approx(expected, rel=1e-12)
    assert frechet_distance(first * direction, first * direction) == pytest.approx(0, abs=1e-13)


def test_the_distance_says_when_it_means_little() -> None:
    assert bias_warning(10_000, 3000, 2048) is None
    assert "10,000 real and 2,000 fake images in 2,048 features" in str(bias_warning(10_000, 2000, 2048))
    with pytest.raises(ValueError, match="at least two images, not 1"):
        frechet_distance(REAL[:1], FAKE)
    with pytest.raises(ValueError, match="lengths 6 and 5"):
        frechet_distance(REAL, FAKE[:, :5])
    with pytest.raises(ValueError, match="NaN or infinite"):
        frechet_distance(REAL / 0, FAKE)


# Kernel distance


def test_the_kernel_distance_is_that_of_the_formula() -> None:
    def kernel(x: Tensor, y: Tensor) -> float:
        return (float(x @ y) / len(x) + 1) ** 3

    def over_pairs(features: Tensor) -> float:
        return sum(kernel(x, y) for x, y in permutations(features, 2)) / (len(features) * (len(features) - 1))

    cross = sum(kernel(x, y) for x, y in product(REAL, FAKE)) / (len(REAL) * len(FAKE))
    expected = over_pairs(REAL) + over_pairs(FAKE) - 2 * cross
    assert squared_discrepancy(REAL, FAKE) == pytest.approx(expected, rel=1e-12)


def test_the_kernel_distance_is_that_of_torchmetrics() -> None:
    fake = normal(40, 6, 2, shift=0.4)
    metric = KernelInceptionDistance(feature=Given(), subsets=1, subset_size=40)
    metric.update(REAL, real=True)
    metric.update(fake, real=False)
    mean, std = kernel_distance(REAL, fake)
    assert mean == pytest.approx(float(metric.compute()[0]), rel=1e-6)
    assert std == 0  # all subsets would be the same


def test_the_kernel_distance_is_unbiased_over_subsets() -> None:
    same = [normal(300, 6, seed) for seed in (1, 2)]
    mean, std = kernel_distance(*same, subsets=200, subset_size=50)
    assert abs(mean) < 3 * std / math.sqrt(200) + 0.02
    assert std > 0
    assert kernel_distance(*same, subsets=5, subset_size=50) == kernel_distance(*same, subsets=5, subset_size=50)
    low = [features.float() for features in same]
    assert kernel_distance(*low, subsets=5, subset_size=50)[0] == pytest.approx(
        kernel_distance(*same, subsets=5, subset_size=50)[0], abs=1e-6
    )


# Neighbors


def distance(x: Tensor, y: Tensor) -> float:
    return float((x - y).square().sum())


def radius(features: Tensor, index: int, k: int) -> float:
    return sorted(distance(features[index], other) for i, other in enumerate(features) if i != index)[k - 1]


@pytest.mark.usefixtures("small_blocks")
def test_precision_recall_density_and_coverage_are_those_of_the_formulas() -> None:
    fake = FAKE + 1
    real_balls = {k: [radius(REAL, i, k) for i in range(len(REAL))] for k in (3, 5)}
    fake_balls = [radius(fake, i, 3) for i in range(len(fake))]
    precision = np.mean([any(distance(y, x) <= r for x, r in zip(REAL, real_balls[3], strict=True)) for y in fake])
    recall = np.mean([any(distance(x, y) <= r for y, r in zip(fake, fake_balls, strict=True)) for x in REAL])
    counts = [sum(distance(y, x) <= r for x, r in zip(REAL, real_balls[5], strict=True)) for y in fake]
    covered = [any(distance(x, y) <= r for y in fake) for x, r in zip(REAL, real_balls[5], strict=True)]
    assert 0 < precision < 1  # else the test would see little
    assert 0 < recall < 1
    assert precision_and_recall(REAL, fake) == (precision, recall)
    assert precision_and_recall(REAL, fake, 3, (squared_radii(REAL, 5), squared_radii(fake, 5))) == (precision, recall)
    assert density_and_coverage(REAL, fake) == (pytest.approx(sum(counts) / (5 * len(fake))), np.mean(covered))
    assert density_and_coverage(REAL, fake, 5, squared_radii(REAL, 7)) == density_and_coverage(REAL, fake)


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("unit", [1.0, 0.1, 3e-5])
@pytest.mark.parametrize("center", [0, 1000])
def test_equal_distances_count(dtype: torch.dtype, unit: float, center: int) -> None:
    """Of points on a lattice nearly all distances are equal to others; integers tell which, without any rounding."""
    source = torch.Generator().manual_seed(0)
    real, fake = (torch.randint(0, 3, (count, 5), generator=source) + shift for count, shift in ((40, 0), (35, 1)))

    def squared(x: Tensor, y: Tensor) -> int:
        return sum((a - b) ** 2 for a, b in zip(x.tolist(), y.tolist(), strict=True))

    def edges(points: Tensor, k: int) -> list[int]:
        return [sorted(squared(x, y) for j, y in enumerate(points) if j != i)[k - 1] for i, x in enumerate(points)]

    real3, real5, fake3 = edges(real, 3), edges(real, 5), edges(fake, 3)
    assert 0 in real3 + fake3 or 1 in real3 + fake3
    precision = np.mean([any(squared(y, x) <= r for x, r in zip(real, real3, strict=True)) for y in fake])
    recall = np.mean([any(squared(x, y) <= r for y, r in zip(fake, fake3, strict=True)) for x in real])
    density = sum(squared(y, x) <= r for y in fake for x, r in zip(real, real5, strict=True)) / (5 * len(fake))
    coverage = np.mean([any(squared(x, y) <= r for y in fake) for x, r in zip(real, real5, strict=True)])
    without = np.mean([any(squared(x, y) < r for y, r in zip(fake, fake3, strict=True)) for x in real])
    assert without < recall < 1
    # What is stored must be the same numbers up to one factor, else its distances are not equal.
    of_real, of_fake = (
        (points + center).to(dtype) * (1.0 if dtype is torch.float32 else unit) for points in (real, fake)
    )
    assert precision_and_recall(of_real, of_fake) == (precision, recall)
    assert density_and_coverage(of_real, of_fake) == (pytest.approx(density), coverage)


def test_neighbors_tell_fidelity_from_variety() -> None:
    modes = torch.cat([normal(100, 4, 1), normal(100, 4, 2, shift=50)])
    one_mode = normal(200, 4, 3)
    precision, recall = precision_and_recall(modes, one_mode)
    density, coverage = density_and_coverage(modes, one_mode)
    assert precision > 0.9
    assert recall < 0.6
    assert coverage < 0.6
    assert density > 0.9
    assert precision_and_recall(modes, modes.clone()) == (1, 1)  # what is memorized is at the same place
    assert density_and_coverage(modes, normal(200, 4, 4, shift=-50)) == (0, 0)
    with pytest.raises(ValueError, match="3 images do not have 3 neighbors"):
        precision_and_recall(modes[:3], modes)


@pytest.mark.usefixtures("small_blocks")
def test_distances_keep_their_digits_far_from_the_origin() -> None:
    first, second = normal(50, 8, 1).float() + 1000, normal(30, 8, 2).float() + 1000
    found = torch.cat([block for _, block in squared_distances(first, second)])
    expected = (first.double()[:, None] - second.double()).square().sum(2)
    assert torch.allclose(found.double(), expected, rtol=1e-3)


# Parzen window


@pytest.mark.usefixtures("small_blocks")
def test_the_window_is_that_of_the_formula() -> None:
    def log_density(x: Tensor, sigma: float) -> float:
        terms = [math.exp(-distance(x, s) / (2 * sigma**2)) / (2 * math.pi * sigma**2) ** 3 for s in FAKE]
        return math.log(sum(terms) / len(terms))

    sigmas = [0.3, 0.7, 1.5]
    expected = {sigma: [log_density(x, sigma) for x in REAL] for sigma in sigmas}
    for row, sigma in zip(log_densities(FAKE, REAL, sigmas), sigmas, strict=True):
        assert row.tolist() == pytest.approx(expected[sigma], rel=1e-9)
    best = max(sigmas, key=lambda sigma: np.mean(expected[sigma][:10]))
    value = parzen_log_likelihood(FAKE, REAL[:10], REAL[10:], sigmas)
    assert value.sigma == best
    assert value.mean == pytest.approx(np.mean(expected[best][10:]))
    assert value.standard_error == pytest.approx(np.std(expected[best][10:], ddof=1) / math.sqrt(30))


def test_the_window_is_a_normal_distribution_for_one_sample() -> None:
    dimensions = 784
    densities = log_densities(torch.zeros(1, dimensions), torch.zeros(2, dimensions), [0.2])
    assert float(densities[0, 0]) == pytest.approx(-dimensions / 2 * math.log(2 * math.pi * 0.04))
    with pytest.raises(ValueError, match="at least two test images"):
        parzen_log_likelihood(FAKE, REAL, REAL[:1])


# Diversity


@pytest.mark.usefixtures("small_blocks")
def test_diversity_is_the_mean_difference_of_pixels() -> None:
    images = FAKE.view(-1, 1, 2, 3)
    expected = np.mean([math.sqrt(distance(x, y) / 6) for x, y in permutations(FAKE, 2)])
    assert diversity(images) == pytest.approx(expected, rel=1e-6)
    assert diversity(images[:1].expand(20, -1, -1, -1)) == pytest.approx(0, abs=1e-6)
    with pytest.raises(ValueError, match="at least two images"):
        diversity(images[:1])


def test_the_reference_of_distances_is_between_halves_of_the_real_images() -> None:
    images = torch.randint(0, 256, (400, 1, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    real = ImageSet(images, None, torch.device("cpu"))
    real.space = SimpleNamespace(name="tiny", score_name="classifier_score_tiny")  # type: ignore[assignment]
    features = images.flatten(1)[:, :4].float()
    real.answers = (features, torch.full((400, 2), 0.5))
    found = reference(["fid", "kid", "score", "diversity"], real)
    assert set(found) == {
        *("fid_tiny", "kid_tiny", "kid_std_tiny"),
        *("classifier_score_tiny", "classifier_score_tiny_std"),
    }
    assert 0 < found["fid_tiny"] < 0.05 * features.var(0).sum()
    assert found["classifier_score_tiny"] == pytest.approx(1)
    assert reference(["fid"], real.first(50)) == {}
