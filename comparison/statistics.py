"""Uncertainty of a figure: over the images it was measured on, or over the seeds that were trained."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from records.statistics import wilson_interval


@dataclass(frozen=True)
class Estimate:
    """A figure with its uncertainty.

    With one seed, `low` and `high` of an accuracy are the Wilson 95 % interval over the images and
    `standard_deviation` is None. With several, they are the mean minus and plus one sample standard deviation over the
    seeds.
    """

    mean: float
    low: float
    high: float
    seeds: int
    standard_deviation: float | None


def estimate(figures: Sequence[float], images: int | None = None) -> Estimate:
    """Mean figure of one configuration, with the uncertainty that its number of seeds allows to state.

    Args:
        figures: One for each seed.
        images: Number of images on which each was measured, if they are accuracies, as fractions.
    """
    mean = statistics.fmean(figures)
    if len(figures) == 1:
        low, high = wilson_interval(mean, images) if images is not None else (mean, mean)
        return Estimate(mean, low, high, seeds=1, standard_deviation=None)
    deviation = statistics.stdev(figures)
    low, high = mean - deviation, mean + deviation
    if images is not None:
        low, high = max(0.0, low), min(1.0, high)
    return Estimate(mean, low, high, seeds=len(figures), standard_deviation=deviation)
