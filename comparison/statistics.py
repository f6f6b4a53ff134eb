"""Uncertainty of a figure: over the images it was measured on, or over the seeds that were trained."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from records.statistics import t_interval, wilson_interval

FEWEST_SEEDS = 3  # with fewer, a page claims no order
ERROR = 0.05


@dataclass(frozen=True)
class Estimate:
    """A figure with its uncertainty.

    With one seed, `low` and `high` of an accuracy are the Wilson 95 % interval over the images and
    `standard_deviation` is None. With several, they are the 95 % t-interval of the mean over the seeds, and
    `standard_deviation` is that of the sample.
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
    low, high = t_interval(figures)
    if images is not None:
        low, high = max(0.0, low), min(1.0, high)
    return Estimate(mean, low, high, seeds=len(figures), standard_deviation=deviation)


def beaten(best: Mapping[int, float], others: Sequence[Mapping[int, float]]) -> list[bool]:
    """Which others the best one beats, by tests of the means over the seeds that share an error of 5 %.

    Two groups with the same seeds are compared seed by seed (paired t-test), others as they are (Welch's). Holm's
    correction holds for the number of all pairs, for which one is best was not known before. Sources: Welch (1947),
    "The Generalization of 'Student's' Problem when Several Different Population Variances are Involved"; Holm (1979),
    "A Simple Sequentially Rejective Multiple Test Procedure".

    Args:
        best: Figures by seed, of `FEWEST_SEEDS` at least.
        others: The same of each other group.
    """
    p_values = [_p_value(best, other) for other in others]
    found = [False] * len(others)
    pairs = len(others) * (len(others) + 1) // 2
    for tested, position in enumerate(sorted(range(len(others)), key=lambda position: p_values[position])):
        if p_values[position] > ERROR / (pairs - tested):
            break
        found[position] = True
    return found


def _p_value(best: Mapping[int, float], other: Mapping[int, float]) -> float:
    from scipy import stats  # noqa: PLC0415  only pages with several seeds need it

    if best.keys() == other.keys():
        differences = [best[seed] - other[seed] for seed in best]
        if statistics.stdev(differences) == 0:  # every seed says the same
            return float(differences[0] == 0)
        return float(stats.ttest_1samp(differences, 0).pvalue)
    of_both = list(best.values()), list(other.values())
    if all(statistics.stdev(values) == 0 for values in of_both):
        return float(of_both[0][0] == of_both[1][0])
    return float(stats.ttest_ind(*of_both, equal_var=False).pvalue)
