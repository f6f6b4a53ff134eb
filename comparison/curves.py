"""Learning curves: what a run logged, reduced to one point a validation, and several seeds joined into one band."""

import math
import statistics
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from records.metrics import ACCURACY, LOSS, POSITION, Metrics, metrics_of, read_metrics

RATIO = "gradients/first_to_last"
AT_THE_END = (
    *("train/acc1", ACCURACY, LOSS, "val/loss", "train/color_selectivity"),
    *("gradients/first_layer", "gradients/last_layer"),
)
"""Columns whose values at the end of the training the page tells."""
END_OF_TRAINING = 0.1

NEEDED = (*POSITION, ACCURACY)
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


@dataclass(frozen=True)
class History:
    """What the metrics of a run come to.

    Attributes:
        curve: A point for each validation, and for the end of each epoch without one.
        at_the_end: Mean over the last tenth of the epochs, one point of the curve at least, of the columns that the
            run has; single batches are noisy.
        ratios: Gradient of the first layer over that of the last, by epochs trained, as a geometric mean since the
            point before.
    """

    curve: tuple[CurvePoint, ...] = ()
    at_the_end: Mapping[str, float] = field(default_factory=dict)
    ratios: Mapping[float, float] = field(default_factory=dict)

    @property
    def best(self) -> CurvePoint | None:
        """The first of the points with the highest accuracy; None if no point has one."""
        measured = [point for point in self.curve if point.accuracy is not None]
        return max(measured, key=lambda point: point.accuracy or 0.0, default=None)

    @property
    def last_accuracy(self) -> float | None:
        """The accuracy of the last point that has one."""
        return next((point.accuracy for point in reversed(self.curve) if point.accuracy is not None), None)


class Logged:
    """A table of metrics by the points of the learning curve.

    Args:
        metrics: The table, which has at least the columns `epoch` and `step`.

    Raises:
        ValueError: If a position is not a number.
    """

    def __init__(self, metrics: Metrics) -> None:
        self.metrics = metrics
        self.epochs, steps = _whole_numbers(metrics, "epoch"), _whole_numbers(metrics, "step")
        self.steps = {row: step for row, step in enumerate(steps) if step is not None}
        if len(self.steps) < len(steps):
            for row, epoch in enumerate(self.epochs):
                if epoch is not None and row not in self.steps:
                    raise metrics.damaged(row)
        # What has a step and no epoch, such as a learning rate, belongs to the next point; steps of a damaged file may
        # go back.
        self.rows = sorted(self.steps, key=self.steps.__getitem__)
        ordered = [self.steps[row] for row in self.rows]
        last_steps = dict(zip((self.epochs[row] for row in self.rows), ordered, strict=True))
        self.accuracies = {
            (epoch, self.steps[row]): accuracy
            for row, accuracy in enumerate(metrics.numbers(ACCURACY))
            if accuracy is not None and (epoch := self.epochs[row]) is not None
        }
        self.moments = list(moments({e: step for e, step in last_steps.items() if e is not None}, self.accuracies))
        self.ends = [bisect_right(ordered, step) for _, _, step in self.moments]

    def backward(self, column: str) -> Iterator[tuple[float, list[float]]]:
        """Epochs trained and values of a column since the point before, from the last point that has any to the first.

        Raises:
            ValueError: If one is not a number.
        """
        cells = self.metrics.column(column)
        ordered = [cells[row] for row in self.rows]
        for number, (trained, _, _) in reversed(list(enumerate(self.moments))):
            start = self.ends[number - 1] if number else 0
            if values := list(filter(None, ordered[start : self.ends[number]])):
                try:
                    yield trained, list(map(float, values))
                except ValueError:
                    self.metrics.numbers(column)  # which names the line
                    raise

    def curve(self) -> tuple[CurvePoint, ...]:
        """Of several validations at one step the last counts; single batches are too noisy, so losses are means.

        Raises:
            ValueError: If something else than numbers was logged.
        """
        losses = dict(self.backward(LOSS))
        images_per_step = self.images_per_step()
        try:
            return tuple(
                CurvePoint(
                    epoch=trained,
                    # Not every row says how many images were seen, but every row has its step.
                    images_seen=round(images_per_step * (step + 1)),
                    accuracy=_finite(self.accuracies.get((epoch, step))),
                    train_loss=_mean(losses.get(trained, ())),
                )
                for trained, epoch, step in self.moments
            )
        except OverflowError as error:
            raise ValueError(f"{self.metrics.name} holds numbers beyond all measure") from error

    def history(self) -> History:
        """All that the page tells of a run's metrics.

        Raises:
            ValueError: If something else than numbers was logged.
        """
        ends = {column: at_the_end(self.backward(column)) for column in AT_THE_END}
        positive = {epoch: [v for v in values if 0 < v < math.inf] for epoch, values in self.backward(RATIO)}
        ratios = {epoch: statistics.geometric_mean(values) for epoch, values in positive.items() if values}
        return History(self.curve(), {c: mean for c, mean in ends.items() if mean is not None}, ratios)

    def images_per_step(self) -> float:
        """Images of a step, by the last row that says how many were seen.

        Raises:
            ValueError: If it holds something else than numbers.
        """
        images = self.metrics.column("images_seen")
        known = (row for row in reversed(range(len(images))) if images[row] and self.epochs[row] is not None)
        if (row := next(known, None)) is None:
            return 0.0
        try:
            rate = float(images[row]) / (self.steps[row] + 1)
        except (ValueError, ZeroDivisionError) as error:
            raise self.metrics.damaged(row) from error
        if not math.isfinite(rate):
            raise self.metrics.damaged(row)
        return rate


def read_history(path: Path) -> History:
    """Read metrics.csv.

    Raises:
        ValueError: If the file is missing, empty, torn or not a table of numbers.
    """
    return Logged(read_metrics(path, NEEDED)).history()


def holds_accuracy(path: Path) -> bool:
    """Whether a metrics.csv holds an accuracy; of what was logged besides, only the characters are looked at.

    Raises:
        ValueError: As for `read_history`.
    """
    metrics = read_metrics(path, NEEDED, holding=ACCURACY)
    try:
        logged = Logged(metrics)
        logged.images_per_step()
        for column in (*POSITION, LOSS):
            metrics.numbers(column)
    except ValueError:
        read_history(path)  # which names the line
        raise
    return any(map(math.isfinite, logged.accuracies.values()))


def history_of(rows: Iterable[Mapping[str, object]], name: str) -> History:
    """The learning curve alone, of rows that another source than metrics.csv holds.

    Args:
        rows: Values by the columns of metrics.csv; None, or a column that is not there, is an empty cell.
        name: What to call the rows where they are damaged.

    Raises:
        ValueError: If a row holds something else than numbers.
    """
    return History(Logged(metrics_of(rows, (*NEEDED, LOSS), name)).curve())


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


def at_the_end(backward: Iterable[tuple[float, Sequence[float]]]) -> float | None:
    """Mean of the finite values in the last tenth of the epochs that have any; None if there are none.

    Args:
        backward: Epochs and values, from the last to the first.
    """
    last: list[float] = []
    newest = None
    for epoch, values in backward:
        finite = [value for value in values if math.isfinite(value)]
        if newest is None:
            newest = epoch if finite else None
        elif epoch <= (1 - END_OF_TRAINING) * newest:
            break
        last += finite
    return statistics.fmean(last) if last else None


def mean_at_the_end(runs: Sequence[History], column: str) -> float | None:
    """Mean over the seeds of a column at the end of the training; None where no run has it."""
    values = [run.at_the_end[column] for run in runs if column in run.at_the_end]
    return statistics.fmean(values) if values else None


def thin(points: Sequence[Point], limit: int) -> list[Point]:
    """At most `limit` points, evenly spaced, with the first and the last."""
    if len(points) <= limit:
        return list(points)
    return [points[round(i * (len(points) - 1) / (limit - 1))] for i in range(limit)]


def _mean(values: Sequence[float]) -> float | None:
    try:
        return _finite(statistics.fmean(values)) if values else None
    except (OverflowError, ValueError):  # an epoch in which a loss was infinite has no mean
        return None


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _whole_numbers(metrics: Metrics, column: str) -> list[int | None]:
    cells = metrics.column(column)
    try:
        return [int(float(cell)) if cell else None for cell in cells]
    except (ValueError, OverflowError):
        numbers = metrics.numbers(column)  # which names the line, or else it is that of an infinite one
        bad = (row for row, number in enumerate(numbers) if number is not None and not math.isfinite(number))
        raise metrics.damaged(next(bad)) from None
