"""What does accuracy cost? Test or validation accuracy against multiply-adds, parameters or training time."""

import itertools
import math
from collections.abc import Sequence
from typing import Any, Literal

import altair as alt
from markupsafe import Markup

from comparison.groups import Group
from comparison.questions import Answer, Chart, Section, Series, html
from comparison.questions.charts import (
    ROWS,
    accuracy_axis,
    error_domain,
    finish,
    highlighted,
    log_scale,
    series_color,
)
from comparison.units import human_count, human_duration, human_percent

QUESTION = "What does accuracy cost?"
COSTS = {"multiply_adds": "multiply-adds per image", "parameters": "parameters", "seconds": "training time"}
HEIGHT = 200
# The narrowest plot area that the page gives a chart; labels that keep apart here do so everywhere.
PLOT_SIZE = (230.0, 170.0)
MOST_LABELS = 12
DURATION_TICKS = (
    *(1, 2, 5, 10, 20, 30),
    *(60 * minutes for minutes in (1, 2, 3, 5, 10, 20, 30)),
    *(3_600 * hours for hours in (1, 2, 3, 5, 10)),
    *(86_400 * days for days in (1, 2, 5, 10)),
)
CHARACTER_WIDTH = 5.9
LINE_HEIGHT = 14.0
POINT_RADIUS = 6.0
Box = tuple[float, float, float, float]  # left, top, right, bottom
LabelPosition = tuple[Literal["left", "right", "center"], int, int]  # alignment, offset to the right, offset downwards

# Alignment and offset in pixels, the best-looking first.
BESIDE: tuple[LabelPosition, ...] = tuple(
    (align, dx if align == "left" else -dx, dy)
    for dy, dx in ((0, 11), (-13, 8), (13, 8), (-24, 8), (24, 8))
    for align in ("left", "right")
)
POSITIONS: tuple[LabelPosition, ...] = (*BESIDE, ("center", 0, -24), ("center", 0, 24))
DURATION_LABEL = (
    "datum.value < 60 ? datum.value + ' s' : datum.value < 3600 ? datum.value / 60 + ' min' "
    ": datum.value < 86400 ? datum.value / 3600 + ' h' : datum.value / 86400 + ' d'"
)
OTHER_FRONTS = """
<details class="numbers">
  <summary>The other fronts in words</summary>
  {% for cost, front in fronts %}
  <p class="quiet">{{ cost|capitalize }}: {{ front }}</p>
  {% endfor %}
</details>
"""


def answer(section: Section) -> Answer | None:
    """A chart for each cost, of all groups: a front of some would leave out the cheapest."""
    groups = section.groups
    charts = {cost: chart for cost in COSTS if (chart := cost_chart(groups, section.series, cost)) is not None}
    if not charts:
        return None
    (first, front), *others = [(COSTS[cost], cost_summary(groups, cost)) for cost in charts]
    return Answer(
        [f"{first.capitalize()}: {front.replace('Nothing', 'nothing', 1)}"],
        [
            Chart(f"Accuracy against {COSTS[cost].removesuffix(' per image')}", chart, f"{COSTS[cost]}, log scale")
            for cost, chart in charts.items()
        ],
        _caption(groups),
        html(OTHER_FRONTS, fronts=others) if others else Markup(),
        smallest=280,
    )


def cost_chart(groups: Sequence[Group], series: Sequence[Series], cost: str) -> dict[str, Any] | None:
    """Accuracy against one of `COSTS`, with intervals and Pareto front; None if no group knows its cost."""
    known = [(group, value) for group in groups if (value := cost_of(group, cost))]
    if not known:
        return None
    front = pareto_front([(value, 1 - group.accuracy.mean) for group, value in known])
    floor = 0.5 / max(group.images for group in groups)  # half an image, for an error of zero
    rows: list[dict[str, Any]] = [
        {
            "label": group.label,
            "x": value,
            "y": max(1 - group.accuracy.mean, floor),
            "y_low": max(1 - group.accuracy.high, floor),
            "y_high": max(1 - group.accuracy.low, floor),
            "value": human_percent(group.accuracy.mean),
            "cost": _human(cost, value),
            "front": position in front,
            "spoken": f"{group.label}: {human_percent(group.accuracy.mean)} at {_human(cost, value)} {COSTS[cost]}",
        }
        for position, (group, value) in enumerate(known)
    ]
    domain = min(row["x"] for row in rows) / 1.5, max(row["x"] for row in rows) * 1.5
    positions = _position_labels(rows, domain)
    base = alt.Chart(ROWS).encode(x=_cost_axis(cost, domain), y=accuracy_axis(rows))
    color = series_color(series)
    details = [
        alt.Tooltip("label:N", title="architecture"),
        alt.Tooltip("value:N", title=f"{groups[0].headline} accuracy"),
        alt.Tooltip("cost:N", title=COSTS[cost]),
    ]
    front_line = base.mark_line(
        interpolate="step-after", stroke="var(--faint)", strokeWidth=1.5, strokeDash=[4, 3], aria=False
    )
    interval = base.mark_rule(strokeWidth=1.5, aria=False)
    point = base.mark_point(filled=True, size=90)
    chart = alt.layer(
        front_line.transform_filter("datum.front").encode(order="x:Q"),
        interval.encode(y="y_low:Q", y2="y_high:Q", stroke=color, opacity=highlighted(0.75)),
        point.encode(fill=color, description="spoken:N", tooltip=details, opacity=highlighted(1.0)),
        *(
            base.transform_filter(f"datum.place === {place}")
            .mark_text(align=align, dx=dx, dy=dy, fontSize=11, baseline="middle", aria=False)
            .encode(text="label:N", fill=alt.value("var(--ink)"), opacity=highlighted(1.0))
            for place, (align, dx, dy) in enumerate(positions)
        ),
    )
    return finish(
        chart,
        rows,
        HEIGHT,
        f"{groups[0].headline.capitalize()} accuracy against {COSTS[cost]}. {cost_summary(groups, cost)}",
    )


def cost_of(group: Group, cost: str) -> float | None:
    """What a group spends: multiply-adds and parameters of its network, or seconds of its runs on average."""
    if cost == "parameters":
        return group.example.summary.model.parameters.total
    return group.example.summary.model.multiply_adds if cost == "multiply_adds" else group.mean("wall_time_seconds")


def cost_summary(groups: Sequence[Group], cost: str) -> str:
    """The Pareto front in words."""
    known = [(group, value) for group in groups if (value := cost_of(group, cost))]
    front = pareto_front([(value, 1 - group.accuracy.mean) for group, value in known])
    names = ", ".join(f"{known[i][0].label} ({human_percent(known[i][0].accuracy.mean)})" for i in front)
    return f"Nothing is both cheaper and more accurate than: {names}."


def pareto_front(points: Sequence[tuple[float, float]]) -> list[int]:
    """Positions of the (cost, error) points that no other point beats in both, from the cheapest up."""
    front: list[int] = []
    for position in sorted(range(len(points)), key=lambda i: points[i]):
        if not front or points[position][1] < points[front[-1]][1]:
            front.append(position)
    return front


def position_labels(
    points: Sequence[tuple[float, float]], labels: Sequence[str], lines: Sequence[Box], size: tuple[float, float]
) -> list[LabelPosition | None]:
    """Choose a position for each label: one of `POSITIONS`, or None where it would hide another label.

    Args:
        points: Where the points lie, in pixels from the top left.
        labels: The texts, in the order in which they may choose.
        lines: Boxes (left, top, right, bottom) of what else is drawn and had better not be covered.
        size: Width and height of the plot area in pixels.
    """
    discs = [(x - POINT_RADIUS, y - POINT_RADIUS, x + POINT_RADIUS, y + POINT_RADIUS) for x, y in points]
    marks = [*discs, *lines]
    taken: list[Box] = []
    positions: list[LabelPosition | None] = []
    for (x, y), label in zip(points, labels, strict=True):
        best, fewest = None, float("inf")
        for position in POSITIONS:
            box = _label_box(x, y, label, position)
            if any(_overlap(box, other) for other in taken) or not _inside(box, size):
                continue
            hidden = sum(_overlap(box, mark) for mark in marks)
            if hidden < fewest:
                best, fewest = position, hidden
        positions.append(best)
        if best is not None:
            taken.append(_label_box(x, y, label, best))
    return positions


def _human(cost: str, value: float) -> str:
    return human_duration(value) if cost == "seconds" else human_count(value)


def _cost_axis(cost: str, domain: tuple[float, float]) -> alt.X:
    low, high = domain
    if cost == "seconds":
        ticks = [tick for tick in DURATION_TICKS if low <= tick <= high]
        axis = alt.Axis(values=ticks[:: math.ceil(len(ticks) / 5) or 1], labelExpr=DURATION_LABEL, grid=False)
    else:
        axis = log_scale(domain, 5, format="~s", grid=False)["axis"]
    return alt.X("x:Q", title=None, scale=alt.Scale(type="log", domain=[low, high], nice=False), axis=axis)


def _position_labels(rows: list[dict[str, Any]], domain: tuple[float, float]) -> list[LabelPosition]:
    """Give each row the number of its label's position; rows whose label finds none keep only their tooltip.

    Among many points, only those on the front are labeled.
    """
    low, high = error_domain(rows)
    width, height = PLOT_SIZE

    def across(value: float) -> float:
        return width * math.log(value / domain[0]) / math.log(domain[1] / domain[0])

    def down(error: float) -> float:
        return height * math.log(error / low) / math.log(high / low)

    points = [(across(row["x"]), down(row["y"])) for row in rows]
    lines = [(x - 1, down(row["y_low"]), x + 1, down(row["y_high"])) for row, (x, _) in zip(rows, points, strict=True)]
    front = sorted(point for row, point in zip(rows, points, strict=True) if row["front"])
    for (x, y), (next_x, next_y) in itertools.pairwise(front):  # a step: to the right, then up
        lines += [(x, y - 1, next_x, y + 1), (next_x - 1, next_y, next_x + 1, y)]
    many = len(rows) > MOST_LABELS
    labeled = [number for number, row in enumerate(rows) if row["front"] or not many]
    silent = [point for point, row in zip(points, rows, strict=True) if many and not row["front"]]
    lines += [(x - POINT_RADIUS, y - POINT_RADIUS, x + POINT_RADIUS, y + POINT_RADIUS) for x, y in silent]
    names = [rows[number]["label"] for number in labeled]
    chosen = position_labels([points[number] for number in labeled], names, lines, PLOT_SIZE)
    positions = dict(zip(labeled, chosen, strict=True))
    used = sorted({position for position in positions.values() if position is not None})
    for number, row in enumerate(rows):
        position = positions.get(number)
        row["place"] = None if position is None else used.index(position)
    return used


def _caption(groups: Sequence[Group]) -> str:
    """How to read the plots of accuracy against cost."""
    bars = []
    if any(group.accuracy.seeds > 1 for group in groups):
        bars.append("the 95 % t-interval of the mean over the seeds")
    if any(group.accuracy.seeds == 1 for group in groups):
        bars.append(f"the Wilson 95 % interval on the {groups[0].headline} images for a single seed")
    return (
        f"Bars show {' or '.join(bars)}. The dashed line is the Pareto front: nothing is cheaper and more accurate "
        "than a point on it. The accuracy is drawn by its error on a log scale."
    )


def _label_box(x: float, y: float, label: str, position: LabelPosition) -> Box:
    align, dx, dy = position
    width = CHARACTER_WIDTH * len(label)
    left = x + dx - {"left": 0.0, "center": width / 2, "right": width}[align]
    return left, y + dy - LINE_HEIGHT / 2, left + width, y + dy + LINE_HEIGHT / 2


def _overlap(one: Box, other: Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def _inside(box: Box, size: tuple[float, float]) -> bool:
    # The margins around the plot area leave a label a little room.
    width, height = size
    return box[0] >= -LINE_HEIGHT and box[2] <= width + LINE_HEIGHT and box[1] >= -LINE_HEIGHT and box[3] <= height
