"""Curves of several seeds joined into one band."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from records.curves import CurvePoint, History

Point = TypeVar("Point")


@dataclass(frozen=True)
class BandPoint:
    """Mean, minimum and maximum over the seeds after so many epochs."""

    epoch: float
    images_seen: float
    seconds: float
    mean: float
    low: float
    high: float


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


def mean_at_the_end(runs: Sequence[History], column: str) -> float | None:
    """Mean over the seeds of a column at the end of the training; None where no run has it."""
    values = [run.at_the_end[column] for run in runs if column in run.at_the_end]
    return statistics.fmean(values) if values else None


def thin(points: Sequence[Point], limit: int) -> list[Point]:
    """At most `limit` points, evenly spaced, with the first and the last."""
    if len(points) <= limit:
        return list(points)
    return [points[round(i * (len(points) - 1) / (limit - 1))] for i in range(limit)]
