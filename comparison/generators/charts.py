"""Lines over epochs: the samples' distance from real images, and how often the discriminator is right."""

from collections.abc import Sequence
from typing import Any

import altair as alt

from comparison.charts.parts import ROWS, finish, highlighted, log_ticks
from comparison.curves import thin
from comparison.generators.courses import GUESS, Course, Line
from comparison.generators.records import GeneratorRun
from comparison.palette import DASHES, FAMILIES, OTHERS, SeriesStyle

HEIGHT = 300
POINTS_OF_A_LINE = 200
POINT_SIZE, FEW = 40, 40
# The colors of the page that are furthest apart, one for each pair of networks.
COLORS = {
    "dcgan": FAMILIES["resnet"],
    "mlp": FAMILIES["zfnet"],
    "resnet": FAMILIES["vgg"],
    "improved": FAMILIES["googlenet"],
}


def run_styles(runs: Sequence[GeneratorRun]) -> list[SeriesStyle]:
    """A color for each pair of networks, a dash for each run among those of the same."""
    unknown = sorted({run.networks for run in runs} - set(COLORS))
    drawn: dict[str, int] = {}
    styles = []
    for run in runs:
        color = COLORS.get(run.networks) or OTHERS[unknown.index(run.networks) % len(OTHERS)]
        number = drawn[run.networks] = drawn.get(run.networks, -1) + 1
        styles.append(SeriesStyle(color.light, color.dark, DASHES[number % len(DASHES)]))
    return styles


def measure_chart(course: Course, runs: Sequence[GeneratorRun], styles: Sequence[SeriesStyle]) -> dict[str, Any]:
    """A measure over epochs, on the scale that fits it."""
    values = course.values
    if course.is_logarithmic:
        low, high = min(values) / 1.1, max(values) * 1.1
        scale = alt.Scale(type="log", domain=[low, high], nice=False)
        axis = alt.Axis(values=log_ticks(low, high, 7), format="~g")
    else:
        scale, axis = alt.Scale(zero=False), alt.Axis(tickCount=6, format="~g")
    return _chart(course.lines, scale, axis, course.measure.noun, runs, styles)


def guess_chart(lines: Sequence[Line], runs: Sequence[GeneratorRun], styles: Sequence[SeriesStyle]) -> dict[str, Any]:
    """The accuracy by epoch, with a rule at one half."""
    low = min(GUESS, *(value for line in lines for value in line.values.values()))
    scale = alt.Scale(domain=[max(0.0, low - 0.02), 1.0], nice=False)
    axis = alt.Axis(tickCount=6, labelExpr="format(100 * datum.value, '~g') + ' %'")
    return _chart(lines, scale, axis, "discriminator right", runs, styles, rule=GUESS)


def _chart(
    lines: Sequence[Line],
    scale: alt.Scale,
    axis: alt.Axis,
    name: str,
    runs: Sequence[GeneratorRun],
    styles: Sequence[SeriesStyle],
    rule: float | None = None,
) -> dict[str, Any]:
    """A line a run over epochs, with its points, which may be few.

    Args:
        lines: What is drawn.
        scale: Of the values, upwards.
        axis: Beside them.
        name: What is drawn, in words.
        runs: All runs that the page draws somewhere, which fixes their colors.
        styles: One for each of them.
        rule: Height of a horizontal line.
    """
    rows = [
        {"label": line.label, "epoch": epoch, "y": float(f"{line.values[epoch]:.4g}"), "text": line.texts[epoch]}
        for line in lines
        for epoch in thin(sorted(line.values), POINTS_OF_A_LINE)
    ]
    labels = [run.label for run in runs]
    colors = [f"var(--series-{position})" for position in range(len(runs))]
    color = alt.Color("label:N", scale=alt.Scale(domain=labels, range=colors), legend=None)
    dash = alt.StrokeDash(
        "label:N", scale=alt.Scale(domain=labels, range=[list(style.dash) for style in styles]), legend=None
    )
    x = alt.X(
        "epoch:Q",
        title=None,
        scale=alt.Scale(zero=False, nice=False),
        axis=alt.Axis(grid=False, tickCount=6, tickMinStep=1, format=",d", labelFlush=True),
    )
    base = alt.Chart(ROWS).encode(x=x, y=alt.Y("y:Q", title=None, scale=scale, axis=axis))
    size = POINT_SIZE if len(rows) < FEW * len(lines) else POINT_SIZE / 4
    # The page sets what is under "architecture" in bold; Vega-Lite 6.4 forgets fields of text in tooltips.
    details = f"{{architecture: datum.label, '{name}': datum.text, epoch: datum.epoch}}"
    line = base.mark_line(strokeWidth=2, strokeJoin="round", aria=False)
    point = base.mark_point(filled=True, size=size, aria=False, tooltip=alt.ExprRef(details))
    layers = [
        line.encode(stroke=color, strokeDash=dash, opacity=highlighted(1.0)),
        point.encode(fill=color, opacity=highlighted(1.0)),
    ]
    if rule is not None:
        # One row of its own, for the rule would be drawn once for each point; not inline, for `finish` sets the data.
        horizontal = alt.Chart(alt.sequence(0, 1, as_="row")).mark_rule(strokeDash=[4, 4], aria=False)
        height = alt.YDatum(rule, scale=scale, axis=axis)
        layers.insert(0, horizontal.encode(y=height, stroke=alt.value("var(--muted)")))
    drawn = ", ".join(line.label for line in lines)
    return finish(alt.layer(*layers), rows, HEIGHT, f"{name.capitalize()} by epoch: {drawn}.")
