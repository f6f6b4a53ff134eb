"""How fast does each learn? Validation accuracy and training loss against epochs, images seen or time."""

from collections.abc import Callable, Sequence
from typing import Any

import altair as alt

from comparison.charts.parts import (
    ROWS,
    accuracy_axis,
    finish,
    highlighted,
    log_axis,
    series_color,
    series_dash,
    smallest_error,
)
from comparison.curves import join_seeds, thin
from comparison.groups import Group
from comparison.palette import SeriesStyle
from comparison.units import human_percent

POINTS_IN_A_CHART = 4_000
HEIGHT = 320
PROGRESS_LABEL = "progress === 'images' ? format(datum.value, '~s') : format(datum.value, ',')"


def time_unit(groups: Sequence[Group]) -> tuple[str, int]:
    """The unit for training time in which the longest run has readable numbers, and its seconds."""
    longest = max((seconds for group in groups if (seconds := group.mean("wall_time_seconds"))), default=0.0)
    return ("s", 1) if longest < 180 else ("min", 60) if longest < 3 * 3_600 else ("h", 3_600)


def accuracy_curves(groups: Sequence[Group], styles: Sequence[SeriesStyle]) -> dict[str, Any]:
    """Validation accuracy: a line a group, a band from the lowest to the highest of its seeds."""
    floor = smallest_error(groups)
    rows = _rows(groups, "accuracy", lambda accuracy: max(1 - accuracy, floor), human_percent)
    return curves_chart(rows, accuracy_axis(rows), "validation accuracy", groups, styles)


def loss_curves(groups: Sequence[Group], styles: Sequence[SeriesStyle]) -> dict[str, Any]:
    """Training loss on a logarithmic scale: a line a group, a band from the lowest to the highest of its seeds."""
    rows = _rows(groups, "train_loss", lambda loss: loss, lambda loss: f"{loss:.4g}")
    rows = [row for row in rows if row["y_low"] > 0]
    return curves_chart(rows, log_axis(rows, 1.1), "training loss", groups, styles)


def _rows(
    groups: Sequence[Group], quantity: str, height: Callable[[float], float], text: Callable[[float], str]
) -> list[dict[str, Any]]:
    _, seconds_per_unit = time_unit(groups)
    rows = []
    for group in groups:
        seconds = [run.wall_time_seconds for run in group.runs if run.wall_time_seconds is not None]
        band = join_seeds([run.curve for run in group.runs], seconds, quantity)
        points = thin(band, max(12, min(200, POINTS_IN_A_CHART // len(groups))))
        for point in points:
            y_low, y_high = sorted((height(point.low), height(point.high)))
            rows.append(
                {
                    "label": group.label,
                    "value": text(point.mean),
                    "epoch": round(point.epoch, 3),
                    "images": round(point.images_seen),
                    "time": _four_digits(point.seconds / seconds_per_unit),
                    "y": _four_digits(height(point.mean)),
                    "y_low": _four_digits(y_low),
                    "y_high": _four_digits(y_high),
                    "alone": len(points) == 1,
                }
            )
    return rows


def _four_digits(number: float) -> float:
    """More than a plot shows, in a page half as large."""
    return float(f"{number:.4g}")


def curves_chart(
    rows: list[dict[str, Any]], y: alt.Y, quantity: str, groups: Sequence[Group], styles: Sequence[SeriesStyle]
) -> dict[str, Any]:
    """Lines with bands over the progress that the page chooses.

    Args:
        rows: Points with label, value (as text), epoch, images, time, y, y_low, y_high, and whether they stand alone.
        y: The vertical axis.
        quantity: What is drawn, in words.
        groups: Of all lines, which fixes their colors.
        styles: One for each group.
    """
    least_between_ticks = 0.1 if any(row["epoch"] % 1 for row in rows) else 1
    progress = alt.param(name="progress", value="epoch")
    nearest = alt.selection_point(
        nearest=True, on="pointermove", clear="pointerout", fields=["epoch", "label"], empty=False
    )
    x = alt.X(
        "x:Q",
        title=None,
        scale=alt.Scale(zero=False, nice=False),
        axis=alt.Axis(
            grid=False, tickCount=6, tickMinStep=least_between_ticks, labelExpr=PROGRESS_LABEL, labelFlush=True
        ),
    )
    base = alt.Chart(ROWS).transform_calculate(x="datum[progress]").encode(x=x, y=y)
    color = series_color(groups)
    # The nearest point is found through a cell around it, whose datum holds the point's. Vega-Lite 6.4 forgets this in
    # tooltips on text fields, so the tooltip is spelled out.
    found = "(datum.datum || datum)"
    details = (
        f"{{architecture: {found}.label, '{quantity}': {found}.value, epoch: format({found}.epoch, '.2~f'), "
        f"'images seen': format({found}.images, ',')}}"
    )
    # A line through a single epoch is invisible, so its point is not.
    shown = alt.when(nearest).then(alt.value(1)).when("datum.alone").then(alt.value(1)).otherwise(alt.value(0))
    band = base.mark_area(aria=False).encode(y="y_low:Q", y2="y_high:Q", fill=color, opacity=highlighted(0.15))
    line = base.mark_line(strokeWidth=2, strokeJoin="round", aria=False)
    point = base.mark_point(filled=True, size=55, aria=False, tooltip=alt.ExprRef(details))
    chart = alt.layer(
        band,
        line.encode(stroke=color, strokeDash=series_dash(groups, styles), opacity=highlighted(1.0)),
        point.encode(fill=color, opacity=shown).add_params(nearest),
    ).add_params(progress)
    return finish(
        chart, rows, HEIGHT, f"{quantity.capitalize()} of {', '.join(group.label for group in groups)} during training."
    )
