"""Distances between all vectors of two sets, a block of rows at a time, so that 10,000 by 10,000 fit into memory."""

from collections.abc import Iterator

import torch
from torch import Tensor

BLOCK = 2**24
"""Distances in memory at a time: 64 MiB in float32."""


def squared_distances(first: Tensor, second: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """Rows and the squared Euclidean distances (rows, M) of first (N, F) from all of second (M, F), block by block.

    Computed as ‖x‖² + ‖y‖² - 2 xᵀy, after the mean of `second` was taken off both: common offsets would cost digits.
    """
    center = second.mean(0)
    first, second = first - center, second - center
    norms = second.square().sum(1)
    rows = max(1, BLOCK // max(1, len(second)))
    for start in range(0, len(first), rows):
        block = first[start : start + rows]
        distances = torch.addmm(norms.expand(len(block), -1), block, second.T, alpha=-2)
        distances += block.square().sum(1, keepdim=True)
        yield slice(start, start + len(block)), distances.clamp_min_(0)
