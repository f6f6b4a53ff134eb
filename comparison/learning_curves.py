"""How fast does each learn? Validation accuracy and training loss against epochs, images seen or time."""

from collections.abc import Sequence
from typing import Any

import altair as alt

from comparison.chart_parts import ROWS, accuracy_axis, finish, highlighted, log_ticks, series_colour, smallest_error
from comparison.curves import BandPoint, join_seeds, thin
from comparison.groups import Group
from comparison.palette import SeriesStyle
from comparison.units import human_percent

POINTS_IN_A_CHART = 4_000
HEIGHT = 320
PROGRESS_LABEL = (
    "progress !== 'seconds' ? format(datum.value, '~s') "
    ": datum.value === 0 ? '0' : datum.value < 120 ? datum.value + ' s' "
    ": datum.value < 7200 ? format(datum.value / 60, '.2~f') + ' min' : format(datum.value / 3600, '.2~f') + ' h'"
)


def accuracy_curves(groups: Sequence[Group], styles: Sequence[SeriesStyle]) -> dict[str, Any]:
    """Validation accuracy: a line a group, a band from the lowest to the highest of its seeds."""
    floor = smallest_error(groups)
    rows = [
        {
            **_position(group, point),
            "y": _rounded(max(1 - point.mean, floor)),
            "y_low": _rounded(max(1 - point.high, floor)),
            "y_high": _rounded(max(1 - point.low, floor)),
            "value": human_percent(point.mean),
        }
        for group in groups
        for point in _band(group, "accuracy", len(groups))
    ]
    return _curves(rows, accuracy_axis(rows), "validation accuracy", groups, styles)


def loss_curves(groups: Sequence[Group], styles: Sequence[SeriesStyle]) -> dict[str, Any]:
    """Training loss on a logarithmic scale: a line a group, a band from the lowest to the highest of its seeds."""
    rows = [
        {
            **_position(group, point),
            "y": _rounded(point.mean),
            "y_low": _rounded(point.low),
            "y_high": _rounded(point.high),
            "value": f"{point.mean:.4g}",
        }
        for group in groups
        for point in _band(group, "train_loss", len(groups))
        if point.low > 0
    ]
    low = min((row["y_low"] for row in rows), default=0.1)
    high = max((row["y_high"] for row in rows), default=1.0)
    y = alt.Y(
        "y:Q",
        title=None,
        scale=alt.Scale(type="log", domain=[low / 1.1, high * 1.1], nice=False),
        axis=alt.Axis(values=log_ticks(low / 1.1, high * 1.1, 8), format="~g"),
    )
    return _curves(rows, y, "training loss", groups, styles)


def _band(group: Group, quantity: str, groups: int) -> list[BandPoint]:
    seconds = [run.wall_time_seconds for run in group.runs if run.wall_time_seconds is not None]
    band = join_seeds([run.curve for run in group.runs], seconds, quantity)
    return thin(band, max(12, min(200, POINTS_IN_A_CHART // groups)))


def _rounded(value: float) -> float:
    """Four digits: more than a plot shows, in a page half as large."""
    return float(f"{value:.4g}")


def _position(group: Group, point: BandPoint) -> dict[str, Any]:
    return {
        "label": group.label,
        "epoch": point.epoch,
        "images": round(point.images_seen),
        "seconds": round(point.seconds, 1),
    }


def _curves(
    rows: list[dict[str, Any]], y: alt.Y, quantity: str, groups: Sequence[Group], styles: Sequence[SeriesStyle]
) -> dict[str, Any]:
    labels, dashes = [group.label for group in groups], [list(style.dash) for style in styles]
    progress = alt.param(name="progress", value="epoch")
    nearest = alt.selection_point(
        nearest=True, on="pointermove", clear="pointerout", fields=["epoch", "label"], empty=False
    )
    x = alt.X(
        "x:Q",
        title=None,
        scale=alt.Scale(zero=False, nice=False),
        axis=alt.Axis(grid=False, tickCount=6, tickMinStep=1, labelExpr=PROGRESS_LABEL, labelFlush=True),
    )
    base = alt.Chart(ROWS).transform_calculate(x="datum[progress]").encode(x=x, y=y)
    colour = series_colour(groups)
    dash = alt.StrokeDash("label:N", scale=alt.Scale(domain=labels, range=dashes), legend=None)
    details = [
        alt.Tooltip("label:N", title="architecture"),
        alt.Tooltip("value:N", title=quantity),
        alt.Tooltip("epoch:Q", title="epoch"),
        alt.Tooltip("images:Q", title="images seen", format=","),
    ]
    chart = alt.layer(
        base.mark_area().encode(y="y_low:Q", y2="y_high:Q", fill=colour, opacity=highlighted(0.15)),
        base.mark_line(strokeWidth=2, strokeJoin="round").encode(
            stroke=colour, strokeDash=dash, opacity=highlighted(1.0)
        ),
        base.mark_point(filled=True, size=55)
        .encode(fill=colour, tooltip=details, opacity=alt.condition(nearest, alt.value(1), alt.value(0)))
        .add_params(nearest),
    ).add_params(progress)
    return finish(chart, rows, HEIGHT, f"{quantity.capitalize()} of {', '.join(labels)} during training.")
