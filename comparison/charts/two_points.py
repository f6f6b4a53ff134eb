"""Two numbers of each architecture on one logarithmic axis, joined by a line: how far apart they are."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import altair as alt

from comparison.charts.parts import ROWS, finish, highlighted, log_ticks, series_color
from comparison.groups import Group

ROW_HEIGHT, AXIS_HEIGHT = 26, 34


class TwoNumbers(NamedTuple):
    """The two numbers of a group, above 0, and how they are written."""

    label: str
    first: float
    second: float
    first_text: str
    second_text: str


def two_points_chart(
    groups: Sequence[Group],
    numbers: Sequence[TwoNumbers],
    names: tuple[str, str],
    description: str,
    axis_label: str = "format(datum.value, '~g')",
) -> dict[str, Any]:
    """A row for each group: a ring for the first number, a disc for the second.

    Args:
        groups: All groups that are drawn somewhere on the page, which fixes the colors.
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
    low, high = min(values) / 1.25, max(values) * 1.25
    x = alt.X(
        "first:Q",
        title=None,
        scale=alt.Scale(type="log", domain=[low, high], nice=False),
        axis=alt.Axis(values=log_ticks(low, high, 6), labelExpr=axis_label, domain=False, ticks=False),
    )
    labels = [number.label for number in numbers]
    y = alt.Y("label:N", title=None, sort=labels, axis=alt.Axis(grid=False, labelLimit=150, labelColor="var(--ink)"))
    color = series_color(groups)
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
