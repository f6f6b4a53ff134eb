"""Groups: runs which differ in nothing but their seed, with a label that tells each group from its neighbors."""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from comparison.configuration import Selection
from comparison.runs import Run, UnreadableRun
from comparison.sources import EVERYTHING, read_runs
from comparison.sources.csv_files import CsvFile
from comparison.statistics import Estimate, estimate
from records.config import Published
from records.record import printable

TEST, VALIDATION = "test", "validation"
DIFFERENCES_IN_A_LABEL = 2
# What tells two configurations of one architecture apart, from what tells most; a GAN's as a reader of papers would.
MOST_TELLING = ("model", "data", "trainer")
OBJECTIVE = "model.init_args.objective"  # its values say what they are
MOST_TELLING_OF_GANS = (
    OBJECTIVE,
    *(f"model.init_args.{name}" for name in ("conditional", "labels_per_class", "feature_matching")),
    *(f"model.init_args.stabilizers.{name}" for name in ("gradient_penalty", "weight_clip", "r1")),
    *(f"model.init_args.{name}" for name in ("gradient_penalty", "weight_clip", "r1", "network_options")),
    *("trainer.max_epochs", "trainer.limit_train_batches", "data.init_args.batch_size"),
    *("model.init_args.generator_optimizer", "model.init_args.discriminator_optimizer", "model", "data", "trainer"),
)
# They draw, measure and save, and change nothing of a GAN's training.
NOT_TELLING_OF_GANS = ("trainer.callbacks.", "trainer.limit_val_batches", "trainer.limit_test_batches", "throughput.")


@dataclass(frozen=True)
class Group:
    """Runs of one configuration, one a seed; `label` is unique within its data set.

    `repeats` are older runs with a seed that a newer run has too. They do not count: a second run with the same seed
    tells nothing about the spread over seeds.
    """

    label: str
    architecture: str
    runs: tuple[Run, ...]
    repeats: tuple[Run, ...]
    best: Estimate
    tested: Estimate | None = None
    headline: str = VALIDATION

    @property
    def accuracy(self) -> Estimate:
        """What groups of a data set are ordered by: on test images where all of them have it, else the best epoch's."""
        return self.tested if self.headline == TEST and self.tested else self.best

    @property
    def accuracies(self) -> dict[int, float]:
        """The same of each seed; empty if a seed is not known."""
        found = {run.summary.seed: _accuracy(run, self.headline) for run in self.runs}
        return {seed: value for seed, value in found.items() if seed is not None and value is not None}

    @property
    def split(self) -> str:
        """The split that the accuracy is of, as records call it."""
        return TEST if self.headline == TEST else "val"

    @property
    def images(self) -> int:
        """How many images the accuracy of each seed is of."""
        return (self.example.data.test_images or 0) if self.headline == TEST else self.example.data.val_images

    @property
    def last(self) -> float | None:
        """Accuracy in the last epoch, as a mean over the seeds."""
        return self.mean("last_accuracy")

    @property
    def example(self) -> Run:
        """The run that stands for what all of them share."""
        return self.runs[0]

    @property
    def published(self) -> Published | None:
        """What the recipe was published with, of the first run whose config says so."""
        return next((figure for run in self.runs if (figure := run.published)), None)

    @property
    def seeds(self) -> list[int]:
        """The seeds in rising order."""
        return sorted(run.summary.seed for run in self.runs if run.summary.seed is not None)

    def mean(self, quantity: str) -> float | None:
        """Mean of a number of the runs' summaries, over those that recorded it; None if none did."""
        values = [value for run in self.runs if (value := getattr(run.summary, quantity)) is not None]
        return sum(values) / len(values) if values else None


@dataclass(frozen=True)
class Comparison:
    """All that was found: groups by data set, the runs that do not count, and by data set the GANs."""

    groups: dict[str, list[Group]]
    left_out: list[Run]
    unreadable: list[UnreadableRun]
    gans: dict[str, list[Run]] = field(default_factory=dict)

    @property
    def excluded(self) -> list[Run | UnreadableRun]:
        """Every run that does not count."""
        return [*self.left_out, *self.unreadable]

    @property
    def data_sets(self) -> list[str]:
        """Names of the data sets, those with runs that count first."""
        return [*self.groups, *sorted({run.data.name for run in self.left_out} - set(self.groups))]


def compare(
    paths: Iterable[Path | str], selection: Selection = EVERYTHING, csv_files: Sequence[CsvFile] = ()
) -> Comparison:
    """Read and group all runs at or below the paths.

    Args:
        paths: As `read_runs` takes them.
        selection: Which of the runs are wanted.
        csv_files: Learning curves of other tools.

    Raises:
        ValueError: If there is nothing at a path, or a server cannot be asked.
    """
    runs, unreadable = read_runs(paths, selection, csv_files)
    classifiers = [run for run in runs if not run.is_gan]
    left_out = [run for run in classifiers if run.problem is not None]
    return Comparison(group_runs(classifiers), left_out, unreadable, label_gans(run for run in runs if run.is_gan))


def group_runs(runs: Iterable[Run]) -> dict[str, list[Group]]:
    """Group the runs that count by data set, architecture and configuration without its seed.

    Returns:
        The groups of each data set, the most accurate first.
    """
    members: dict[tuple[str, str], dict[tuple[Any, ...], list[Run]]] = defaultdict(lambda: defaultdict(list))
    for run in runs:
        if run.problem is None:
            configuration = tuple(sorted(run.configuration.items()))
            members[run.data.name, run.architecture][configuration].append(run)
    by_data: dict[str, list[Group]] = defaultdict(list)
    for (data, architecture), by_configuration in sorted(members.items()):
        labels = _numbered(_labels(architecture, list(map(dict, by_configuration)), MOST_TELLING))
        by_data[data] += map(_group, labels, by_configuration.values())
    found = {}
    for data, groups in by_data.items():
        headline = TEST if all(group.tested for group in groups) else VALIDATION
        named = [replace(group, headline=headline) for group in groups]
        found[data] = sorted(named, key=lambda group: (-group.accuracy.mean, group.label))
    return found


def label_gans(runs: Iterable[Run]) -> dict[str, list[Run]]:
    """Name the GANs of each data set: their networks, what sets them apart from others of the same, and the seed.

    Returns:
        The runs by data set, in the order of their labels, each of which is unique. Unlike the runs of a group, each
        stands for itself, for its samples cannot be averaged.
    """
    members: dict[tuple[str, str], list[Run]] = defaultdict(list)
    for run in sorted(runs, key=lambda run: run.directory.as_posix()):
        members[run.data.name, run.architecture].append(run)
    by_data: dict[str, list[Run]] = defaultdict(list)
    for (data, networks), same in sorted(members.items()):
        configurations = [
            {path: value for path, value in run.configuration.items() if not path.startswith(NOT_TELLING_OF_GANS)}
            for run in same
        ]
        experiments = _labels(networks, configurations, MOST_TELLING_OF_GANS, (OBJECTIVE,))
        seeds = defaultdict(set)
        for run, experiment in zip(same, experiments, strict=True):
            seeds[experiment].add(run.summary.seed)
        labels = [
            f"{experiment}, seed {run.summary.seed}"
            if len(seeds[experiment]) > 1 and run.summary.seed is not None
            else experiment
            for run, experiment in zip(same, experiments, strict=True)
        ]
        by_data[data] += [
            replace(run, experiment=experiment, label=label)
            for run, experiment, label in zip(same, experiments, _numbered(labels), strict=True)
        ]
    return {data: sorted(named, key=lambda run: run.label) for data, named in by_data.items()}


def newest_of_each_seed(runs: Iterable[Run]) -> tuple[list[Run], list[Run]]:
    """Of several runs with one seed the newest, by seed; and the others, which do not count."""
    seeds: set[int] = set()
    newest: list[Run] = []
    repeats: list[Run] = []
    for run in sorted(runs, key=lambda run: (run.summary.started or "", run.directory.name), reverse=True):
        (repeats if run.summary.seed in seeds else newest).append(run)
        if run.summary.seed is not None:
            seeds.add(run.summary.seed)
    return sorted(newest, key=lambda run: (run.summary.seed is None, run.summary.seed)), repeats


def _group(label: str, same: Sequence[Run]) -> Group:
    runs, repeats = newest_of_each_seed(same)
    accuracies = [run.summary.best_accuracy for run in runs if run.summary.best_accuracy is not None]
    best = estimate(accuracies, runs[0].data.val_images)
    tested = [accuracy for run in runs if (accuracy := _accuracy(run, TEST)) is not None]
    on_test = estimate(tested, runs[0].data.test_images) if len(tested) == len(runs) else None
    return Group(label, runs[0].architecture, tuple(runs), tuple(repeats), best, on_test)


def _accuracy(run: Run, headline: str) -> float | None:
    """An accuracy; on test images only if they did not choose the epoch."""
    if headline == VALIDATION:
        return run.summary.best_accuracy
    return run.summary.test_accuracy if run.data.selection_split != TEST and run.data.test_images else None


def _labels(
    architecture: str,
    configurations: Sequence[Mapping[str, str]],
    most_telling: Sequence[str],
    self_evident: Sequence[str] = (),
) -> list[str]:
    """A label for each configuration of an architecture: its name, and what sets it apart from the others."""
    differences = distinguish(configurations, most_telling, self_evident)
    return [f"{architecture} ({words})" if words else architecture for words in differences]


def _numbered(labels: Sequence[str]) -> list[str]:
    """The labels, with a number behind those that are not unique."""
    return [
        f"{label} #{labels[: at + 1].count(label)}" if labels.count(label) > 1 else label
        for at, label in enumerate(labels)
    ]


def distinguish(
    configurations: Sequence[Mapping[str, str]], most_telling: Sequence[str], self_evident: Sequence[str] = ()
) -> list[str]:
    """In what each configuration differs from the others, such as `objective hinge, lr 0.1, …`; empty if in nothing.

    No more differences are named than tell the configurations apart, and two at most; `…` stands for others.

    Args:
        configurations: As `path: value`.
        most_telling: Paths, or beginnings of paths, from what tells most; others come behind.
        self_evident: Paths whose values need no name.
    """
    paths = {path for configuration in configurations for path in configuration}
    differing = [path for path in paths if len({configuration.get(path) for configuration in configurations}) > 1]
    # What one of them does not know comes from another version of the code more often than from the experiment.
    differing.sort(key=lambda path: (any(path not in c for c in configurations), _rank(path, most_telling), path))
    shown = differing[: _enough(configurations, differing)]
    more = ["…"] * (len(differing) > len(shown))
    return [
        ", ".join([_in_words(path, c.get(path, "absent"), path in self_evident) for path in shown] + more)
        for c in configurations
    ]


def _enough(configurations: Sequence[Mapping[str, str]], differing: Sequence[str]) -> int:
    """How many of the differences tell the configurations apart as well as all do, within what a label has room for."""

    def kinds(paths: Sequence[str]) -> int:
        return len({tuple(configuration.get(path) for path in paths) for configuration in configurations})

    counts = range(min(DIFFERENCES_IN_A_LABEL, len(differing)))
    return next((n for n in counts if kinds(differing[:n]) == kinds(differing)), DIFFERENCES_IN_A_LABEL)


def _rank(path: str, most_telling: Sequence[str]) -> int:
    found = [rank for rank, section in enumerate(most_telling) if f"{path}.".startswith(f"{section}.")]
    return min(found, default=len(most_telling))


def _in_words(path: str, value: str, self_evident: bool) -> str:
    if self_evident:
        return _short_value(value).replace("_", " ")
    return f"{_short_key(path)} {_short_value(value)}"


def _short_key(path: str) -> str:
    """The last name in a path: `lr` of `model.init_args.optimizer.init_args.lr`."""
    names = [name for name in path.split(".") if not name.isdigit() and name not in ("class_path", "init_args")]
    return printable(names[-1] if names else path)


def _short_value(value: str) -> str:
    if re.fullmatch(r"-?\d+\.\d+(e-?\d+)?", value):
        return f"{float(value):.6g}"
    if re.fullmatch(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+", value):
        value = value.rpartition(".")[2]
    value = printable(value)
    return value if len(value) <= 24 else f"{value[:23]}…"
