"""The interval of a gain covers the truth as often as it says, and counts add up over ranks."""

import math

import pytest
import torch

from callbacks.test_time.paired_gain import PairedCounts, paired_gain


def coverage(count: int, p_won: float, p_lost: float) -> float:
    """Probability that the interval holds the true gain: the sum over all outcomes of a trinomial distribution."""
    total = 0.0
    for won in range(count + 1):
        for lost in range(count + 1 - won):
            ties = count - won - lost
            ways = math.comb(count, won) * math.comb(count - won, lost)
            _, low, high = paired_gain(won, lost, count)
            if low <= p_won - p_lost <= high:
                total += ways * p_won**won * p_lost**lost * (1 - p_won - p_lost) ** ties
    return total


@pytest.mark.parametrize("probabilities", [(0.05, 0.02), (0.1, 0.1), (0.3, 0.1), (0.01, 0.01)])
def test_interval_covers(probabilities: tuple[float, float]) -> None:
    assert coverage(60, *probabilities) >= 0.94


def test_gain_by_hand() -> None:
    gain = paired_gain(won=30, lost=10, count=1000)
    assert gain.value == 0.02
    deviation = math.sqrt((31 + 11 - 20**2 / 1002) / 1002**2)
    assert gain.low == pytest.approx(20 / 1002 - 1.959964 * deviation, abs=1e-7)
    assert gain.high == pytest.approx(20 / 1002 + 1.959964 * deviation, abs=1e-7)
    assert paired_gain(3, 0, 3).high == 1
    with pytest.raises(ValueError, match="needs images"):
        paired_gain(0, 0, 0)


def test_counts() -> None:
    counts = PairedCounts()
    first = torch.tensor([True, True, False, False, False])
    second = torch.tensor([True, False, True, True, False])
    for part in (slice(0, 2), slice(2, 5)):
        counts.update(first[part], second[part])
    assert counts.compute().tolist() == [1, 1, 2, 1]
