"""Groups: runs which differ in nothing but their seed, with a label that tells each group from its neighbors."""

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from comparison.generators.reading import read_generators
from comparison.generators.records import GeneratorRun
from comparison.labels import distinguish
from comparison.runs import Run, UnreadableRun
from comparison.sources.csv_files import CsvFile
from comparison.sources.reading import EVERYTHING, read_runs
from comparison.sources.selection import Selection
from comparison.statistics import Estimate, estimate_accuracy

MOST_TELLING_SECTIONS = ("model", "data", "trainer")


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
    last: float | None

    @property
    def example(self) -> Run:
        """The run that stands for what all of them share."""
        return self.runs[0]

    @property
    def seeds(self) -> list[int]:
        """The seeds in rising order."""
        return sorted(run.seed for run in self.runs if run.seed is not None)

    def mean(self, quantity: str) -> float | None:
        """Mean of a number of the runs, over those that recorded it."""
        values = [value for run in self.runs if (value := getattr(run, quantity)) is not None]
        return sum(values) / len(values) if values else None


@dataclass(frozen=True)
class Comparison:
    """All that was found: groups by data set, the runs that do not count, and by data set the GANs."""

    groups: dict[str, list[Group]]
    left_out: list[Run]
    unreadable: list[UnreadableRun]
    generators: dict[str, list[GeneratorRun]] = field(default_factory=dict)

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
    paths = list(paths)
    runs, unreadable = read_runs(paths, selection, csv_files)
    generators, damaged = read_generators(paths, selection)
    left_out = [run for run in runs if run.problem is not None]
    return Comparison(group_runs(runs), left_out, [*unreadable, *damaged], generators)


def group_runs(runs: Iterable[Run]) -> dict[str, list[Group]]:
    """Group the runs that count by data set, architecture and configuration without its seed.

    Returns:
        The groups of each data set, the most accurate first.
    """
    members: dict[tuple[str, str, str], list[Run]] = defaultdict(list)
    for run in runs:
        if run.problem is None:
            members[run.data.name, run.architecture, _fingerprint(run)].append(run)
    by_data: dict[str, list[Group]] = defaultdict(list)
    for (data, architecture, _), same in sorted(members.items()):
        by_data[data].append(_group(architecture, same))
    return {
        data: sorted(_label(groups), key=lambda group: (-group.best.mean, group.label))
        for data, groups in by_data.items()
    }


def _group(architecture: str, same: Sequence[Run]) -> Group:
    newest_first = sorted(same, key=lambda run: (run.started or "", run.directory.name), reverse=True)
    seeds: set[int] = set()
    runs: list[Run] = []
    repeats: list[Run] = []
    for run in newest_first:
        (repeats if run.seed in seeds else runs).append(run)
        if run.seed is not None:
            seeds.add(run.seed)
    runs.sort(key=lambda run: (run.seed is None, run.seed))
    last = [run.last_accuracy for run in runs if run.last_accuracy is not None]
    return Group(
        label=architecture,
        architecture=architecture,
        runs=tuple(runs),
        repeats=tuple(repeats),
        best=estimate_accuracy(
            [run.best_accuracy for run in runs if run.best_accuracy is not None], runs[0].data.val_images
        ),
        last=sum(last) / len(last) if last else None,
    )


def _fingerprint(run: Run) -> str:
    return hashlib.sha256(json.dumps(sorted(run.configuration.items())).encode()).hexdigest()


def _label(groups: Sequence[Group]) -> list[Group]:
    """Name the groups of one data set: the architecture, and what sets it apart if it occurs more than once."""
    by_architecture: dict[str, list[Group]] = defaultdict(list)
    for group in groups:
        by_architecture[group.architecture].append(group)
    labeled = []
    for same in by_architecture.values():
        differences = distinguish([group.example.configuration for group in same], MOST_TELLING_SECTIONS)
        labels = [
            f"{group.architecture} ({difference})" if difference else group.architecture
            for group, difference in zip(same, differences, strict=True)
        ]
        for number, (group, label) in enumerate(zip(same, labels, strict=True), start=1):
            ambiguous = labels.count(label) > 1
            labeled.append(replace(group, label=f"{label} #{number}" if ambiguous else label))
    return labeled
