"""The rule: what it says of known numbers, and how often it is wrong in simulated experiments."""

import math

import numpy as np
import pytest
from scipy import stats

from case_studies.study import Claimed, Decision, Part
from case_studies.verdicts import (
    Verdict,
    combine,
    contrasts,
    decide,
    find,
    find_all,
    seeds_to_settle,
    sign_flip,
)
from records.statistics import t_interval


def part(**bounds: object) -> Part:
    return Part.model_validate({"says": "It is.", "measure": "error", "contrast": {"a": 1, "b": -1}, **bounds})


def two_arms(a: list[float], b: list[float]) -> dict[str, dict[int, float]]:
    return {"a": dict(enumerate(a)), "b": dict(enumerate(b))}


def test_the_contrast_of_a_seed_needs_all_of_its_runs() -> None:
    figures = {"a": {1: 5.0, 2: 6.0, 3: 7.0}, "b": {1: 1.0, 3: 4.0}}
    assert contrasts(part(above=0), figures) == {1: 4.0, 3: 3.0}


def test_a_ratio_is_a_difference_of_logarithms() -> None:
    ratio = part(above=2, ratio=True)
    assert contrasts(ratio, two_arms([8.0], [2.0])) == {0: pytest.approx(math.log(4))}
    assert ratio.claimed.low == pytest.approx(math.log(2))
    assert ratio.shown(math.log(4)) == pytest.approx(4)


def test_a_lower_bound_counts_for_the_slower_arm_and_voids_the_seed_of_the_faster() -> None:
    faster = part(above=2, ratio=True)
    figures = two_arms([9.0, 9.0, 9.0], [3.0, 3.0, 9.0])
    assert list(contrasts(faster, figures, {("error", "a", 0), ("error", "b", 2)})) == [0, 1]


def test_a_difference_of_differences() -> None:
    weights = {"a": 1, "b": -1, "c": -1, "d": 1}
    cure = Part.model_validate({"says": "", "measure": "error", "contrast": weights, "above": 0})
    figures = {name: {1: value} for name, value in {"a": 10.0, "b": 4.0, "c": 3.0, "d": 2.0}.items()}
    assert contrasts(cure, figures) == {1: 5.0}


def test_the_interval_is_that_of_scipy() -> None:
    values = [1.0, 2.0, 4.0, 4.5, 7.0, 7.5]
    expected = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert t_interval(values, 0.95) == pytest.approx((expected.low, expected.high))


@pytest.mark.parametrize(
    ("low", "high", "claimed", "verdict"),
    [
        (2.1, 5.0, Claimed(low=2), Verdict.SUPPORTED),
        (1.0, 5.0, Claimed(low=2), Verdict.INCONCLUSIVE),
        (0.5, 1.9, Claimed(low=2), Verdict.NOT_SUPPORTED),
        (-1.0, 0.9, Claimed(high=1), Verdict.SUPPORTED),
        (1.1, 3.0, Claimed(high=1), Verdict.NOT_SUPPORTED),
        (0.46, 0.54, Claimed(0.45, 0.55), Verdict.SUPPORTED),
        (0.46, 0.56, Claimed(0.45, 0.55), Verdict.INCONCLUSIVE),
        (0.56, 0.60, Claimed(0.45, 0.55), Verdict.NOT_SUPPORTED),
        (0.20, 0.44, Claimed(0.45, 0.55), Verdict.NOT_SUPPORTED),
    ],
)
def test_an_interval_is_held_against_the_threshold(low: float, high: float, claimed: Claimed, verdict: Verdict) -> None:
    assert decide(low, high, claimed) is verdict


def test_too_few_seeds_have_no_verdict() -> None:
    found = find(part(above=0), two_arms([1.0] * 5, [0.0] * 5), seeds=6, confidence=0.95)
    assert found.verdict is Verdict.OPEN
    assert found.reason == "5 of 6 seeds have all figures of this part"


def test_inconclusive_says_how_many_seeds_would_do() -> None:
    values = [1.5, -0.5, 2.0, 0.2, -0.2, 1.0]
    needed = seeds_to_settle(values, Claimed(low=0), 0.95)
    assert needed is not None
    deviation, mean = np.std(values, ddof=1), np.mean(values)
    for seeds, settles in ((needed, True), (needed - 1, False)):
        half_width = stats.t.ppf(0.975, seeds - 1) * deviation / math.sqrt(seeds)
        assert (mean - half_width > 0) == settles
    assert seeds_to_settle([1.0, -1.0, 1.0, -1.0, 1.0, -1.0], Claimed(low=0), 0.95) is None


def test_the_sign_flip_test_is_exact() -> None:
    assert sign_flip([1.0, 2.0, 3.0, 4.0, 5.0, 6.0], 0) == pytest.approx(2 / 2**6)
    assert sign_flip([1.0, 2.0, 3.0, 4.0, 5.0], 0) == pytest.approx(2 / 2**5)  # above 5 %: why six seeds are needed
    assert sign_flip([2.0, 2.0], 2.0) == 1.0


@pytest.mark.parametrize("seeds", [6, 10])
def test_a_true_contrast_lies_in_the_interval_as_often_as_promised(seeds: int) -> None:
    """Of 4,000 experiments 95 % cover it, within three deviations of such a share."""
    draws = np.random.default_rng(0).normal(1.0, 2.0, (4_000, seeds))
    covered = sum(low < 1.0 < high for low, high in (t_interval(list(values), 0.95) for values in draws))
    assert covered / len(draws) == pytest.approx(0.95, abs=3 * math.sqrt(0.95 * 0.05 / len(draws)))


def test_a_claim_on_the_threshold_is_decided_wrongly_as_seldom_as_promised() -> None:
    """An effect that equals the threshold is called supported, or not supported, in 2.5 % of experiments each."""
    draws = np.random.default_rng(1).normal(2.0, 1.0, (4_000, 6))
    verdicts = [decide(*t_interval(list(values), 0.95), Claimed(low=2.0)) for values in draws]
    for verdict in (Verdict.SUPPORTED, Verdict.NOT_SUPPORTED):
        assert verdicts.count(verdict) / len(draws) == pytest.approx(0.025, abs=0.008)


@pytest.mark.slow(1)
def test_any_of_several_parts_is_found_by_chance_as_seldom_as_one() -> None:
    """Without Holm's correction, one of four idle parts would be supported in 10 % of experiments."""
    parts = {str(n): part(above=0).model_copy(update={"measure": str(n)}) for n in range(4)}
    generator, wrong = np.random.default_rng(2), 0
    for _ in range(150):
        figures = {name: two_arms(list(generator.normal(0, 1, 6)), [0.0] * 6) for name in parts}
        found = find_all(parts, figures, 6, Decision(verdict="any"))
        wrong += combine([one.verdict for one in found.values()], "any") is Verdict.SUPPORTED
    assert wrong / 150 < 0.025 + 2 * math.sqrt(0.025 * 0.975 / 150)


def test_looks_share_the_error() -> None:
    figures = {"error": two_arms([1.0, 2.0, 3.0, 4.0, 5.0, 6.0], [0.0] * 6)}
    (once,) = find_all({"x": part(above=0)}, figures, 6, Decision()).values()
    (twice,) = find_all({"x": part(above=0)}, figures, 6, Decision(looks=[6, 12])).values()
    assert once.confidence == pytest.approx(0.95)
    assert twice.confidence == pytest.approx(0.975)
    assert twice.low is not None
    assert once.low is not None
    assert twice.low < once.low


@pytest.mark.parametrize(
    ("verdicts", "which", "expected"),
    [
        ("supported supported", "all", "supported"),
        ("supported inconclusive", "all", "inconclusive"),
        ("inconclusive not-supported", "all", "not supported"),
        ("supported open", "all", "open"),
        ("void not-supported", "all", "void"),
        ("not-supported supported", "any", "supported"),
        ("not-supported inconclusive", "any", "inconclusive"),
        ("not-supported not-supported", "any", "not supported"),
    ],
)
def test_parts_make_a_verdict(verdicts: str, which: str, expected: str) -> None:
    found = [Verdict(word.replace("-", " ")) for word in verdicts.split()]
    assert combine(found, which) == expected  # type: ignore[arg-type]
