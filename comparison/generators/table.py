"""The table of a data set's GANs: a row for each quantity, with a cell for each run."""

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

from comparison.generators.measurements import Measurement, Protocol
from comparison.generators.records import GeneratorRun
from comparison.units import ABSENT, human_count, human_duration, human_percent, human_rate


class Row(NamedTuple):
    """A quantity and its value in each run."""

    name: str
    cells: list[str]


class Block(NamedTuple):
    """Rows under one heading."""

    title: str
    rows: list[Row]


class Measure(NamedTuple):
    """A figure of `measures.json`: its name there and on the page, which values are better, what stands beside it."""

    name: str
    noun: str
    better: Literal["low", "high", "neither"]
    beside: str | None = None
    pattern: str = "{} ± {}"

    @property
    def title(self) -> str:
        """The noun, with an arrow toward what is better."""
        return f"{self.noun}{ARROWS[self.better]}"


ARROWS = {"low": " ↓", "high": " ↑", "neither": ""}
NETWORKS = "networks"
FRECHET = "fid"
SCORE = Measure("score", "classifier score", "high", "score_std")
INCEPTION_SCORE = SCORE._replace(noun="Inception score")
MEASURES = (
    Measure(FRECHET, "Fréchet distance", "low"),
    Measure("kid", "kernel distance", "low", "kid_std"),
    SCORE,
    Measure("precision", "precision", "high"),
    Measure("recall", "recall", "high"),
    Measure("density", "density", "high"),
    Measure("coverage", "coverage", "high"),
    Measure("parzen_log_likelihood", "Parzen log-likelihood", "high", "parzen_standard_error"),
    Measure("diversity", "pixel diversity (of real images)", "neither", "diversity_of_real", "{} ({})"),
)


def blocks(runs: Sequence[GeneratorRun]) -> list[Block]:
    """All of the table: facts, the discriminator's guesses, and the measures."""
    discriminator = guesses(runs)
    return [Block("", facts(runs)), *([discriminator] if discriminator else []), *measures(runs)]


def facts(runs: Sequence[GeneratorRun]) -> list[Row]:
    """What each run is and took; what no run knows is left out, as is what is plain without saying."""
    rows = [
        Row(NETWORKS, [run.networks for run in runs]),
        Row("objective", [(run.objective or ABSENT).replace("_", " ") for run in runs]),
        Row("generator params", [human_count(run.generator_parameters) for run in runs]),
        Row("discriminator params", [human_count(run.discriminator_parameters) for run in runs]),
        Row("seed", [_text(run.seed) for run in runs]),
        Row("epochs", [_text(run.epochs) for run in runs]),
        Row("images/s", [human_rate(run.images_per_second) for run in runs]),
        Row("wall time", [human_duration(run.wall_time_seconds) for run in runs]),
    ]
    if any(run.state for run in runs):
        rows.append(Row("state", [run.state or "completed" for run in runs]))
    if len({run.hardware for run in runs}) > 1:
        rows.append(Row("hardware", [run.hardware or ABSENT for run in runs]))
    return rows


def guesses(runs: Sequence[GeneratorRun]) -> Block | None:
    """How the discriminator did in the last validation; None where no run was validated."""
    last = [run.guesses[-1] if run.guesses else None for run in runs]
    if not any(last):
        return None
    decisive = [guess if run.decides_at_zero else None for run, guess in zip(runs, last, strict=True)]
    rows = [
        Row("right on real images", [human_percent(guess.real if guess else None, 1) for guess in decisive]),
        Row("right on fake images", [human_percent(guess.fake if guess else None, 1) for guess in decisive]),
        Row("distance from equilibrium", [_figure(guess.distance if guess else None) for guess in last]),
    ]
    if any(guess and guess.classes is not None for guess in last):
        rows.append(Row("right on classes", [human_percent(guess.classes if guess else None, 1) for guess in last]))
    if len({guess.epoch for guess in last if guess}) > 1:
        rows.append(Row("after epoch", [_text(guess.epoch if guess else None) for guess in last]))
    return Block("Discriminator, on validation images", rows)


def measures(runs: Sequence[GeneratorRun]) -> list[Block]:
    """The last measurement of each run, under a heading for each protocol: figures of two never share a row."""
    return [_block(protocol, [last_of(run, protocol) for run in runs]) for protocol in protocols(runs)]


def protocols(runs: Sequence[GeneratorRun]) -> list[Protocol]:
    """All protocols by which any run was measured: those of most runs first, features before pixels."""
    found = [{measurement.protocol for measurement in run.measurements} for run in runs]
    every = set().union(*found)
    return sorted(every, key=lambda p: (p.space is None, -sum(p in of_run for of_run in found), str(p)))


def last_of(run: GeneratorRun, protocol: Protocol) -> Measurement | None:
    """The last measurement of a run by a protocol."""
    return next((m for m in reversed(run.measurements) if m.protocol == protocol), None)


def figure_text(measure: Measure, figures: dict[str, float]) -> str:
    """A figure with what stands beside it."""
    value, beside = figures.get(measure.name), figures.get(measure.beside or "")
    if value is None or beside is None:
        return _figure(value)
    digits = figure_digits(value)
    return measure.pattern.format(f"{value:,.{digits}f}", f"{beside:,.{digits}f}")


def measures_in(protocol: Protocol) -> list[Measure]:
    """All measures, by the names that they have in the protocol's space; the usual ones are those of Inception."""
    inception = protocol.space is not None and protocol.space.is_inception
    return [INCEPTION_SCORE if measure is SCORE and inception else measure for measure in MEASURES]


def _block(protocol: Protocol, last: Sequence[Measurement | None]) -> Block:
    def of_each(cell: Callable[[Measurement], str]) -> list[str]:
        return [ABSENT if measurement is None else cell(measurement) for measurement in last]

    taken = {name for measurement in last if measurement for name in measurement.figures}
    rows = [
        Row(measure.title, of_each(lambda m, measure=measure: figure_text(measure, m.figures)))  # type: ignore[misc]
        for measure in measures_in(protocol)
        if measure.name in taken
    ]
    return Block(str(protocol), [*rows, Row("measured after epoch", of_each(_when))])


def _when(measurement: Measurement) -> str:
    return str(measurement.epoch) if measurement.epoch else measurement.checkpoint or "the last"


def _figure(value: float | None) -> str:
    """Three digits that count: 0.0732, 0.674, 5.22, 30.2, 159, 1,234."""
    return ABSENT if value is None else f"{value:,.{figure_digits(value)}f}"


def figure_digits(value: float) -> int:
    """How many stand behind the point."""
    size = abs(value)
    return 4 if size < 0.1 else 3 if size < 1 else 2 if size < 10 else 1 if size < 100 else 0


def _text(number: int | None) -> str:
    return ABSENT if number is None else str(number)
