"""What every chart of the page shares: colors that follow the page, highlighting, and scales.

Colors are CSS variables of the page (`var(--series-0)`, `var(--ink)`), so that one drawing serves light, dark and
print. Accuracies are drawn by their error on a logarithmic scale, labeled with the accuracy: from 98 to 99 % is as
far as from 80 to 90 %, since both halve the error.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import altair as alt

from comparison.curves import thin
from comparison.groups import Group
from comparison.questions import Series

FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
HEIGHT, EPOCHS_HEIGHT = 206, 165
ROW_HEIGHT, AXIS_HEIGHT = 20, 30
POINTS_OF_A_LINE = 200
POINT_SIZE, FEW = 40, 40
PROGRESS_LABEL = "progress === 'images' ? format(datum.value, '~s') : format(datum.value, ',')"
PLAIN = ",.4~f"  # 0.05, 2.5 and 1,200, never 5e-2
HIGHLIGHT = "highlight === '' || datum.label === highlight"
ROWS = alt.NamedData(name="rows")
TICK_STEPS: tuple[tuple[float, ...], ...] = (
    tuple(step / 10 for step in range(10, 100)),
    (1, 1.5, 2, 2.5, 3, 4, 5, 6, 7, 8, 9),
    (1, 2, 3, 5),
    (1, 2, 5),
    (1, 3),
    (1,),
)


def series_color(series: Sequence[Series]) -> alt.Color:
    """The color of each series, as a variable that the page sets for light and dark."""
    domain, colors = [one.label for one in series], [f"var(--series-{one.index})" for one in series]
    return alt.Color("label:N", scale=alt.Scale(domain=domain, range=colors), legend=None)


def series_dash(series: Sequence[Series]) -> alt.StrokeDash:
    """The dashes of each series' line."""
    domain, dashes = [one.label for one in series], [list(one.dash) for one in series]
    return alt.StrokeDash("label:N", scale=alt.Scale(domain=domain, range=dashes), legend=None)


def highlighted(strength: float) -> Any:
    """Opacity that fades a mark while another group is highlighted."""
    return alt.condition(HIGHLIGHT, alt.value(strength), alt.value(0.12 * strength))


def smallest_error(groups: Sequence[Group]) -> float:
    """Half an image: where an error of zero is drawn, which a logarithmic scale has no place for."""
    return 0.5 / max(group.example.data.val_images for group in groups)


def error_domain(rows: Sequence[dict[str, Any]]) -> tuple[float, float]:
    """The errors that the rows' intervals cover, with some air."""
    lowest = min((row["y_low"] for row in rows), default=0.01)
    highest = max((row["y_high"] for row in rows), default=1.0)
    return lowest / 1.25, min(1.0, highest * 1.15)


def accuracy_axis(rows: Sequence[dict[str, Any]]) -> alt.Y:
    """The y axis for rows whose `y` is an error: logarithmic, upside down, labeled with accuracies."""
    low, high = error_domain(rows)
    labels = "format(100 - 100 * datum.value, '.4~f') + ' %'"
    return alt.Y("y:Q", title=None, **log_scale((high, low), 8, clamp=True, labelExpr=labels))


def log_scale(domain: tuple[float, float], most: int, /, clamp: bool = False, **axis: Any) -> dict[str, Any]:
    """A logarithmic scale, with at most so many round numbers beside it."""
    scale = alt.Scale(type="log", domain=list(domain), nice=False, clamp=True if clamp else alt.Undefined)
    return {"scale": scale, "axis": alt.Axis(values=log_ticks(min(domain), max(domain), most), **axis)}


def log_axis(rows: Sequence[dict[str, Any]], air: float) -> alt.Y:
    """A logarithmic y axis for rows whose `y` is positive: what their intervals cover, times `air` at both ends."""
    low = min((row["y_low"] for row in rows), default=0.1) / air
    high = max((row["y_high"] for row in rows), default=1.0) * air
    return alt.Y("y:Q", title=None, **log_scale((low, high), 8, format=PLAIN if low >= 1e-3 else "~g"))


def log_ticks(low: float, high: float, most: int) -> list[float]:
    """Round numbers between two positive ones, as many as fit without exceeding `most`."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for steps in TICK_STEPS:
        ticks = [tick for decade in decades for step in steps if low <= (tick := step * 10.0**decade) <= high]
        if len(ticks) <= most:
            break
    return [float(f"{tick:.6g}") for tick in ticks[:: math.ceil(len(ticks) / most) or 1]]


def finish(chart: Any, rows: Sequence[dict[str, Any]], height: int, description: str) -> dict[str, Any]:
    """The finished specification, as wide as its place on the page.

    Args:
        chart: A chart on `ROWS`.
        rows: The data. They are added last, because Altair would check every value against Vega-Lite's schema.
        height: Height in pixels, axes included.
        description: What a screen reader says.
    """
    # Axes are silent: a screen reader would read out errors where the labels show accuracies.
    labels = {"aria": False, "labelColor": "var(--muted)", "labelFont": FONT, "labelFontSize": 11, "labelPadding": 5}
    specification: dict[str, Any] = (
        chart.add_params(alt.param(name="highlight", value=""))
        .properties(
            width="container",
            height=height,
            description=description,
            background="transparent",
            autosize=alt.AutoSizeParams(type="fit", contains="padding"),
        )
        .configure_view(stroke=None)
        .configure_axis(**labels, domainColor="var(--rule)", gridColor="var(--rule)", tickColor="var(--rule)")
        .configure_axisY(domain=False, ticks=False)
        .configure_text(font=FONT)
        .to_dict()
    )
    return specification | {"datasets": {ROWS.name: rows}}


def time_unit(groups: Sequence[Group]) -> tuple[str, int]:
    """The unit for training time in which the longest run has readable numbers, and its seconds."""
    longest = max((seconds for group in groups if (seconds := group.mean("wall_time_seconds"))), default=0.0)
    return ("s", 1) if longest < 180 else ("min", 60) if longest < 3 * 3_600 else ("h", 3_600)


def lines(base: alt.Chart, series: Sequence[Series], *, band: bool = True) -> list[alt.Chart]:
    """The lines of the series, perhaps with a band around each."""
    color = series_color(series)
    area = base.mark_area(aria=False).encode(y="y_low:Q", y2="y_high:Q", fill=color, opacity=highlighted(0.15))
    line = base.mark_line(strokeWidth=2, strokeJoin="round", aria=False)
    drawn = line.encode(stroke=color, strokeDash=series_dash(series), opacity=highlighted(1.0))
    return [area, drawn] if band else [drawn]


def curves_chart(rows: list[dict[str, Any]], y: alt.Y, quantity: str, series: Sequence[Series]) -> dict[str, Any]:
    """Lines with bands over the progress that the page chooses.

    Args:
        rows: Points with label, value (as text), epoch, images, time, y, y_low, y_high, and whether they stand alone.
        y: The vertical axis.
        quantity: What is drawn, in words.
        series: All that the page draws, which fixes their colors.
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
    # The nearest point is found through a cell around it, whose datum holds the point's. Vega-Lite 6.4 forgets this in
    # tooltips on text fields, so the tooltip is spelled out.
    found = "(datum.datum || datum)"
    details = (
        f"{{architecture: {found}.label, '{quantity}': {found}.value, epoch: format({found}.epoch, '.2~f'), "
        f"'images seen': format({found}.images, ',')}}"
    )
    # A line through a single epoch is invisible, so its point is not.
    shown = alt.when(nearest).then(alt.value(1)).when("datum.alone").then(alt.value(1)).otherwise(alt.value(0))
    point = base.mark_point(filled=True, size=55, aria=False, tooltip=alt.ExprRef(details))
    points = point.encode(fill=series_color(series), opacity=shown).add_params(nearest)
    chart = alt.layer(*lines(base, series), points).add_params(progress)
    return finish(
        chart, rows, HEIGHT, f"{quantity.capitalize()} of {', '.join(one.label for one in series)} during training."
    )


class TwoNumbers(NamedTuple):
    """The two numbers of a group, above 0, and how they are written."""

    label: str
    first: float
    second: float
    first_text: str
    second_text: str


def two_points_chart(
    series: Sequence[Series],
    numbers: Sequence[TwoNumbers],
    names: tuple[str, str],
    description: str,
    axis_label: str = "format(datum.value, '~g')",
) -> dict[str, Any]:
    """A row for each group: a ring for the first number, a disc for the second.

    Args:
        series: All that the page draws, which fixes their colors.
        numbers: Those of the groups that have any.
        names: What the two numbers are.
        description: What a screen reader says.
        axis_label: Vega expression of a number on the axis.
    """
    rows: list[dict[str, Any]] = [
        number._asdict()
        | {"spoken": f"{number.label}: {names[0]} {number.first_text}, {names[1]} {number.second_text}"}
        for number in numbers
    ]
    values = [value for number in numbers for value in (number.first, number.second)]
    scale = log_scale((min(values) / 1.25, max(values) * 1.25), 6, labelExpr=axis_label, domain=False, ticks=False)
    x = alt.X("first:Q", title=None, **scale)
    labels = [number.label for number in numbers]
    y = alt.Y("label:N", title=None, sort=labels, axis=alt.Axis(grid=False, labelLimit=150, labelColor="var(--ink)"))
    color = series_color(series)
    base = alt.Chart(ROWS).encode(x=x, y=y)
    details = [
        alt.Tooltip("label:N", title="architecture"),
        alt.Tooltip("first_text:N", title=names[0]),
        alt.Tooltip("second_text:N", title=names[1]),
    ]
    ring = base.mark_point(size=80, strokeWidth=2, filled=False, fill="var(--paper)")
    disc = base.mark_point(size=95, filled=True, aria=False)
    chart = alt.layer(
        base.mark_rule(strokeWidth=2, aria=False).encode(x2="second:Q", stroke=color, opacity=highlighted(0.7)),
        ring.encode(stroke=color, description="spoken:N", tooltip=details, opacity=highlighted(1.0)),
        disc.encode(x="second:Q", fill=color, tooltip=details, opacity=highlighted(1.0)),
    )
    return finish(chart, rows, ROW_HEIGHT * len(rows) + AXIS_HEIGHT, description)


class EpochLine(NamedTuple):
    """How a quantity went in one run: its value by epoch, and what is written at each."""

    label: str
    values: dict[int, float]
    texts: dict[int, str]


def epochs_chart(
    runs: Sequence[EpochLine],
    scale: alt.Scale,
    axis: alt.Axis,
    name: str,
    series: Sequence[Series],
    rule: float | None = None,
) -> dict[str, Any]:
    """A line a run over epochs, with its points, which may be few.

    Args:
        runs: What is drawn.
        scale: Of the values, upwards.
        axis: Beside them.
        name: What is drawn, in words.
        series: All that the page draws, which fixes their colors.
        rule: Height of a horizontal line.
    """
    rows = [
        {"label": line.label, "epoch": epoch, "y": float(f"{line.values[epoch]:.4g}"), "text": line.texts[epoch]}
        for line in runs
        for epoch in thin(sorted(line.values), POINTS_OF_A_LINE)
    ]
    x = alt.X(
        "epoch:Q",
        title=None,
        scale=alt.Scale(zero=False, nice=False),
        axis=alt.Axis(grid=False, tickCount=6, tickMinStep=1, format=",d", labelFlush=True),
    )
    base = alt.Chart(ROWS).encode(x=x, y=alt.Y("y:Q", title=None, scale=scale, axis=axis))
    size = POINT_SIZE if len(rows) < FEW * len(runs) else POINT_SIZE / 4
    # The page sets what is under "architecture" in bold; Vega-Lite 6.4 forgets fields of text in tooltips.
    details = f"{{architecture: datum.label, '{name}': datum.text, epoch: datum.epoch}}"
    point = base.mark_point(filled=True, size=size, aria=False, tooltip=alt.ExprRef(details))
    points = point.encode(fill=series_color(series), opacity=highlighted(1.0))
    layers = [*lines(base, series, band=False), points]
    if rule is not None:
        # One row of its own, for the rule would be drawn once for each point; not inline, for `finish` sets the data.
        horizontal = alt.Chart(alt.sequence(0, 1, as_="row")).mark_rule(strokeDash=[4, 4], aria=False)
        height = alt.YDatum(rule, scale=scale, axis=axis)
        layers.insert(0, horizontal.encode(y=height, stroke=alt.value("var(--muted)")))
    drawn = ", ".join(line.label for line in runs)
    return finish(alt.layer(*layers), rows, EPOCHS_HEIGHT, f"{name.capitalize()} by epoch: {drawn}.")
