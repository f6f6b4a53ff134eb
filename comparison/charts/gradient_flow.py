"""Does the gradient reach the first layer? Its norm there against that in the last layer, as GradientFlow logs them."""

import statistics
from collections.abc import Sequence
from typing import Any

from comparison.charts.learning_curves import curves_chart, time_unit
from comparison.charts.measurements import ByEpoch, RunMeasurements, mean_at_the_end
from comparison.charts.parts import log_axis
from comparison.charts.two_points import TwoNumbers, two_points_chart
from comparison.curves import thin
from comparison.groups import Group
from comparison.palette import SeriesStyle

RATIO = "gradients/first_to_last"
POINTS_OF_A_LINE = 200


def gradient_ratios(groups: Sequence[Group], measured: Sequence[Sequence[RunMeasurements]]) -> list[dict[str, Any]]:
    """First over last layer: geometric means at the points of the learning curves that all measured seeds have."""
    _, seconds_per_unit = time_unit(groups)
    rows: list[dict[str, Any]] = []
    for group, runs in zip(groups, measured, strict=True):
        by_run = [_positive_means(run[RATIO]) for run in runs if RATIO in run]
        if not by_run:
            continue
        images = {point.epoch: point.images_seen for point in group.example.curve}
        seconds_per_image = (group.mean("wall_time_seconds") or 0.0) / (max(images.values(), default=0) or 1)
        shared = thin(sorted(set(images).intersection(*by_run)), POINTS_OF_A_LINE)
        for epoch in shared:
            values = [means[epoch] for means in by_run]
            mean = statistics.geometric_mean(values)
            heights = {"y": mean, "y_low": min(values), "y_high": max(values)}
            time = images[epoch] * seconds_per_image / seconds_per_unit
            rows.append(
                {"label": group.label, "value": f"{mean:.3g}", "epoch": round(epoch, 3), "images": images[epoch]}
                | {"time": float(f"{time:.4g}"), "alone": len(shared) == 1}
                | {name: float(f"{value:.4g}") for name, value in heights.items()}
            )
    return rows


def gradient_ratio_chart(
    rows: list[dict[str, Any]], groups: Sequence[Group], styles: Sequence[SeriesStyle]
) -> dict[str, Any]:
    """The ratio in the course of the training, a line for each group."""
    return curves_chart(rows, log_axis(rows, 1.2), "gradient of the first over the last layer", groups, styles)


def gradient_norms(groups: Sequence[Group], measured: Sequence[Sequence[RunMeasurements]]) -> list[TwoNumbers]:
    """Norms in the first and in the last layer at the end of the training, of the groups that have them."""
    norms = []
    for group, runs in zip(groups, measured, strict=True):
        first, last = (mean_at_the_end(runs, f"gradients/{name}") for name in ("first_layer", "last_layer"))
        if first and last:
            norms.append(TwoNumbers(group.label, first, last, f"{first:.3g}", f"{last:.3g}"))
    return norms


def gradient_norms_chart(groups: Sequence[Group], norms: Sequence[TwoNumbers]) -> dict[str, Any]:
    """The norms, a row for each group."""
    return two_points_chart(groups, norms, ("first layer", "last layer"), gradient_answer(norms))


def gradient_answer(norms: Sequence[TwoNumbers]) -> str:
    """In which network the first layer gets least and most, compared with the last."""
    ranked = sorted(norms, key=lambda norm: norm.first / norm.second)
    least, most = ranked[0], ranked[-1]
    if least is most:
        return f"In {least.label}, its norm is {_times(least)} that of the last layer's at the end."
    return (
        f"Least in {least.label}, where its norm is {_times(least)} that of the last layer's at the end; most in "
        f"{most.label}, {_times(most)}."
    )


def _times(norm: TwoNumbers) -> str:
    return f"{norm.first / norm.second:.2g} times"


def _positive_means(by_epoch: ByEpoch) -> dict[float, float]:
    positive = {epoch: [value for value in values if value > 0] for epoch, values in by_epoch.items()}
    return {epoch: statistics.geometric_mean(values) for epoch, values in positive.items() if values}
