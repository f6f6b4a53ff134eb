"""Does the gradient reach the first layer? Its norm there against the last layer's, and layer by layer at the end.

From what GradientFlow logs, and leaves in a file of its own.
"""

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import altair as alt

from comparison.curves import mean_at_the_end, thin
from comparison.groups import Group
from comparison.questions import Answer, Chart, Section, Series
from comparison.questions.charts import (
    HEIGHT,
    POINTS_OF_A_LINE,
    ROWS,
    TwoNumbers,
    curves_chart,
    finish,
    highlighted,
    lines,
    log_axis,
    series_color,
    time_unit,
    two_points_chart,
)
from records.curves import END_OF_TRAINING, History
from records.gradient_flow import GradientFlow
from records.record import is_measurable

QUESTION = "Does the gradient reach the first layer?"
ENDS = "datum.value === 0 ? 'first layer' : 'last layer'"
CAPTION = (
    "Of the runs with the callback GradientFlow. Means over the steps since the point before and over the seeds; at "
    "the end: over the last tenth of the training. Layers of different sizes have gradients of different norms, so "
    "compare how a line moves rather than where it lies."
)
ABOUT_BRANCHES = (
    " Branches of one module stand one after the other: a line that jumps goes from wide convolutions to narrow ones."
)

LayerNorms = dict[str, float]
"""Norm of the gradient by layer, from image to logits; a layer that got none is left out."""


class GroupNorms(NamedTuple):
    """Norms of a group's runs that have the same layers as the first one: least, mean and largest of each layer."""

    label: str
    norms: dict[str, tuple[float, float, float]]

    @property
    def spread(self) -> float:
        """How many times the smallest the largest is, of the layers' means."""
        means = [mean for _, mean, _ in self.norms.values()]
        return max(means) / min(means)


def answer(section: Section) -> Answer | None:
    """The ratio in the course of the training; at its end the norms by layer, or else of both ends."""
    groups, series = section.drawn_groups, section.drawn
    ratios, norms = gradient_ratios(groups, section.metrics), gradient_norms(groups, section.metrics)
    layers = layer_norms_of(section)
    if not ratios or not norms:
        return None
    ratio_chart = curves_chart(ratios, log_axis(ratios, 1.2), "gradient of the first over the last layer", series)
    charts = [
        Chart("First layer over last layer", ratio_chart, "epochs", "norms of the gradients, log scale", progress=True)
    ]
    if not {norm.label for norm in norms} <= {group.label for group in layers}:
        ends = two_points_chart(series, norms, ("first layer", "last layer"), ends_answer(norms))
        scale = "○ first layer, ● last layer"
        charts.append(Chart("At the end", ends, "norm of the gradient, log scale", scale))
    if layers:
        scale = "norm of the gradient, log scale"
        charts.append(Chart("At the end, by layer", layer_norms_chart(series, layers), "layers in their order", scale))
    sentence = " ".join([ends_answer(norms), *([layers_answer(layers)] if layers else [])])
    return Answer([sentence], charts, CAPTION + (ABOUT_BRANCHES if layers else ""))


def gradient_ratios(groups: Sequence[Group], metrics: Sequence[Sequence[History]]) -> list[dict[str, Any]]:
    """First over last layer: geometric means at the points of the learning curves that all measured seeds have."""
    _, seconds_per_unit = time_unit(groups)
    rows: list[dict[str, Any]] = []
    for group, runs in zip(groups, metrics, strict=True):
        by_run = [run.ratios for run in runs if run.ratios]
        if not by_run:
            continue
        images = {point.epoch: point.images_seen for point in runs[0].curve}
        seconds_per_image = (group.mean("wall_time_seconds") or 0.0) / (max(images.values(), default=0) or 1)
        shared = thin(sorted(set(images).intersection(*by_run)), POINTS_OF_A_LINE)
        for epoch in shared:
            values = [ratios[epoch] for ratios in by_run]
            mean = statistics.geometric_mean(values)
            heights = {"y": mean, "y_low": min(values), "y_high": max(values)}
            time = images[epoch] * seconds_per_image / seconds_per_unit
            rows.append(
                {"label": group.label, "value": f"{mean:.3g}", "epoch": round(epoch, 3), "images": images[epoch]}
                | {"time": float(f"{time:.4g}"), "alone": len(shared) == 1}
                | {name: float(f"{value:.4g}") for name, value in heights.items()}
            )
    return rows


def gradient_norms(groups: Sequence[Group], metrics: Sequence[Sequence[History]]) -> list[TwoNumbers]:
    """Norms in the first and in the last layer at the end of the training, of the groups that have them."""
    norms = []
    for group, runs in zip(groups, metrics, strict=True):
        first, last = (mean_at_the_end(runs, f"gradients/{name}") for name in ("first_layer", "last_layer"))
        if first and last:
            norms.append(TwoNumbers(group.label, first, last, f"{first:.3g}", f"{last:.3g}"))
    return norms


def ends_answer(norms: Sequence[TwoNumbers]) -> str:
    """In which network the first layer gets least and most, compared with the last."""
    ranked = sorted(norms, key=lambda norm: norm.first / norm.second)
    least, most = ranked[0], ranked[-1]
    if least is most:
        return f"In {least.label}, its norm is {_ratio(least)} that of the last layer's at the end."
    return (
        f"Least in {least.label}, where its norm is {_ratio(least)} that of the last layer's at the end; most in "
        f"{most.label}, {_ratio(most)}."
    )


def _ratio(norm: TwoNumbers) -> str:
    return f"{norm.first / norm.second:.2g} times"


def layer_norms_of(section: Section) -> list[GroupNorms]:
    """The norms of the drawn groups whose runs have them."""
    found = []
    for group in section.drawn_groups:
        read = [section.read(run, norms_at_the_end) for run in group.runs]
        runs = [norms for norms in read if norms]
        if alike := [norms for norms in runs if norms.keys() == runs[0].keys()]:
            by_layer = {name: [norms[name] for norms in alike] for name in alike[0]}
            band = {name: (min(v), statistics.geometric_mean(v), max(v)) for name, v in by_layer.items()}
            found.append(GroupNorms(group.label, band))
    return found


def norms_at_the_end(directory: Path) -> LayerNorms | None:
    """The norms of one run, as geometric means over the last tenth of its steps; None if it has none.

    Raises:
        ValueError: The file is damaged, or of another version.
    """
    record = GradientFlow.read_if_any(directory)
    if record is None:
        return None
    before = (1 - END_OF_TRAINING) * max(record.steps)
    last = [row for step, row in zip(record.steps, record.gradient, strict=True) if step > before]
    by_layer = zip(record.layers, zip(*last, strict=True), strict=True)
    positive = {name: [value for value in values if value > 0 and is_measurable(value)] for name, values in by_layer}
    return {name: statistics.geometric_mean(values) for name, values in positive.items() if values}


def layer_norms_chart(series: Sequence[Series], measured: Sequence[GroupNorms]) -> dict[str, Any]:
    """A line for each group, from its first to its last layer, whatever their number; a band over the seeds."""
    rows: list[dict[str, Any]] = [
        {
            "label": group.label,
            "layer": name,
            "place": f"{number + 1} of {len(group.norms)}",
            "x": round(number / max(1, len(group.norms) - 1), 4),
            "value": f"{mean:.3g}",
            **{key: float(f"{value:.4g}") for key, value in (("y_low", low), ("y", mean), ("y_high", high))},
        }
        for group in measured
        for number, (name, (low, mean, high)) in enumerate(group.norms.items())
    ]
    x = alt.X("x:Q", title=None, axis=alt.Axis(values=[0, 1], labelExpr=ENDS, labelFlush=True, grid=False))
    base = alt.Chart(ROWS).encode(x=x, y=log_axis(rows, 1.2))
    details = [
        alt.Tooltip("label:N", title="architecture"),
        alt.Tooltip("layer:N", title="layer"),
        alt.Tooltip("place:N", title="place"),
        alt.Tooltip("value:N", title="norm of the gradient"),
    ]
    point = base.mark_point(filled=True, size=30, aria=False)
    points = point.encode(fill=series_color(series), opacity=highlighted(1.0), tooltip=details)
    return finish(
        alt.layer(*lines(base, series), points),
        rows,
        HEIGHT,
        f"Norm of the gradient by layer. {layers_answer(measured)}",
    )


def layers_answer(measured: Sequence[GroupNorms]) -> str:
    """In which network the layers' gradients differ most, and in which least."""
    ranked = sorted(measured, key=lambda group: group.spread)
    least, most = ranked[0], ranked[-1]
    if least is most:
        return f"In {most.label}, the largest norm of a layer is {_times(most)} the smallest."
    return (
        f"The largest norm of a layer is {_times(most)} the smallest in {most.label}, the most, and {_times(least)} in "
        f"{least.label}, the least."
    )


def _times(group: GroupNorms) -> str:
    return f"{group.spread:.2g} times" if group.spread < 100 else f"{group.spread:,.0f} times"
