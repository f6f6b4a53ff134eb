"""The learning curve of a run: what metrics.csv holds, reduced to one point a validation."""

import math
import statistics
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from records.metrics import ACCURACY, LOSS, POSITION, Metrics, metrics_of, read_metrics
from records.record import is_measurable

RATIO = "gradients/first_to_last"
TEST = "test/loss"
AT_THE_END = (
    *("train/acc1", ACCURACY, LOSS, "val/loss", "train/color_selectivity", "train/filter_smoothness"),
    *("gradients/first_layer", "gradients/last_layer"),
)
"""Columns of which the values at the end of the training count."""
END_OF_TRAINING = 0.1

NEEDED = (*POSITION, ACCURACY)


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
        self.epochs, self.steps = _whole_numbers(metrics, "epoch"), _whole_numbers(metrics, "step")
        for row, cell in enumerate(metrics.column(TEST)):
            if cell:  # measured after the training, of no epoch of it
                self.epochs[row] = None
        if None in self.steps:
            for row, (epoch, step) in enumerate(zip(self.epochs, self.steps, strict=True)):
                if epoch is not None and step is None:
                    raise metrics.damaged(row)
        # What has a step and no epoch, such as a learning rate, belongs to the next point; steps of a damaged file may
        # go back.
        self.rows = sorted(
            (row for row, step in enumerate(self.steps) if step is not None),
            key=cast("list[int]", self.steps).__getitem__,
        )
        ordered = [self.steps[row] or 0 for row in self.rows]
        last_steps = dict(zip((self.epochs[row] for row in self.rows), ordered, strict=True))
        self.accuracies = {
            (epoch, step): accuracy
            for epoch, step, accuracy in zip(self.epochs, self.steps, metrics.numbers(ACCURACY), strict=True)
            if accuracy is not None and epoch is not None and step is not None
        }
        self.moments = list(moments({e: step for e, step in last_steps.items() if e is not None}, self.accuracies))
        self.ends = [bisect_right(ordered, step) for _, _, step in self.moments]

    def backward(self, column: str) -> Iterator[tuple[float, list[float]]]:
        """Epochs trained and values of a column since the point before, from the last point that has any to the first.

        Raises:
            ValueError: If one is not a number.
        """
        if column not in self.metrics.columns:
            return
        cells = self.metrics.column(column)
        for number, (trained, _, _) in reversed(list(enumerate(self.moments))):
            start = self.ends[number - 1] if number else 0
            if values := [cell for row in self.rows[start : self.ends[number]] if (cell := cells[row])]:
                try:
                    yield trained, list(map(float, values))
                except ValueError:
                    self.metrics.numbers(column)  # which names the line
                    raise

    def curve(self) -> tuple[CurvePoint, ...]:
        """Of several validations at one step the last counts; single batches are too noisy, so losses are means.

        Raises:
            ValueError: If something other than numbers was logged.
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
            raise ValueError(f"{self.metrics.name} holds numbers out of range") from error

    def history(self) -> History:
        """All that is told of a run's metrics.

        Raises:
            ValueError: If something other than numbers was logged.
        """
        ends = {column: at_the_end(self.backward(column)) for column in AT_THE_END}
        positive = {epoch: [v for v in values if v > 0 and is_measurable(v)] for epoch, values in self.backward(RATIO)}
        ratios = {epoch: statistics.geometric_mean(values) for epoch, values in positive.items() if values}
        return History(self.curve(), {c: mean for c, mean in ends.items() if mean is not None}, ratios)

    def images_per_step(self) -> float:
        """Images of a step, by the last row that says how many were seen.

        Raises:
            ValueError: If it holds something other than numbers.
        """
        images = self.metrics.column("images_seen")
        known = (row for row in reversed(range(len(images))) if images[row] and self.epochs[row] is not None)
        if (row := next(known, None)) is None:
            return 0.0
        try:
            rate = float(images[row]) / ((self.steps[row] or 0) + 1)
        except (ValueError, ArithmeticError) as error:
            raise self.metrics.damaged(row) from error
        if not is_measurable(rate):
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
    return any(map(is_measurable, logged.accuracies.values()))


def history_of(rows: Iterable[Mapping[str, object]], name: str) -> History:
    """The learning curve alone, of rows that another source than metrics.csv holds.

    Args:
        rows: Values by the columns of metrics.csv; None, or a column that is not there, is an empty cell.
        name: What to call the rows where they are damaged.

    Raises:
        ValueError: If a row holds something other than numbers.
    """
    return History(Logged(metrics_of(rows, (*NEEDED, LOSS, TEST), name)).curve())


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


def at_the_end(backward: Iterable[tuple[float, Sequence[float]]]) -> float | None:
    """Mean of the finite values in the last tenth of the epochs that have any; None if there are none.

    Args:
        backward: Epochs and values, from the last to the first.
    """
    last: list[float] = []
    newest = None
    for epoch, values in backward:
        finite = [value for value in values if is_measurable(value)]
        if newest is None:
            newest = epoch if finite else None
        elif epoch <= (1 - END_OF_TRAINING) * newest:
            break
        last += finite
    return statistics.fmean(last) if last else None


def _mean(values: Sequence[float]) -> float | None:
    try:
        return _finite(statistics.fmean(values)) if values else None
    except (OverflowError, ValueError):  # an epoch in which a loss was infinite has no mean
        return None


def _finite(value: float | None) -> float | None:
    return value if value is not None and is_measurable(value) else None


def _whole_numbers(metrics: Metrics, column: str) -> list[int | None]:
    cells = metrics.column(column)
    try:
        if max(map(len, cells), default=0) < 19:
            return [int(cell) if cell else None for cell in cells]  # as a run writes them
    except ValueError:
        pass
    numbers = metrics.numbers(column)
    if bad := [row for row, number in enumerate(numbers) if number is not None and not abs(number) < 2**63]:
        raise metrics.damaged(bad[0])
    return [None if number is None else int(number) for number in numbers]
