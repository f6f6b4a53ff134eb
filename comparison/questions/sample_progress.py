"""Do the samples get better? A measure of them over the epochs, for each way of measuring."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import altair as alt

from comparison.measures import Measure, Protocol
from comparison.questions import Answer, Chart, Section, Series
from comparison.questions.charts import PLAIN, EpochLine, epochs_chart, log_scale
from comparison.runs import Run, protocols
from comparison.units import count_of

QUESTION = "Do they get better?"


class Progress(NamedTuple):
    """How a measure went in all runs that were measured in the same way."""

    measure: Measure
    lines: list[EpochLine]

    @property
    def values(self) -> list[float]:
        """All values."""
        return [value for line in self.lines for value in line.values.values()]

    @property
    def is_logarithmic(self) -> bool:
        """Distances halve rather than fall; an unbiased one may be below 0, where there is no logarithm."""
        return self.measure.better == "low" and min(self.values) > 0


def answer(section: Section) -> Answer | None:
    """A chart for each protocol, since figures of two do not compare."""
    runs = section.drawn_gans
    found = [(way, progress) for way in protocols(runs) if (progress := progress_of(runs, way)) is not None]
    charts = [
        Chart(
            progress.measure.title,
            progress_chart(progress, section.drawn),
            "epochs",
            "log scale" if progress.is_logarithmic else "",
            caption=f"{way}.",
        )
        for way, progress in found
    ]
    sentences = [f"{progress.measure.noun}: {progress_answer(progress)}" for _, progress in found]
    return Answer(sentences, charts) if charts else None


def progress_of(runs: Sequence[Run], protocol: Protocol) -> Progress | None:
    """The first measure of a protocol in the course of the training; None if no run took it twice.

    Measurements after the training have no epoch, and are not drawn.
    """
    for measure in protocol.measures:
        lines = []
        for run in runs:
            taken = {m.epoch: m.figures for m in run.measured(protocol) if measure.name in m.figures}
            values = {epoch: figures[measure.name] for epoch, figures in taken.items() if epoch is not None}
            if values:
                lines.append(EpochLine(run.label, values, {epoch: measure.text_of(taken[epoch]) for epoch in values}))
        if lines and measure.better != "neither":
            return Progress(measure, lines) if any(len(line.values) > 1 for line in lines) else None
    return None


def progress_chart(progress: Progress, series: Sequence[Series]) -> dict[str, Any]:
    """The measure over the epochs, on the scale that fits it."""
    values = progress.values
    if progress.is_logarithmic:
        how = log_scale((min(values) / 1.1, max(values) * 1.1), 9, format=PLAIN)
    else:
        how = {"scale": alt.Scale(zero=False), "axis": alt.Axis(tickCount=6, format=PLAIN)}
    return epochs_chart(progress.lines, name=progress.measure.noun, series=series, **how)


def progress_answer(progress: Progress) -> str:
    """From where to where each run went, and when it was best."""
    sentences = []
    for line in progress.lines:
        first, last = min(line.values), max(line.values)
        if first == last:
            continue
        best = (min if progress.measure.better == "low" else max)(line.values, key=line.values.__getitem__)
        sentence = f"{line.label} goes from {line.texts[first]} after {count_of(first, 'epoch')} to {line.texts[last]} "
        sentence += f"after {last}"
        sentence += "." if best == last else f"; its best is {line.texts[best]}, after {best}."
        sentences.append(sentence)
    return " ".join(sentences)
