"""Uncertainty of a share of images, and of a mean over seeds."""

import math
import statistics
from collections.abc import Sequence
from functools import cache

NORMAL_QUANTILE_95 = 1.959963984540054


def wilson_interval(proportion: float, count: int, quantile: float = NORMAL_QUANTILE_95) -> tuple[float, float]:
    """Wilson score interval of a proportion.

    Unlike the normal approximation it stays inside [0, 1] and keeps its coverage near both ends, where good
    classifiers live. Source: Wilson (1927), "Probable Inference, the Law of Succession, and Statistical Inference".

    Args:
        proportion: Observed fraction in [0, 1].
        count: Number of images it was observed on.
        quantile: Quantile of the standard normal distribution; the default gives 95 %.

    Returns:
        Lower and upper end of the interval.

    Raises:
        ValueError: If the proportion is not in [0, 1] or nothing was observed.
    """
    if not 0.0 <= proportion <= 1.0:
        raise ValueError(f"A proportion lies between 0 and 1, not at {proportion}: pass a fraction, not a percentage.")
    if count < 1:
        raise ValueError(f"An interval needs at least one observation, not {count}: pass the number of images.")
    shrinkage = quantile**2 / count
    center = (proportion + shrinkage / 2) / (1 + shrinkage)
    variance = proportion * (1 - proportion) / count + shrinkage / (4 * count)
    half_width = quantile * math.sqrt(variance) / (1 + shrinkage)
    # Rounding must not move an end past the observation itself, which it meets at 0 and at 1.
    return max(0.0, min(center - half_width, proportion)), min(1.0, max(center + half_width, proportion))


def t_interval(values: Sequence[float], confidence: float = 0.95) -> tuple[float, float]:
    """The two-sided t-interval of a mean.

    Source: Student (1908), "The Probable Error of a Mean".

    Args:
        values: At least two independent observations.
        confidence: Share of all experiments in which the interval is to cover the mean.
    """
    mean = statistics.fmean(values)
    error = statistics.stdev(values) / math.sqrt(len(values))
    half_width = t_quantile(confidence, len(values) - 1) * error
    return mean - half_width, mean + half_width


@cache
def t_quantile(confidence: float, freedom: int) -> float:
    """How many standard errors a two-sided interval reaches to each side, with so many degrees of freedom."""
    from scipy.special import stdtrit  # noqa: PLC0415  a fraction of a second, which most programs need not spend

    return float(stdtrit(freedom, (1 + confidence) / 2))
