"""How large is the gradient in each layer at the end of the training? From what GradientFlow leaves in a run."""

import json
import math
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import altair as alt

from comparison.charts.learning_curves import HEIGHT
from comparison.charts.measurements import END_OF_TRAINING
from comparison.charts.parts import ROWS, finish, highlighted, log_axis, series_color, series_dash
from comparison.groups import Group
from comparison.palette import SeriesStyle
from comparison.summary import printable

FILE = "gradient_flow.json"
FORMAT = 1
ENDS = "datum.value === 0 ? 'first layer' : 'last layer'"

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


def layer_norms_of(groups: Sequence[Group]) -> tuple[list[GroupNorms], list[str]]:
    """The norms of the groups whose runs have them, and what could not be read."""
    problems: list[str] = []
    found = []
    for group in groups:
        runs: list[LayerNorms] = []
        for run in group.runs:
            try:
                if norms := read_layer_norms(run.directory):
                    runs.append(norms)
            except ValueError as error:
                problems.append(f"{run.directory.as_posix()}: {error}")
        alike = [run for run in runs if run.keys() == runs[0].keys()]
        if alike:
            by_layer = {name: [run[name] for run in alike] for name in alike[0]}
            band = {name: (min(v), statistics.geometric_mean(v), max(v)) for name, v in by_layer.items()}
            found.append(GroupNorms(group.label, band))
    return found, problems


def read_layer_norms(directory: Path) -> LayerNorms | None:
    """The norms of one run, as geometric means over the last tenth of its steps; None if it has none.

    Raises:
        ValueError: The file is damaged, or of another version.
    """
    path = directory / FILE
    if not path.is_file():
        return None
    try:
        record = json.loads(path.read_bytes())
        version = record["format"]
        norms = _at_the_end(record) if version == FORMAT else {}
    except (OSError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError) as error:
        raise ValueError(f"{FILE} cannot be read") from error
    if version != FORMAT:
        raise ValueError(f"{FILE} is of format {version}, which this version cannot read")
    return norms


def _at_the_end(record: dict[str, Any]) -> LayerNorms:
    layers, steps = [printable(str(name)) for name in record["layers"]], [int(step) for step in record["steps"]]
    before = (1 - END_OF_TRAINING) * max(steps)
    last = [row for step, row in zip(steps, record["gradient"], strict=True) if step > before]
    by_layer = zip(layers, zip(*last, strict=True), strict=True)
    positive = {name: [float(v) for v in values if v > 0 and math.isfinite(v)] for name, values in by_layer}
    return {name: statistics.geometric_mean(values) for name, values in positive.items() if values}


def layer_norms_chart(
    groups: Sequence[Group], measured: Sequence[GroupNorms], styles: Sequence[SeriesStyle]
) -> dict[str, Any]:
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
    color = series_color(groups)
    base = alt.Chart(ROWS).encode(x=x, y=log_axis(rows, 1.2))
    details = [
        alt.Tooltip("label:N", title="architecture"),
        alt.Tooltip("layer:N", title="layer"),
        alt.Tooltip("place:N", title="place"),
        alt.Tooltip("value:N", title="norm of the gradient"),
    ]
    chart = alt.layer(
        base.mark_area(aria=False).encode(y="y_low:Q", y2="y_high:Q", fill=color, opacity=highlighted(0.15)),
        base.mark_line(strokeWidth=2, strokeJoin="round", aria=False).encode(
            stroke=color, strokeDash=series_dash(groups, styles), opacity=highlighted(1.0)
        ),
        base.mark_point(filled=True, size=30, aria=False).encode(fill=color, opacity=highlighted(1.0), tooltip=details),
    )
    return finish(chart, rows, HEIGHT, f"Norm of the gradient by layer. {layer_norms_answer(measured)}")


def layer_norms_answer(measured: Sequence[GroupNorms]) -> str:
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
