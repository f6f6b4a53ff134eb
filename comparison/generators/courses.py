"""How measures and guesses went over the epochs: what charts draw and sentences say."""

from collections.abc import Sequence
from typing import NamedTuple

from comparison.generators.measurements import Protocol
from comparison.generators.records import GeneratorRun
from comparison.generators.table import Measure, figure_text, measures_in
from comparison.units import human_percent

GUESS = 0.5


class Line(NamedTuple):
    """How a quantity went in one run: its value by epoch, and what is written at each."""

    label: str
    values: dict[int, float]
    texts: dict[int, str]


class Course(NamedTuple):
    """How a measure went in all runs that were measured in the same way."""

    measure: Measure
    lines: list[Line]

    @property
    def values(self) -> list[float]:
        """All values."""
        return [value for line in self.lines for value in line.values.values()]

    @property
    def is_logarithmic(self) -> bool:
        """Distances halve rather than fall; an unbiased one may be below 0, where there is no logarithm."""
        return self.measure.better == "low" and min(self.values) > 0


def courses(runs: Sequence[GeneratorRun], protocol: Protocol) -> Course | None:
    """The first measure of a protocol in the course of the training; None if no run took it twice.

    Measurements after the training have no epoch, and are not drawn.
    """
    for measure in measures_in(protocol):
        lines = []
        for run in runs:
            taken = {
                m.epoch: m.figures for m in run.measurements if m.protocol == protocol and measure.name in m.figures
            }
            values = {epoch: figures[measure.name] for epoch, figures in taken.items() if epoch is not None}
            texts = {epoch: figure_text(measure, taken[epoch]) for epoch in values}
            if values:
                lines.append(Line(run.label, values, texts))
        if lines and measure.better != "neither":
            return Course(measure, lines) if any(len(line.values) > 1 for line in lines) else None
    return None


def guess_courses(runs: Sequence[GeneratorRun]) -> list[Line]:
    """Mean of the discriminator's accuracies on real and on fake images, in the runs where they mean something."""
    return [
        Line(
            run.label,
            {guess.epoch: guess.mean for guess in run.guesses},
            {guess.epoch: human_percent(guess.mean, 1) for guess in run.guesses},
        )
        for run in runs
        if run.guesses and run.decides_at_zero
    ]
