"""How much more often one predictor is right than another, on the same images, with its uncertainty."""

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torchmetrics import Metric

NORMAL_QUANTILE_95 = 1.959963984540054


class Gain(NamedTuple):
    """A difference of two accuracies, with the ends of its 95 % interval, as fractions."""

    value: float
    low: float
    high: float


def paired_gain(won: int, lost: int, count: int, quantile: float = NORMAL_QUANTILE_95) -> Gain:
    """Gain of a second predictor over a first one on the same images.

    Only the images on which exactly one of them is right tell them apart, as in McNemar's test. The interval is Wald's
    with one image added to either of those two counts, which keeps its coverage on few images too: Bonett and Price
    (2012), "Adjusted Wald confidence interval for a difference of binomial proportions based on paired data".

    Args:
        won: Images on which only the second is right.
        lost: Images on which only the first is right.
        count: All images.
        quantile: Quantile of the standard normal distribution; the default gives 95 %.

    Raises:
        ValueError: There are no images.
    """
    if count < 1:
        raise ValueError("A gain needs images: evaluate one batch or more.")
    p_won, p_lost = (won + 1) / (count + 2), (lost + 1) / (count + 2)
    center = p_won - p_lost
    half_width = quantile * math.sqrt((p_won + p_lost - center**2) / (count + 2))
    return Gain((won - lost) / count, max(-1.0, center - half_width), min(1.0, center + half_width))


class PairedCounts(Metric):
    """Images by whether the first and the second predictor are right: integers, so exact on any number of ranks."""

    counts: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("counts", torch.zeros(4, dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, first: Tensor, second: Tensor) -> None:
        """Count images by two tensors (N,) that say who is right."""
        self.counts += torch.stack([first & second, first & ~second, ~first & second, ~first & ~second]).sum(1)

    def compute(self) -> Tensor:
        """Counts (4,): both right, only the first, only the second, neither."""
        return self.counts
