"""What every chart of the page shares: colors that follow the page, highlighting, and scales.

Colors are CSS variables of the page (`var(--series-0)`, `var(--ink)`), so that one drawing serves light, dark and
print. Accuracies are drawn by their error on a logarithmic scale, labeled with the accuracy: from 98 to 99 % is as
far as from 80 to 90 %, since both halve the error.
"""

import math
from collections.abc import Sequence
from typing import Any

import altair as alt

from comparison.groups import Group
from comparison.palette import SeriesStyle

FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
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


def series_color(groups: Sequence[Group]) -> alt.Color:
    """The color of each group, as a variable that the page sets for light and dark."""
    domain, colors = [group.label for group in groups], [f"var(--series-{index})" for index in range(len(groups))]
    return alt.Color("label:N", scale=alt.Scale(domain=domain, range=colors), legend=None)


def series_dash(groups: Sequence[Group], styles: Sequence[SeriesStyle]) -> alt.StrokeDash:
    """The dash of each group's line, for which a style is given."""
    domain, dashes = [group.label for group in groups], [list(style.dash) for style in styles]
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
    return alt.Y(
        "y:Q",
        title=None,
        scale=alt.Scale(type="log", domain=[high, low], nice=False, clamp=True),
        axis=alt.Axis(values=log_ticks(low, high, 8), labelExpr="format(100 - 100 * datum.value, '.4~f') + ' %'"),
    )


def log_axis(rows: Sequence[dict[str, Any]], air: float) -> alt.Y:
    """A logarithmic y axis for rows whose `y` is positive: what their intervals cover, times `air` at both ends."""
    low = min((row["y_low"] for row in rows), default=0.1) / air
    high = max((row["y_high"] for row in rows), default=1.0) * air
    return alt.Y(
        "y:Q",
        title=None,
        scale=alt.Scale(type="log", domain=[low, high], nice=False),
        axis=alt.Axis(values=log_ticks(low, high, 8), format="~g"),
    )


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
    labels = {"aria": False, "labelColor": "var(--muted)", "labelFont": FONT, "labelFontSize": 12, "labelPadding": 6}
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
