"""GANs that differ in nothing but the seed: the mean of their figures, and how far the seeds lie apart."""

import statistics
from collections import defaultdict
from collections.abc import Callable, Sequence

from comparison.generators.measurements import Protocol
from comparison.generators.records import GeneratorRun
from comparison.generators.table import Block, Measure, Row, figure_digits, last_of, measures_in, protocols
from comparison.units import ABSENT, count_of

QUESTION = "How much does the seed matter?"
ABOUT = "Mean ± sample standard deviation over the seeds, of the last measurement of each run."

Seeds = list[GeneratorRun]
"""Runs of one experiment, one for each seed."""


def seed_table(runs: Sequence[GeneratorRun]) -> tuple[list[str], list[Block]]:
    """Labels of the experiments that have several seeds, and blocks of rows with a cell for each; empty without any."""
    by_experiment = _experiments(runs)
    if not by_experiment:
        return [], []
    labels = [f"{label}, {count_of(len(seeds), 'seed')}" for label, seeds in by_experiment.items()]
    several = list(by_experiment.values())
    blocks = [Block("", [Row("seeds", [", ".join(str(run.seed) for run in seeds) for seeds in several])])]
    blocks.append(Block("Discriminator, on validation images", _guesses(several)))
    for protocol in protocols([run for seeds in several for run in seeds]):
        rows = [_measure(measure, protocol, several) for measure in measures_in(protocol)]
        blocks.append(Block(str(protocol), rows))
    known = [Block(title, [row for row in rows if set(row.cells) != {ABSENT}]) for title, rows in blocks]
    return labels, [block for block in known if block.rows]


def _experiments(runs: Sequence[GeneratorRun]) -> dict[str, Seeds]:
    """By label, of the runs that ended well; of several with one seed that of the last directory counts, the newest."""
    found: dict[str, dict[int, GeneratorRun]] = defaultdict(dict)
    for run in sorted(runs, key=lambda run: run.directory.as_posix()):
        if run.seed is not None and not run.state:
            found[run.experiment][run.seed] = run
    return {label: [seeds[seed] for seed in sorted(seeds)] for label, seeds in sorted(found.items()) if len(seeds) > 1}


def _guesses(several: Sequence[Seeds]) -> list[Row]:
    def row(name: str, value: Callable[[GeneratorRun], float | None], percent: bool = True) -> Row:
        return Row(name, [_spread([value(run) for run in seeds], percent) for seeds in several])

    def part(attribute: str) -> Callable[[GeneratorRun], float | None]:
        return lambda run: getattr(run.guesses[-1], attribute) if run.guesses and run.decides_at_zero else None

    return [
        row("right on real images", part("real")),
        row("right on fake images", part("fake")),
        row("distance from equilibrium", lambda run: run.guesses[-1].distance if run.guesses else None, percent=False),
        row("right on classes", lambda run: run.guesses[-1].classes if run.guesses else None),
    ]


def _measure(measure: Measure, protocol: Protocol, several: Sequence[Seeds]) -> Row:
    cells = []
    for seeds in several:
        last = [last_of(run, protocol) for run in seeds]
        cells.append(_spread([measured.figures.get(measure.name) if measured else None for measured in last]))
    return Row(measure.title, cells)


def _spread(values: Sequence[float | None], percent: bool = False) -> str:
    """`4.00 ± 0.31`, or `60.7 ± 1.2 %`, with the number of seeds where some have no value."""
    known = [value for value in values if value is not None]
    if len(known) < 2:
        return ABSENT
    mean, deviation = statistics.fmean(known), statistics.stdev(known)
    if percent:
        text = f"{100 * mean:.1f} ± {100 * deviation:.1f} %"
    else:
        digits = figure_digits(mean)
        text = f"{mean:,.{digits}f} ± {deviation:,.{digits}f}"
    return text if len(known) == len(values) else f"{text} (of {count_of(len(known), 'seed')})"
