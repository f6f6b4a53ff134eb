"""The GANs of a data set as tables: a row for each quantity, with a cell for each run; as text a row a run."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from comparison.groups import newest_of_each_seed
from comparison.measures import DISCRIMINATOR, EQUILIBRIUM, REAL, Measure, Measurement, Protocol
from comparison.runs import Run, protocols
from comparison.statistics import estimate
from comparison.text_layout import Column, aligned, comma_separated, literal, markdown
from comparison.units import ABSENT, count_of, human_count, human_duration, human_rate, listed

NETWORKS = "networks"
OVER_SEEDS = "Mean ± sample standard deviation over the seeds, of the last measurement of each run."
UNCERTAINTIES = (
    ("kid_std", "for the kernel distance the spread over subsets"),
    ("score_std", "for the score the spread over chunks"),
    ("parzen_standard_error", "for the log-likelihood its standard error"),
)
EXPLANATION_OF_EQUILIBRIUM = (
    "The distance from equilibrium is that of the minimax game from -log 4, its value where nothing can be told apart."
)
FIGURE_HEADINGS = ("measure", "value", "epoch", "checkpoint")
PROTOCOL_HEADINGS = (
    *("features", "features_network", "features_identity"),
    *("split", "real_split", "real_images", "samples"),
)

# By what people know them; others keep the name that a config gives them.
PAPERS = {
    "mlp": "GAN of multilayer perceptrons (Goodfellow et al. 2014)",
    "dcgan": "DCGAN (Radford et al. 2016)",
    "improved": "Improved GAN, semi-supervised (Salimans et al. 2016)",
    "resnet": "residual networks (Gulrajani et al. 2017)",
}
OBJECTIVES = {
    "minimax": "minimax",
    "non_saturating": "non-saturating",
    "least_squares": "least squares (LSGAN)",
    "wasserstein": "Wasserstein (WGAN)",
    "hinge": "hinge",
}

# In the order of the CSV; `FACTS` are in that of the table, where the run is known and its data are.
OF_A_RUN: tuple[Column[Run], ...] = (
    Column("data_set", lambda run: run.data.name),
    Column("run", lambda run: run.label),
    Column("networks", lambda run: run.architecture, NETWORKS, lambda name: PAPERS.get(name, name)),
    Column("objective", lambda run: run.objective, "objective", lambda name: OBJECTIVES.get(name, name)),
    Column("seed", lambda run: run.summary.seed, "seed"),
    Column("state", lambda run: run.problem or "completed", "state"),
    Column("epochs", lambda run: run.summary.epochs, "epochs"),
    Column("generator_parameters", lambda run: run.summary.model.parameters.total, "generator params", human_count),
    Column(
        "discriminator_parameters",
        lambda run: run.summary.model.discriminator_parameters.total,
        "discriminator params",
        human_count,
    ),
    Column("images_per_second", lambda run: run.summary.images_per_second, "images/s", human_rate),
    Column("wall_time_seconds", lambda run: run.summary.wall_time_seconds, "wall time", human_duration),
    Column("directory", lambda run: run.directory.as_posix()),
)
_BY_HEADING = {column.heading: column for column in (*OF_A_RUN, Column[Run]("", lambda run: run.hardware, "hardware"))}
FACTS = [
    _BY_HEADING[heading]
    for heading in (
        *(NETWORKS, "objective", "generator params", "discriminator params", "seed", "epochs", "images/s", "wall time"),
        *("state", "hardware"),
    )
]

Layout = Callable[[Sequence[str], Sequence[Sequence[str]]], str]


class Row(NamedTuple):
    """A quantity and its value in each run."""

    name: str
    cells: list[str]


class Block(NamedTuple):
    """Rows under one heading."""

    title: str
    rows: list[Row]


def blocks(runs: Sequence[Run]) -> list[Block]:
    """All of the table: facts, and under a heading for each protocol the last measurement of each run.

    Figures of two protocols never share a row.
    """
    taken = [DISCRIMINATOR, *protocols(runs)]
    found = [Block("", _facts(runs)), *(_block(protocol, [run.last(protocol) for run in runs]) for protocol in taken)]
    return [block for block in found if block.rows]


def seed_table(runs: Sequence[Run]) -> tuple[list[str], list[Block]]:
    """Labels of the experiments that have several seeds, and blocks of rows with a cell for each; empty without any."""
    by_experiment = _experiments(runs)
    if not by_experiment:
        return [], []
    labels = [f"{label}, {count_of(len(seeds), 'seed')}" for label, seeds in by_experiment.items()]
    several = list(by_experiment.values())
    found = [Block("", [Row("seeds", [", ".join(str(run.summary.seed) for run in seeds) for seeds in several])])]
    for protocol in (DISCRIMINATOR, *protocols(run for seeds in several for run in seeds)):
        rows = [
            Row(measure.title, [_over_seeds(measure, protocol, seeds) for seeds in several])
            for measure in protocol.measures
        ]
        found.append(Block(str(protocol), [row for row in rows if set(row.cells) != {ABSENT}]))
    return labels, [block for block in found if block.rows]


def explanation(runs: Sequence[Run]) -> str:
    """How to read the table."""
    ways = protocols(runs)
    figures = {name for run in runs for way in ways for m in run.measured(way) for name in m.figures}
    parts = []
    if figures:
        parts.append("↓: the lower, the better; ↑: the higher.")
    if uncertainties := [words for name, words in UNCERTAINTIES if name in figures]:
        parts.append(f"Behind ± stands {listed(uncertainties)}.")
    if len(ways) > 1:
        parts.append("Figures under different headings do not compare.")
    if any(way.space is not None and not way.space.is_inception for way in ways):
        parts.append(
            "Fréchet distance, kernel distance and classifier score are computed as FID, KID and Inception score are, "
            "in the features of a classifier: they do not compare with published ones."
        )
    if any(m.reference for run in runs for way in ways for m in run.measured(way)):
        parts.append(
            "In brackets, what real images come to: for distances one half of them against the other, for the score "
            "all."
        )
    if any((last := run.last(DISCRIMINATOR)) and EQUILIBRIUM.name in last.figures for run in runs):
        parts.append(EXPLANATION_OF_EQUILIBRIUM)
    return " ".join([*parts, undecided(runs)]).strip()


def undecided(runs: Sequence[Run]) -> str:
    """Which discriminators have no accuracy to show; empty if all have."""
    labels = [run.label for run in runs if (last := run.last(DISCRIMINATOR)) and REAL.name not in last.figures]
    if not labels:
        return ""
    return f"Logits above 0 count as real, which says nothing under the objective of {listed(labels)}: left out."


def text_tables(data_set: str, runs: Sequence[Run]) -> list[str]:
    """Parts of plain text, between which belongs an empty line; the last is a sentence that may be long."""
    return _tables(data_set, runs, aligned, lambda words: words)


def markdown_tables(data_set: str, runs: Sequence[Run]) -> list[str]:
    """Parts of GitHub-flavored Markdown, between which belongs an empty line."""
    return _tables(data_set, runs, markdown, literal)


def csv_of_figures(gans: Mapping[str, Sequence[Run]]) -> str:
    """CSV for other tools: a line for each figure at each time, with its protocol; one at least for each run.

    Args:
        gans: Runs by data set.
    """
    rows = [
        [*(column.value(run) for column in OF_A_RUN), *figure]
        for runs in gans.values()
        for run in runs
        for figure in list(_figures(run)) or [[None] * (len(FIGURE_HEADINGS) + len(PROTOCOL_HEADINGS))]
    ]
    return comma_separated((*(column.name for column in OF_A_RUN), *FIGURE_HEADINGS, *PROTOCOL_HEADINGS), rows)


def _facts(runs: Sequence[Run]) -> list[Row]:
    """What each run is and took; what is plain without saying is left out."""
    plain = set() if any(run.problem for run in runs) else {"state"}
    if len({run.hardware for run in runs}) < 2:
        plain.add("hardware")
    return [Row(fact.heading, [fact.cell(run) for run in runs]) for fact in FACTS if fact.heading not in plain]


def _block(protocol: Protocol, last: Sequence[Measurement | None]) -> Block:
    taken = {name for measurement in last if measurement for name in measurement.figures}
    rows = [
        Row(measure.title, [ABSENT if m is None else m.text_of(measure) for m in last])
        for measure in protocol.measures
        if measure.name in taken
    ]
    when = Row("measured after epoch", [ABSENT if m is None else _when(m) for m in last])
    if protocol.of_samples:
        return Block(str(protocol), [*rows, when])
    # All discriminators are validated after each epoch.
    differ = len({m.epoch for m in last if m}) > 1
    return Block(str(protocol), [*rows, *([when._replace(name="after epoch")] if differ else [])])


def _when(measurement: Measurement) -> str:
    return str(measurement.epoch) if measurement.epoch else measurement.checkpoint or "the last"


def _experiments(runs: Sequence[Run]) -> dict[str, list[Run]]:
    """The seeds of each experiment that has several, by label, of the runs that ended well."""
    found: dict[str, list[Run]] = defaultdict(list)
    for run in runs:
        if run.summary.seed is not None and run.problem is None:
            found[run.experiment].append(run)
    newest = {label: newest_of_each_seed(same)[0] for label, same in sorted(found.items())}
    return {label: seeds for label, seeds in newest.items() if len(seeds) > 1}


def _over_seeds(measure: Measure, protocol: Protocol, seeds: Sequence[Run]) -> str:
    """`4.00 ± 0.31`, with the number of seeds where some have no figure."""
    last = [run.last(protocol) for run in seeds]
    known = [m.figures[measure.name] for m in last if m and measure.name in m.figures]
    if len(known) < 2:
        return ABSENT
    over_seeds = estimate(known)
    plain = Measure(measure.name, measure.noun, unit=measure.unit)  # other measures have something else beside them
    text = plain.with_spread(over_seeds.mean, over_seeds.standard_deviation or 0.0)
    return text if len(known) == len(seeds) else f"{text} (of {count_of(len(known), 'seed')})"


def _tables(data_set: str, runs: Sequence[Run], layout: Layout, words: Callable[[str], str]) -> list[str]:
    parts = [words(f"GANs on {data_set}: {count_of(len(runs), 'run')}")]
    labels, over_seeds = seed_table(runs)
    parts += _turned("run", [run.label for run in runs], blocks(runs), layout, words)
    if labels:
        parts += [words(OVER_SEEDS), *_turned("experiment", labels, over_seeds, layout, words)]
    notes = [f"Damaged and left out: {run.label}: {problem}" for run in runs for problem in run.unread]
    return [*parts, *map(words, notes), words(explanation(runs))]


def _turned(
    kind: str, labels: Sequence[str], found: Sequence[Block], layout: Layout, words: Callable[[str], str]
) -> list[str]:
    """The titles and tables of blocks, with a line for each label that has any cell."""
    parts = []
    for block in found:
        known = [number for number in range(len(labels)) if any(row.cells[number] != ABSENT for row in block.rows)]
        rows = [row for row in block.rows if row.name != NETWORKS]  # with which each label begins
        headings = [kind, *(_in_two_lines(row.name) for row in rows)]
        lines = [[labels[number], *(row.cells[number] for row in rows)] for number in known]
        parts += [*([words(block.title)] if block.title else []), layout(headings, lines)]
    return parts


def _in_two_lines(name: str) -> str:
    """The name with a line break at the space nearest to its middle."""
    spaces = [at for at, letter in enumerate(name) if letter == " "]
    if not spaces or len(name) < 12:
        return name
    middle = min(spaces, key=lambda at: abs(at - len(name) / 2))
    return f"{name[:middle]}\n{name[middle + 1 :]}"


def _figures(run: Run) -> Iterator[list[object]]:
    for measurement in run.measurements:
        protocol, space = measurement.protocol, measurement.protocol.space
        pixels = "pixels" if protocol.of_samples else None
        named = [space.name, space.network, space.identity] if space else [pixels, None, None]
        taken = [*named, protocol.split, protocol.real_split, protocol.real_images, protocol.samples]
        for name, value in measurement.figures.items():
            yield [name, value, measurement.epoch, measurement.checkpoint, *taken]
