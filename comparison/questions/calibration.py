"""How sure is each, and how right? A reliability diagram, from the bins of confidence that ClassErrors leaves.

Source: Guo et al. (2017), "On Calibration of Modern Neural Networks", §2.
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any, NamedTuple

import altair as alt

from comparison.groups import Group
from comparison.questions import Answer, Chart, Section, Series
from comparison.questions.charts import HEIGHT, ROWS, finish, highlighted, lines, series_color
from comparison.table import mean_calibration_error
from comparison.units import human_percent, listed
from records.class_errors import BINS, ConfidenceBin

QUESTION = "How sure is each, and how right?"
CAPTION = (
    "Images by the probability of the class that was chosen, in 15 bins, those of all seeds together: a "
    "point on the dashed line is right as often as it is sure. Below it, a network is surer than it should be. Bins of "
    "few images lie far from the line by chance; the expected calibration error weighs each by its images."
)


class Calibration(NamedTuple):
    """A group's bins, of all seeds together, and its expected calibration error, a mean over the seeds."""

    label: str
    bins: list[ConfidenceBin]
    error: float

    @property
    def overconfidence(self) -> float:
        """How far the mean confidence lies above the accuracy."""
        images = sum(one.images for one in self.bins)
        return sum(one.images * (one.confidence - one.accuracy) for one in self.bins) / images


def answer(section: Section) -> Answer | None:
    """The diagram of the drawn groups that recorded their confidence."""
    found = [one for group in section.drawn_groups if (one := calibration_of(group)) is not None]
    if not found:
        return None
    noun = section.drawn_groups[0].headline
    chart = Chart(
        f"Right answers on {noun} images", reliability_chart(found, section.drawn), "probability of the chosen class"
    )
    return Answer([calibration_answer(found, noun)], [chart], CAPTION)


def calibration_of(group: Group) -> Calibration | None:
    """The bins of a group's runs joined; None where no run recorded any."""
    error = mean_calibration_error(group)
    if error is None:
        return None
    members: dict[int, list[ConfidenceBin]] = defaultdict(list)
    for run in group.runs:
        for one in run.confidence_bins(group.split):
            members[min(BINS - 1, int(one.confidence * BINS))].append(one)
    return Calibration(group.label, [_joined(members[number]) for number in sorted(members)], error)


def _joined(bins: Sequence[ConfidenceBin]) -> ConfidenceBin:
    images = sum(one.images for one in bins)
    confidence = sum(one.images * one.confidence for one in bins) / images
    accuracy = sum(one.images * one.accuracy for one in bins) / images
    return ConfidenceBin(images=images, confidence=min(1.0, confidence), accuracy=min(1.0, accuracy))


def calibration_answer(found: Sequence[Calibration], noun: str) -> str:
    """Whose probabilities are nearest to its accuracy, and whose are farthest, and to which side."""
    ranked = sorted(found, key=lambda one: one.error)
    best, worst = ranked[0], ranked[-1]
    what = f"expected calibration error on {noun} images"
    surer = [one.label for one in found if one.overconfidence > 0]
    if not surer:
        side = "None is surer than it is right."
    elif len(surer) == len(found) > 1:
        side = "All are surer than they are right."
    else:
        side = f"Surer than right: {listed(surer)}."
    if best is worst:
        return f"{best.label} has an {what} of {human_percent(best.error)}. {side}"
    return (
        f"{best.label} has the smallest {what}, {human_percent(best.error)}; {worst.label} the largest, "
        f"{human_percent(worst.error)}. {side}"
    )


def reliability_chart(found: Sequence[Calibration], series: Sequence[Series]) -> dict[str, Any]:
    """Accuracy against confidence: a line a group, a point a bin, and a diagonal where it is as sure as right."""
    rows: list[dict[str, Any]] = [
        {
            "label": one.label,
            "x": round(part.confidence, 4),
            "y": round(part.accuracy, 4),
            "sure": human_percent(part.confidence, 1),
            "right": human_percent(part.accuracy, 1),
            "images": f"{part.images:,}",
        }
        for one in found
        for part in one.bins
    ]
    axis = alt.Axis(labelExpr="format(100 * datum.value, '~g') + ' %'", tickCount=6, grid=False)
    lowest = min(0.9, *(row["x"] for row in rows))
    x = alt.X("x:Q", title=None, scale=alt.Scale(domain=[max(0.0, lowest - 0.03), 1.0], nice=False), axis=axis)
    y = alt.Y(
        "y:Q",
        title=None,
        scale=alt.Scale(domain=[0.0, 1.0], nice=False),
        axis=alt.Axis(labelExpr="format(100 * datum.value, '~g') + ' %'", tickCount=6),
    )
    base = alt.Chart(ROWS).encode(x=x, y=y)
    details = [
        alt.Tooltip("label:N", title="architecture"),
        alt.Tooltip("sure:N", title="sure"),
        alt.Tooltip("right:N", title="right"),
        alt.Tooltip("images:N", title="images"),
    ]
    ends = alt.Chart(alt.sequence(0, 2, as_="end")).mark_line(strokeDash=[4, 4], clip=True, aria=False)
    diagonal = ends.encode(x=alt.X("end:Q", title=None), y=alt.Y("end:Q", title=None), stroke=alt.value("var(--muted)"))
    points = base.mark_point(filled=True, size=45, aria=False).encode(
        fill=series_color(series), opacity=highlighted(1.0), tooltip=details
    )
    spoken = "; ".join(f"{one.label}: calibration error {human_percent(one.error)}" for one in found)
    return finish(
        alt.layer(diagonal, *lines(base, series, band=False), points), rows, HEIGHT, f"Reliability diagram. {spoken}."
    )
