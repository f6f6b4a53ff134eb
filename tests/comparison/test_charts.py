import itertools
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from comparison.groups import compare
from comparison.palette import FAMILIES, Family
from comparison.questions import make_section
from comparison.questions.accuracy_cost import (
    LINE_HEIGHT,
    MOST_LABELS,
    PLOT_SIZE,
    POSITIONS,
    cost_chart,
    pareto_front,
    position_labels,
)
from comparison.questions.charts import log_ticks, time_unit
from comparison.questions.learning_curves import accuracy_curves, loss_curves

MakeRun = Callable[..., Path]


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (0.004, 0.6, [0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5]),
        (0.02, 0.024, [0.02, 0.021, 0.022, 0.023, 0.024]),
        (3e5, 2e7, [3e5, 1e6, 3e6, 1e7]),
        (1.0, 1e12, [1.0, 1e2, 1e4, 1e6, 1e8, 1e10, 1e12]),
    ],
)
def test_log_ticks_are_round_and_few(low: float, high: float, ticks: list[float]) -> None:
    assert log_ticks(low, high, 7 if high != 2e7 else 4) == pytest.approx(ticks)


@pytest.mark.parametrize("low", [3.7e-4, 0.011, 0.2])
@pytest.mark.parametrize("ratio", [1.45, 3.0, 20.0, 3_000.0])
def test_log_ticks_never_leave_an_axis_bare(low: float, ratio: float) -> None:
    assert 2 <= len(log_ticks(low, low * ratio, 8)) <= 8


def test_pareto_front_is_what_nothing_beats() -> None:
    points = [(3.0, 0.10), (1.0, 0.30), (2.0, 0.30), (4.0, 0.20), (3.0, 0.12)]
    assert pareto_front(points) == [1, 0]
    assert pareto_front([]) == []


def test_labels_do_not_hide_each_other() -> None:
    positions = position_labels([(120.0, 120.0)] * 12, ["ResNet-20"] * 12, [], PLOT_SIZE)
    assert positions[0] == POSITIONS[0]
    assert positions[-1] is None  # no room left: silent
    placed = [position for position in positions if position is not None]
    for (side, _, down), (other_side, _, other_down) in itertools.combinations(placed, 2):
        assert side != other_side or abs(down - other_down) >= LINE_HEIGHT


def test_a_label_evades_an_interval() -> None:
    bar_on_the_right = (120.0, 0.0, 122.0, 240.0)
    assert position_labels([(100.0, 100.0)], ["AlexNet"], [bar_on_the_right], PLOT_SIZE) == [POSITIONS[1]]


def test_an_architecture_has_its_color_in_any_company(tmp_path: Path, make_run: MakeRun) -> None:
    make_run(tmp_path / "alone", "ResNet-20")
    for architecture in ("AlexNet", "ResNet-20", "VGG-16", "GoogLeNet", "Unheard-Of"):
        make_run(tmp_path / "company", architecture)
    colors = []
    for folder in ("alone", "company"):
        groups = compare([tmp_path / folder]).groups["digits"]
        styles = {series.label: series for series in make_section("digits", groups).series}
        colors.append((styles["ResNet-20"].light, styles["ResNet-20"].dark))
        assert len({style.light for style in styles.values()}) == len(styles)
    assert colors[0] == colors[1]


def luminance(color: str) -> float:
    channels = (int(color[start : start + 2], 16) / 255 for start in (1, 3, 5))
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("family", FAMILIES.values())
def test_colors_stand_out_from_both_backgrounds(family: object) -> None:
    light, dark = luminance(family.light), luminance(family.dark)  # type: ignore[attr-defined]
    assert (luminance("#fdfdfc") + 0.05) / (light + 0.05) >= 2.8
    assert (dark + 0.05) / (luminance("#15171a") + 0.05) >= 4.0


def oklab(linear: np.ndarray) -> np.ndarray:
    """Ottosson (2020), "A perceptual color space for image processing"."""
    cones = np.cbrt(
        np.clip(linear, 0, 1)
        @ np.array([[0.41222, 0.53633, 0.05145], [0.21190, 0.68070, 0.10740], [0.08830, 0.28172, 0.62998]]).T
    )
    to_lab = [[0.21045, 0.79362, -0.00407], [1.97800, -2.42859, 0.45059], [0.02590, 0.78277, -0.80868]]
    return np.asarray(cones @ np.array(to_lab).T)


def linear_colors(colors: list[str]) -> np.ndarray:
    values = np.array([[int(color[start : start + 2], 16) / 255 for start in (1, 3, 5)] for color in colors])
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


# Machado et al. (2009), table 1, severity 1: normal sight, protanopia, deuteranopia, tritanopia.
SIGHTS = (
    np.eye(3),
    np.array([[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]),
    np.array([[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]),
    np.array([[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]]),
)


@pytest.mark.parametrize("mode", ["light", "dark"])
@pytest.mark.parametrize("sight", SIGHTS, ids=["normal", "protanopia", "deuteranopia", "tritanopia"])
def test_colors_can_be_told_apart(mode: str, sight: np.ndarray) -> None:
    colors = sorted({getattr(family, mode) for family in FAMILIES.values()})
    seen = oklab(linear_colors(colors) @ sight.T)
    distances = [np.linalg.norm(one - other) for one, other in itertools.combinations(seen, 2)]
    assert min(distances) > 0.12


@pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
def test_a_network_has_one_hue_in_light_and_in_dark(family: Family) -> None:
    light, dark = oklab(linear_colors([family.light, family.dark]))
    between = math.degrees(math.atan2(light[2], light[1]) - math.atan2(dark[2], dark[1]))
    assert abs((between + 180) % 360 - 180) < 5


@pytest.mark.slow(1)
def test_accuracies_are_drawn_by_their_error(tmp_path: Path, make_run: MakeRun) -> None:
    for seed in (1, 2):
        make_run(tmp_path, "ResNet-20", seed, epochs=4)
    groups = compare([tmp_path]).groups["digits"]
    section = make_section("digits", groups)
    rows = accuracy_curves(section)["datasets"]["rows"]
    assert [row["epoch"] for row in rows] == [1, 2, 3, 4]
    for row in rows:
        assert row["y_low"] <= row["y"] <= row["y_high"]
        assert float(row["value"].removesuffix(" %")) == pytest.approx(100 * (1 - row["y"]), abs=0.02)
    assert time_unit(groups)[0] == "s"
    assert len(loss_curves(section)["datasets"]["rows"]) == 4


def cost_chart_of(runs: Path, cost: str) -> dict[str, Any] | None:
    groups = compare([runs]).groups["digits"]
    return cost_chart(groups, make_section("digits", groups).series, cost)


def test_a_perfect_accuracy_fits_on_a_logarithmic_scale(tmp_path: Path, make_run: MakeRun) -> None:
    def perfect(summary: dict[str, dict[str, dict[str, float]]]) -> None:
        summary["best"]["val/acc1"]["value"] = 1.0

    make_run(tmp_path, change=perfect)
    chart = cost_chart_of(tmp_path, "parameters")
    assert chart is not None
    assert chart["datasets"]["rows"][0]["y"] == 0.5 / 360


def test_an_unknown_cost_leaves_its_chart_out(tmp_path: Path, make_run: MakeRun) -> None:
    make_run(tmp_path, change=lambda summary: summary["model"].update(multiply_adds=None))
    assert cost_chart_of(tmp_path, "multiply_adds") is None


def test_among_many_points_only_the_front_is_labeled(tmp_path: Path, make_run: MakeRun) -> None:
    for number in range(MOST_LABELS + 1):
        make_run(tmp_path, learning_rate=0.01 * (number + 1), epochs=2, accuracy=0.9 - 0.01 * number)
    make_run(tmp_path, "AlexNet", epochs=2, accuracy=0.2)
    chart = cost_chart_of(tmp_path, "multiply_adds")
    assert chart is not None
    rows = chart["datasets"]["rows"]
    assert {row["label"] for row in rows if row["place"] is not None} == {row["label"] for row in rows if row["front"]}
