"""Columns of metrics.csv that only the page reads: those that the learning curves leave out."""

import csv
import math
import statistics
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

from comparison.curves import ACCURACY_COLUMN, moments
from comparison.groups import Group

COLUMNS = (
    *("train/acc1", "val/acc1", "train/loss", "val/loss", "train/color_selectivity"),
    *("gradients/first_layer", "gradients/last_layer", "gradients/first_to_last"),
)
END_OF_TRAINING = 0.1

ByEpoch = dict[float, list[float]]
RunMeasurements = dict[str, ByEpoch]
"""Finite values of each column that a run has, by the point of the learning curve that follows: epochs trained."""


def measurements_of(groups: Sequence[Group]) -> tuple[list[list[RunMeasurements]], list[str]]:
    """The measurements of each group's runs, and what could not be read; a run without files has none."""
    problems: list[str] = []
    found = []
    for group in groups:
        of_runs = []
        for run in group.runs:
            try:
                of_runs.append(read_measurements(run.directory / "metrics.csv"))
            except ValueError as error:
                problems.append(f"{run.directory.as_posix()}: {error}")
        found.append(of_runs)
    return found, problems


def read_measurements(path: Path) -> RunMeasurements:
    """The `COLUMNS` of a metrics.csv.

    Raises:
        ValueError: It cannot be read, or holds something else than numbers.
    """
    if not path.is_file():
        return {}
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return _by_epoch(csv.reader(file))
    except (OSError, csv.Error, ValueError, OverflowError, IndexError) as error:
        raise ValueError(f"{path.name} cannot be read: it lacks a step or holds something else than numbers") from error


def at_the_end(by_epoch: ByEpoch) -> float | None:
    """Mean over the last tenth of the epochs, one point of the learning curve at least; single batches are noisy."""
    if not by_epoch:
        return None
    before = (1 - END_OF_TRAINING) * max(by_epoch)
    return statistics.fmean(value for epoch, values in by_epoch.items() if epoch > before for value in values)


def mean_at_the_end(runs: Sequence[RunMeasurements], column: str) -> float | None:
    """Mean over the seeds of a column at the end of the training; None where no run has it."""
    values = [value for run in runs if (value := at_the_end(run.get(column, {}))) is not None]
    return statistics.fmean(values) if values else None


def _by_epoch(rows: Iterator[list[str]]) -> RunMeasurements:
    header = next(rows, [])
    if not header:
        return {}
    at = {column: header.index(column) for column in COLUMNS if column in header}
    step_at, epoch_at, accuracy_at = header.index("step"), header.index("epoch"), at.get(ACCURACY_COLUMN)
    values: dict[str, list[tuple[int, float]]] = {column: [] for column in at}
    last_steps: dict[int, int] = {}
    validations: set[tuple[int, int]] = set()
    for row in filter(None, rows):
        step = int(float(row[step_at]))
        if row[epoch_at]:
            epoch = int(float(row[epoch_at]))
            last_steps[epoch] = max(last_steps.get(epoch, 0), step)
            if accuracy_at is not None and row[accuracy_at]:
                validations.add((epoch, step))
        for column, place in at.items():
            if row[place] and math.isfinite(value := float(row[place])):
                values[column].append((step, value))
    # What is logged within an epoch has a step and no epoch.
    points = [(step, trained) for trained, _, step in moments(last_steps, validations)]
    found: RunMeasurements = {}
    for column, measured in values.items():
        by_epoch: ByEpoch = defaultdict(list)
        for step, value in measured:
            if (place := bisect_left(points, (step,))) < len(points):
                by_epoch[points[place][1]].append(value)
        if by_epoch:
            found[column] = dict(by_epoch)
    return found
