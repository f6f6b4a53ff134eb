import numpy as np
import pytest
from scipy import stats

from comparison.statistics import beaten, estimate
from records.statistics import wilson_interval


@pytest.mark.parametrize(
    ("successes", "count", "low", "high"),
    # Newcombe (1998), "Two-sided confidence intervals for the single proportion", table I, method 3.
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_interval_agrees_with_published_values(successes: int, count: int, low: float, high: float) -> None:
    assert wilson_interval(successes / count, count) == (pytest.approx(low, abs=5e-5), pytest.approx(high, abs=5e-5))


@pytest.mark.parametrize("proportion", [0.0, 0.001, 0.5, 0.999, 1.0])
@pytest.mark.parametrize("count", [1, 7, 360, 10_000])
def test_wilson_interval_holds_the_proportion_and_stays_inside(proportion: float, count: int) -> None:
    low, high = wilson_interval(proportion, count)
    assert 0.0 <= low <= proportion <= high <= 1.0
    mirrored_low, mirrored_high = wilson_interval(1 - proportion, count)
    assert (low, high) == (pytest.approx(1 - mirrored_high), pytest.approx(1 - mirrored_low))


@pytest.mark.parametrize(("proportion", "count"), [(98.3, 360), (-0.1, 360), (float("nan"), 360), (0.5, 0)])
def test_wilson_interval_refuses_what_is_no_proportion(proportion: float, count: int) -> None:
    with pytest.raises(ValueError, match="pass"):
        wilson_interval(proportion, count)


def test_one_seed_has_the_interval_over_images() -> None:
    result = estimate([0.98], images=10_000)
    assert (result.low, result.high) == wilson_interval(0.98, 10_000)
    assert (result.seeds, result.standard_deviation) == (1, None)


def test_several_seeds_have_the_sample_standard_deviation_and_the_interval_of_the_mean() -> None:
    result = estimate([0.90, 0.92, 0.94], images=10_000)
    assert result.mean == pytest.approx(0.92)
    assert result.standard_deviation == pytest.approx(0.02)  # divided by n - 1
    expected = stats.t.interval(0.95, 2, loc=0.92, scale=0.02 / 3**0.5)
    assert (result.low, result.high) == pytest.approx(expected, rel=1e-9)
    assert result.seeds == 3


def test_spread_over_seeds_stays_a_fraction() -> None:
    assert estimate([1.0, 0.9], images=10).high == 1.0


def test_figures_that_are_no_fractions_have_no_bounds() -> None:
    assert estimate([3.0, 5.0]).low == pytest.approx(4 - stats.t.ppf(0.975, 1))
    assert estimate([-0.1, 0.1]).low == pytest.approx(-0.1 * stats.t.ppf(0.975, 1))
    assert estimate([3.0]).low == estimate([3.0]).high == 3.0


def test_the_best_beats_what_chance_does_not_bring_as_near() -> None:
    best = {1: 0.95, 2: 0.94, 3: 0.96}
    paired = {seed: value - 0.02 - 0.001 * seed for seed, value in best.items()}  # two points behind on every seed
    far, near = {4: 0.80, 5: 0.82, 6: 0.81}, {1: 0.955, 2: 0.93, 3: 0.958}
    assert beaten(best, [paired, far, near]) == [True, True, False]
    assert beaten(best, []) == []
    assert beaten({1: 0.9, 2: 0.9, 3: 0.9}, [{1: 0.9, 2: 0.9, 3: 0.9}, {4: 0.8, 5: 0.8, 6: 0.8}]) == [False, True]


def test_equal_groups_are_rarely_beaten() -> None:
    """All are as good, and the best is chosen after the fact: still at most one page in twenty may claim anything."""
    random = np.random.default_rng(0)
    for groups in (2, 6):
        claims = 0
        for _ in range(300):
            drawn = sorted(random.normal(size=(groups, 4)), key=lambda figures: -figures.mean())
            best, *others = [dict(enumerate(figures)) for figures in drawn]
            claims += any(beaten(best, others))
        assert claims <= 300 * (0.05 + 3 * (0.05 * 0.95 / 300) ** 0.5)
