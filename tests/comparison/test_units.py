import pytest

from comparison.units import count_of, human_count, human_duration, human_percent, human_rate


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (None, "–"), (0, "0"), (650, "650"), (1_376, "1.38 k"), (99_990, "100 k"), (267_696, "0.27 M"),
        (40_551_040, "40.6 M"), (138_357_544, "138 M"), (1_824_033_792, "1.82 G"), (15_470_264_320, "15.5 G"),
        (3.2e12, "3.20 T"),
    ],
)  # fmt: skip
def test_human_count(count: float | None, text: str) -> None:
    assert human_count(count) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "–"),
        (0.84, "0.8 s"),
        (41, "41 s"),
        (59.9, "60 s"),
        (612, "10.2 min"),
        (12_240, "3.4 h"),
        (181_440, "2.1 d"),
    ],
)
def test_human_duration(seconds: float | None, text: str) -> None:
    assert human_duration(seconds) == text


def test_other_units() -> None:
    assert human_percent(0.98611) == "98.61 %"
    assert human_rate(731.2) == "731"
    assert human_rate(2_150.4) == "2,150"
    assert human_rate(0.53) == "0.5"
    assert (count_of(1, "run"), count_of(2, "run")) == ("1 run", "2 runs")
