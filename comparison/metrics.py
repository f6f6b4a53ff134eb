"""Columns of metrics.csv that only the page reads: those that the learning curves leave out."""

import csv
import math
import statistics
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

from comparison.curves import ACCURACY_COLUMN, moments

COLUMNS = (
    *("train/acc1", "val/acc1", "train/loss", "val/loss", "train/color_selectivity"),
    *("gradients/first_layer", "gradients/last_layer", "gradients/first_to_last"),
)
END_OF_TRAINING = 0.1

ByEpoch = dict[float, list[float]]
RunMetrics = dict[str, ByEpoch]
"""Finite values of each column that a run has, by the point of the learning curve that follows: epochs trained."""


def read_metrics(directory: Path) -> RunMetrics:
    """The `COLUMNS` of a run's metrics.csv; nothing where there is none.

    Raises:
        ValueError: It cannot be read, or holds something else than numbers.
    """
    path = directory / "metrics.csv"
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


def mean_at_the_end(runs: Sequence[RunMetrics], column: str) -> float | None:
    """Mean over the seeds of a column at the end of the training; None where no run has it."""
    values = [value for run in runs if (value := at_the_end(run.get(column, {}))) is not None]
    return statistics.fmean(values) if values else None


def _by_epoch(rows: Iterator[list[str]]) -> RunMetrics:
    header = next(rows, [])
    if not header:
        return {}
    cell_of = {column: header.index(column) for column in COLUMNS if column in header}
    step_at, epoch_at, accuracy_at = header.index("step"), header.index("epoch"), cell_of.get(ACCURACY_COLUMN)
    values: dict[str, list[tuple[int, float]]] = {column: [] for column in cell_of}
    last_steps: dict[int, int] = {}
    validations: set[tuple[int, int]] = set()
    for row in filter(None, rows):
        step = int(float(row[step_at]))
        if row[epoch_at]:
            epoch = int(float(row[epoch_at]))
            last_steps[epoch] = max(last_steps.get(epoch, 0), step)
            if accuracy_at is not None and row[accuracy_at]:
                validations.add((epoch, step))
        for column, cell in cell_of.items():
            if row[cell] and math.isfinite(value := float(row[cell])):
                values[column].append((step, value))
    # What is logged within an epoch has a step and no epoch.
    points = [(step, trained) for trained, _, step in moments(last_steps, validations)]
    found: RunMetrics = {}
    for column, measured in values.items():
        by_epoch: ByEpoch = defaultdict(list)
        for step, value in measured:
            if (at := bisect_left(points, (step,))) < len(points):
                by_epoch[points[at][1]].append(value)
        if by_epoch:
            found[column] = dict(by_epoch)
    return found
