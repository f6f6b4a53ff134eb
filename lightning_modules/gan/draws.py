"""Random numbers of a step: functions of the seed, of what they are for, and of the step, on any number of ranks."""

import hashlib
from collections.abc import Callable
from enum import IntEnum

import torch
from torch import Tensor


class Purpose(IntEnum):
    """What random numbers are drawn for."""

    LATENTS = 0
    CLASSES = 1
    MIX = 2
    NOISE = 3
    LABELED_IMAGES = 4


def seed_of(*parts: int) -> int:
    """A seed of 63 bits for each tuple of integers."""
    return int.from_bytes(hashlib.blake2b(repr(parts).encode(), digest_size=8).digest(), "big") >> 1


def share_of_rank(
    draw: Callable[[int, torch.Generator], Tensor], count: int, *, seed: int, rank: int, world_size: int
) -> Tensor:
    """This rank's share of what is drawn for all ranks.

    Drawn on the processor, so that every device gets the same; nothing is remembered between steps.

    Args:
        draw: From a number and a source to as many rows.
        count: Rows of a rank.
        seed: Of the source.
        rank: This one.
        world_size: Number of ranks.

    Returns:
        Shape (count, …).
    """
    every = draw(count * world_size, torch.Generator().manual_seed(seed))
    return every[rank * count : (rank + 1) * count]
