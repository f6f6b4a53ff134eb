"""Learning curves: what a run logged, reduced to one point a validation, and several seeds joined into one band."""

import math
import statistics
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from records.layout import METRICS
from records.metrics import ACCURACY, LOSS, POSITION, Metrics, metrics_of, read_metrics

COLUMNS = (
    *("train/acc1", ACCURACY, LOSS, "val/loss", "train/color_selectivity"),
    *("gradients/first_layer", "gradients/last_layer", "gradients/first_to_last"),
)
"""What the page reads besides the learning curves."""
END_OF_TRAINING = 0.1

ByEpoch = dict[float, list[float]]
RunMetrics = dict[str, ByEpoch]
"""Finite values of each column that a run has, by the point of the learning curve that follows: epochs trained."""
Point = TypeVar("Point")


@dataclass(frozen=True)
class CurvePoint:
    """State of a run at a validation, or at the end of an epoch without one; None where nothing was logged.

    Attributes:
        epoch: Epochs that were trained: 1 at the end of the first, 0.5 at a validation in its middle.
        images_seen: Training images until then, repetitions included.
        accuracy: Fraction of the validation images.
        train_loss: Mean since the point before.
    """

    epoch: float
    images_seen: int
    accuracy: float | None
    train_loss: float | None

    @property
    def epoch_index(self) -> int:
        """The epoch that it lies in, counted from 0."""
        return math.ceil(self.epoch) - 1


@dataclass(frozen=True)
class BandPoint:
    """Mean, minimum and maximum over the seeds after so many epochs."""

    epoch: float
    images_seen: float
    seconds: float
    mean: float
    low: float
    high: float


def read_curve(path: Path) -> tuple[CurvePoint, ...]:
    """Read metrics.csv into one point a validation.

    Of several at one step the last counts; the training loss is the mean over the rows since the point before, because
    single batches are too noisy to compare.

    Raises:
        ValueError: If the file is missing, empty, torn or not a table of numbers.
    """
    return _points(read_metrics(path, (*POSITION, ACCURACY)))


def curve_of(rows: Iterable[Mapping[str, object]], name: str) -> tuple[CurvePoint, ...]:
    """Like `read_curve`, of rows that another source than metrics.csv holds.

    Args:
        rows: Values by the columns of metrics.csv; None, or a column that is not there, is an empty cell.
        name: What to call the rows where they are damaged.

    Raises:
        ValueError: If a row holds something else than numbers.
    """
    return _points(metrics_of(rows, (*POSITION, ACCURACY, LOSS), name))


def best_point(curve: Sequence[CurvePoint]) -> CurvePoint | None:
    """The first of the points with the highest accuracy; None if no point has one."""
    measured = [point for point in curve if point.accuracy is not None]
    return max(measured, key=lambda point: point.accuracy or 0.0, default=None)


def _points(metrics: Metrics) -> tuple[CurvePoint, ...]:
    name, header = metrics.name, metrics.columns
    epoch_at, step_at, images_at, accuracy_at = (header.index(column) for column in (*POSITION, ACCURACY))
    loss_at = header.index(LOSS) if LOSS in header else None
    last_steps: dict[int, int] = {}
    accuracies: dict[tuple[int, int], float] = {}
    losses: dict[int, list[tuple[int, float]]] = {}
    images_per_step = 0.0
    for line, row in enumerate(metrics.rows, start=2):
        if not row[epoch_at]:  # logged between epochs, such as a learning rate
            continue
        try:
            epoch, step = int(float(row[epoch_at])), int(float(row[step_at]))
            last_steps[epoch] = max(last_steps.get(epoch, 0), step)
            if row[images_at]:
                images_per_step = float(row[images_at]) / (step + 1)
                if not math.isfinite(images_per_step):
                    raise ValueError("not a count of images")
            if row[accuracy_at]:
                accuracies[epoch, step] = float(row[accuracy_at])
            if loss_at is not None and row[loss_at]:
                losses.setdefault(epoch, []).append((step, float(row[loss_at])))
        except (ValueError, ArithmeticError) as error:
            raise ValueError(f"line {line} of {name} holds something else than numbers") from error
    points: list[CurvePoint] = []
    before = -1
    try:
        for trained, epoch, step in moments(last_steps, accuracies):
            points.append(
                CurvePoint(
                    epoch=trained,
                    # Not every row says how many images were seen, but every row has its step.
                    images_seen=round(images_per_step * (step + 1)),
                    accuracy=_finite(accuracies.get((epoch, step))),
                    train_loss=_mean([loss for at, loss in losses.get(epoch, []) if before < at <= step]),
                )
            )
            before = step
    except OverflowError as error:
        raise ValueError(f"{name} holds numbers beyond all measure") from error
    return tuple(points)


def moments(last_steps: Mapping[int, int], validations: Iterable[tuple[int, int]]) -> Iterator[tuple[float, int, int]]:
    """What becomes a point: the ends of the epochs, and the validations within.

    Args:
        last_steps: Last step of each epoch; both are counted from 0.
        validations: Epoch and step of each.

    Yields:
        Epochs that were trained until then, the epoch that it lies in, and the step.
    """
    within: dict[int, set[int]] = {epoch: {step} for epoch, step in last_steps.items()}
    for epoch, step in validations:
        within[epoch].add(step)
    start = -1
    for epoch, end in sorted(last_steps.items()):
        steps = sorted(within[epoch])
        start = min(start, steps[0] - 1)  # steps of a damaged file may go back
        for step in steps:
            yield epoch + 1 if step == end else epoch + (step - start) / (end - start), epoch, step
        start = end


def join_seeds(
    curves: Sequence[tuple[CurvePoint, ...]], seconds: Sequence[float], quantity: str
) -> tuple[BandPoint, ...]:
    """Join the curves of several seeds, at the points which all of them logged.

    A seed that stopped early would otherwise move the mean by its absence.

    Args:
        curves: One curve per seed.
        seconds: Wall time of each whole run, in seconds; it is spread evenly over the images seen.
        quantity: "accuracy" or "train_loss".
    """
    by_epoch = [{p.epoch: p for p in curve if getattr(p, quantity) is not None} for curve in curves]
    shared = set(by_epoch[0]).intersection(*by_epoch[1:])
    images_seen = statistics.fmean(curve[-1].images_seen if curve else 0 for curve in curves)
    seconds_per_image = statistics.fmean(seconds) / images_seen if seconds and images_seen else 0.0
    band = []
    for epoch in sorted(shared):
        values = [getattr(points[epoch], quantity) for points in by_epoch]
        images = statistics.fmean(points[epoch].images_seen for points in by_epoch)
        mean = statistics.fmean(values)
        band.append(BandPoint(epoch, images, images * seconds_per_image, mean, min(values), max(values)))
    return tuple(band)


def read_by_epoch(directory: Path) -> RunMetrics:
    """The `COLUMNS` of a run's metrics.csv; nothing where there is none.

    Raises:
        ValueError: It cannot be read, or holds something else than numbers.
    """
    path = directory / METRICS
    if not path.exists():
        return {}
    metrics = read_metrics(path, ("epoch", "step"))
    numbers = {column: metrics.numbers(column) for column in ("epoch", "step", *COLUMNS) if column in metrics.columns}
    last_steps: dict[int, int] = {}
    validations: set[tuple[int, int]] = set()
    nothing = [None] * len(metrics.rows)
    for epoch, step, accuracy in zip(numbers["epoch"], numbers["step"], numbers.get(ACCURACY, nothing), strict=True):
        if epoch is not None and step is not None:
            last_steps[int(epoch)] = max(last_steps.get(int(epoch), 0), int(step))
            if accuracy is not None:
                validations.add((int(epoch), int(step)))
    # What is logged within an epoch has a step and no epoch.
    points = [(step, trained) for trained, _, step in moments(last_steps, validations)]
    found: RunMetrics = {}
    for column in COLUMNS:
        by_epoch: ByEpoch = defaultdict(list)
        for step, value in zip(numbers["step"], numbers.get(column, nothing), strict=True):
            if step is None or value is None or not math.isfinite(value):
                continue
            if (at := bisect_left(points, (step,))) < len(points):
                by_epoch[points[at][1]].append(value)
        if by_epoch:
            found[column] = dict(by_epoch)
    return found


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


def thin(points: Sequence[Point], limit: int) -> list[Point]:
    """At most `limit` points, evenly spaced, with the first and the last."""
    if len(points) <= limit:
        return list(points)
    return [points[round(i * (len(points) - 1) / (limit - 1))] for i in range(limit)]


def _mean(values: Sequence[float]) -> float | None:
    finite = [value for value in values if math.isfinite(value)]
    # An epoch in which a loss was infinite has no mean.
    return statistics.fmean(finite) if finite and len(finite) == len(values) else None


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
