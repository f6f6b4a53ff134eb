"""Learning curves: what a run logged, reduced to one point a validation, and several seeds joined into one band."""

import csv
import io
import math
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

POSITION_COLUMNS = ("epoch", "step", "images_seen")
ACCURACY_COLUMN = "val/acc1"
LOSS_COLUMN = "train/loss"

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
    if not path.is_file():
        raise ValueError(f"{path.name} is missing")
    try:
        text = path.read_bytes().decode("utf-8")
        rows = list(csv.reader(io.StringIO(text, newline=""), strict=True))
    except (OSError, csv.Error, UnicodeDecodeError) as error:
        raise ValueError(f"{path.name} cannot be read ({error})") from error
    if not rows:
        raise ValueError(f"{path.name} is empty")
    if not text.endswith("\n"):  # a file torn in the middle of a line has lost its last line feed
        raise ValueError(f"{path.name} ends in the middle of a line")
    header = rows[0]
    for column in (*POSITION_COLUMNS, ACCURACY_COLUMN):
        if column not in header:
            raise ValueError(f"{path.name} has no column {column}")
    return _points(header, rows[1:], path.name)


def curve_of(rows: Iterable[Mapping[str, object]], name: str) -> tuple[CurvePoint, ...]:
    """Like `read_curve`, of rows that another source than metrics.csv holds.

    Args:
        rows: Values by the columns of metrics.csv; None, or a column that is not there, is an empty cell.
        name: What to call the rows where they are damaged.

    Raises:
        ValueError: If a row holds something else than numbers.
    """
    header = [*POSITION_COLUMNS, ACCURACY_COLUMN, LOSS_COLUMN]
    cells = ([_cell(row.get(column)) for column in header] for row in rows)
    return _points(header, cells, name)


def best_point(curve: Sequence[CurvePoint]) -> CurvePoint | None:
    """The first of the points with the highest accuracy; None if no point has one."""
    measured = [point for point in curve if point.accuracy is not None]
    return max(measured, key=lambda point: point.accuracy or 0.0, default=None)


def _points(header: list[str], rows: Iterable[list[str]], name: str) -> tuple[CurvePoint, ...]:
    epoch_at, step_at, images_at, accuracy_at = (header.index(c) for c in (*POSITION_COLUMNS, ACCURACY_COLUMN))
    loss_at = header.index(LOSS_COLUMN) if LOSS_COLUMN in header else None
    last_steps: dict[int, int] = {}
    accuracies: dict[tuple[int, int], float] = {}
    losses: dict[int, list[tuple[int, float]]] = {}
    images_per_step = 0.0
    for line, row in enumerate(rows, start=2):
        if len(row) != len(header):
            raise ValueError(f"line {line} of {name} has {len(row)} cells instead of {len(header)}")
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


def thin(points: Sequence[Point], limit: int) -> list[Point]:
    """At most `limit` points, evenly spaced, with the first and the last."""
    if len(points) <= limit:
        return list(points)
    return [points[round(i * (len(points) - 1) / (limit - 1))] for i in range(limit)]


def _cell(value: object) -> str:
    return "" if value is None else str(value)


def _mean(values: Sequence[float]) -> float | None:
    finite = [value for value in values if math.isfinite(value)]
    # An epoch in which a loss was infinite has no mean.
    return statistics.fmean(finite) if finite and len(finite) == len(values) else None


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
