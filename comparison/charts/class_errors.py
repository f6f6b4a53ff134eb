"""Which classes does each get wrong, and what does it take them for? From what ClassErrors leaves in a run."""

import json
import statistics
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from comparison.charts.album import Album, Embedded
from comparison.groups import Group
from comparison.summary import printable
from comparison.units import human_percent

FILE = "class_errors.json"
PICTURE = Path("pictures", "most_confused.png")
FORMAT = 1
CLASSES = 20
PAIRS = 3
PICTURES_OF_A_PAIR = 3

Pair = tuple[str, str]
"""Two classes, whichever was taken for the other."""


class Mistake(NamedTuple):
    """An image that was taken for another class, and where the run's picture shows it."""

    label: str
    predicted: str
    probability: float
    place: tuple[int, int, int, int] | None

    @property
    def spoken(self) -> str:
        """What a screen reader says of the image."""
        return f"An image of {self.label}, taken for {self.predicted} with {self.probability:.0%}"


@dataclass(frozen=True)
class RunErrors:
    """Images of each class, those of them that were taken for another, how often each pair was confused, examples."""

    directory: Path
    images: dict[str, int]
    wrong: dict[str, int]
    confused: dict[Pair, int]
    mistakes: tuple[Mistake, ...]


@dataclass(frozen=True)
class GroupErrors:
    """The runs of a group that have such a record."""

    label: str
    position: int
    runs: tuple[RunErrors, ...]

    def error(self, name: str) -> float | None:
        """Share of a class's images that are taken for another, as a mean over the seeds."""
        shares = [run.wrong[name] / run.images[name] for run in self.runs if run.images.get(name)]
        return statistics.fmean(shares) if shares else None

    def confused(self) -> list[tuple[Pair, float]]:
        """Pairs of classes and how many images they were confused in, as a mean over the seeds, the most first."""
        return _ranked((run.confused for run in self.runs), len(self.runs))


class ConfusedPair(NamedTuple):
    """A line of the page: a pair, how often, and pictures of it."""

    names: Pair
    images: str
    pictures: list[tuple[Embedded, Mistake]]


def class_errors_of(groups: Sequence[Group]) -> tuple[list[GroupErrors], list[str]]:
    """The records of each group's runs on the validation images, and what could not be read."""
    problems: list[str] = []
    found = []
    for position, group in enumerate(groups):
        runs = []
        for run in group.runs:
            try:
                if (record := read_class_errors(run.directory)) is not None:
                    runs.append(record)
            except ValueError as error:
                problems.append(f"{run.directory.as_posix()}: {error}")
        if runs:
            found.append(GroupErrors(group.label, position, tuple(runs)))
    return found, problems


def read_class_errors(directory: Path) -> RunErrors | None:
    """The record of one run; None if it has none of its validation.

    Raises:
        ValueError: It is damaged, or of another version.
    """
    path = directory / FILE
    if not path.is_file():
        return None
    try:
        record = json.loads(path.read_bytes())
        if record["format"] != FORMAT:
            raise ValueError(f"{FILE} is of format {record['format']}, which this version cannot read")
        return _run_errors(directory, record) if record["split"] == "val" else None
    except (OSError, json.JSONDecodeError, UnicodeDecodeError, LookupError, TypeError, AttributeError) as error:
        raise ValueError(f"{FILE} cannot be read") from error


def hardest_classes(errors: Sequence[GroupErrors]) -> list[str]:
    """All classes in their order, or of many those with the largest errors on average over the groups, these first."""
    names = list(dict.fromkeys(name for group in errors for run in group.runs for name in run.images))
    if len(names) <= CLASSES:
        return names
    return sorted(names, key=lambda name: -_mean_error(errors, name))[:CLASSES]


def heat_rows(errors: Sequence[GroupErrors], names: Sequence[str]) -> list[tuple[str, list[tuple[str, float]]]]:
    """For each class a cell for each group: the error as text, and as a share of the largest in the table."""
    table = [[group.error(name) for group in errors] for name in names]
    largest = max((error for row in table for error in row if error is not None), default=0.0) or 1.0
    return [
        (name, [(human_percent(error, 1), round((error or 0.0) / largest, 3)) for error in row])
        for name, row in zip(names, table, strict=True)
    ]


def errors_answer(errors: Sequence[GroupErrors], names: Sequence[str]) -> str:
    """The hardest class and the pair that is confused most, on average over the groups."""
    hardest = max(names, key=lambda name: _mean_error(errors, name))
    pairs = _ranked((dict(group.confused()) for group in errors), len(errors))
    if not pairs:
        return "None: no image was taken for another class."
    (one, other), _ = pairs[0]
    return (
        f"The hardest class is {hardest}, with {human_percent(_mean_error(errors, hardest), 1)} of its images wrong on "
        f"average; {one} and {other} are confused most."
    )


def confused_pairs(group: GroupErrors, album: Album) -> tuple[list[ConfusedPair], list[str]]:
    """The pairs that a group confuses most, with pictures where a run has them, and what could not be read."""
    problems = []
    pairs = []
    for pair, count in group.confused()[:PAIRS]:
        pictures: list[tuple[Embedded, Mistake]] = []
        for run in group.runs:
            shown = [m for m in run.mistakes if m.place and _pair(m.label, m.predicted) == pair][:PICTURES_OF_A_PAIR]
            if not shown or pictures:
                continue
            try:
                parts = album.parts(run.directory / PICTURE, [m.place for m in shown if m.place])
                pictures = [(part, mistake) for part, mistake in zip(parts, shown, strict=True) if part]
            except ValueError as error:
                problems.append(f"{run.directory.as_posix()}: {error}")
        pairs.append(ConfusedPair(pair, f"{count:.1f}".removesuffix(".0"), pictures))
    return pairs, problems


def _run_errors(directory: Path, record: dict[str, Any]) -> RunErrors:
    names = record["class_names"]

    def name_of(label: int) -> str:
        return printable(str(names[label])) if names else str(label)

    images: dict[str, int] = defaultdict(int)
    wrong: dict[str, int] = defaultdict(int)
    confused: dict[Pair, int] = defaultdict(int)
    for label, predicted, count in record["counts"]:
        if count < 1:
            raise ValueError(f"{FILE} holds a count of {count}")
        name = name_of(label)
        images[name] += count
        if label != predicted:
            wrong[name] += count
            confused[_pair(name, name_of(predicted))] += count
    mistakes = tuple(
        Mistake(
            name_of(mistake["label"]),
            name_of(mistake["predicted"]),
            float(mistake["probability"]),
            tuple(map(int, mistake["place"])) if mistake["place"] else None,  # type: ignore[arg-type]
        )
        for mistake in record["mistakes"]
    )
    return RunErrors(directory, images, wrong, confused, mistakes)


def _pair(one: str, other: str) -> Pair:
    return (one, other) if one <= other else (other, one)


def _ranked(counts: Iterable[dict[Pair, Any]], members: int) -> list[tuple[Pair, float]]:
    total: dict[Pair, float] = defaultdict(float)
    for of_one in counts:
        for pair, count in of_one.items():
            total[pair] += count / members
    return sorted(total.items(), key=lambda item: (-item[1], item[0]))


def _mean_error(errors: Sequence[GroupErrors], name: str) -> float:
    known = [error for group in errors if (error := group.error(name)) is not None]
    return statistics.fmean(known) if known else 0.0
