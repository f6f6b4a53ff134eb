"""Random numbers as pure functions of a counter, without generator state.

A number depends on (seed, epoch, stream, sample index) and on nothing else: not on the batch it is drawn in, the number
of ranks, the device, or what was drawn before. So a resumed run has no random state to restore. The hash is the
finalizer of SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014).
"""

import math
from dataclasses import dataclass
from enum import IntEnum

import torch
from torch import Tensor

MASK = (1 << 64) - 1
INCREMENT = 0x9E3779B97F4A7C15
_MULTIPLIER_1 = 0xBF58476D1CE4E5B9
_MULTIPLIER_2 = 0x94D049BB133111EB


class Stream(IntEnum):
    """What the numbers are drawn for: numbers of different streams are independent."""

    SPLIT = 0
    ORDER = 1
    CROP_Y = 2
    CROP_X = 3
    FLIP = 4
    SHORTER_SIDE = 5
    AREA = 6
    ASPECT = 7
    FIXED_CROP = 8
    COLOR_NOISE = 9
    ERASING = 10
    ERASED_AREA = 11
    ERASED_ASPECT = 12
    ERASED_Y = 13
    ERASED_X = 14
    MIXING = 15
    MIXED_SHARE = 16
    MIXED_Y = 17
    MIXED_X = 18
    OPERATION = 19
    MAGNITUDE = 20
    SIGN = 21
    SUBSET = 22


@dataclass(frozen=True)
class CounterRandom:
    """Random numbers for some samples in an epoch, a row for each sample, on the device of their indices.

    Attributes:
        seed: The run's seed.
        epoch: Training epoch.
        indices: int64 sample indices. Shape (N,).
    """

    seed: int
    epoch: int
    indices: Tensor

    def bits(self, stream: Stream) -> Tensor:
        """Draws 64 random bits for each sample: int64, uniform over all 2**64 values. Shape (N,)."""
        return _mix(self.indices * _signed(INCREMENT) + _signed(_key(self.seed, self.epoch, stream)))

    def integers(self, high: int | Tensor, stream: Stream) -> Tensor:
        """Draws one integer of [0, high) for each sample, as int64. Shape (N,).

        The upper 32 bits scaled by `high`, which may differ from sample to sample (N,): the bias is below high / 2**32.
        """
        return (_shift_right(self.bits(stream), 32) * high) >> 32

    def booleans(self, stream: Stream) -> Tensor:
        """Draws True or False, equally likely, for each sample. Shape (N,)."""
        return self.bits(stream) < 0

    def fractions(self, stream: Stream, *, count: int = 1, dtype: torch.dtype = torch.float64) -> Tensor:
        """Draws `count` numbers of [0, 1) for each sample. Shape (N, count).

        A sample's bits are the state of a SplitMix64 generator, of which these are the first `count` outputs.

        Args:
            stream: What the numbers are used for.
            count: Numbers for each sample.
            dtype: float64 has 53 random bits; float32 has 24, on devices without float64 too.
        """
        steps = torch.arange(1, count + 1, device=self.indices.device)
        digits = 53 if dtype == torch.float64 else 24
        outputs = _mix(self.bits(stream)[:, None] + steps * _signed(INCREMENT))
        return _shift_right(outputs, 64 - digits).to(dtype) * 2.0**-digits

    def normals(self, stream: Stream, *, count: int = 1, dtype: torch.dtype = torch.float64) -> Tensor:
        """Draws `count` numbers of the standard normal distribution for each sample. Shape (N, count).

        By Box and Muller, 1958: each from two fractions.
        """
        radius, angle = self.fractions(stream, count=2 * count, dtype=dtype).chunk(2, dim=1)
        # The logarithm of 1 - radius, of (0, 1], is finite.
        return (-2 * torch.log1p(-radius)).sqrt() * torch.cos(2 * math.pi * angle)


def augmentation_keys(indices: Tensor, repetitions: Tensor, size: int) -> Tensor:
    """Gives each repetition of a sample in an epoch an augmentation of its own (repeated augmentation).

    Hoffer et al., "Augment your batch", 2020. They take the place of the indices; repetition 0 has the indices as keys.

    Args:
        indices: int64 sample indices of [0, size). Shape (N,).
        repetitions: Which time the sample is taken in this epoch, from 0. Shape (N,).
        size: Number of samples of the split.

    Returns:
        int64. Shape (N,).
    """
    return indices + repetitions * size


def random_permutation(
    size: int, seed: int, epoch: int = 0, stream: Stream = Stream.ORDER, device: torch.device | None = None
) -> Tensor:
    """Orders [0, size) at random, the same way on every rank and device.

    Returns:
        int64. Shape (size,).
    """
    return CounterRandom(seed, epoch, torch.arange(size, device=device)).bits(stream).argsort(stable=True)


def mixed(value: int) -> int:
    """The hash of one number of 64 bits, such as a seed."""
    value = (value ^ value >> 30) * _MULTIPLIER_1 & MASK
    value = (value ^ value >> 27) * _MULTIPLIER_2 & MASK
    return value ^ value >> 31


def _key(*parts: int) -> int:
    key = 0
    for part in parts:
        key = mixed((key + part + 1) * INCREMENT & MASK)
    return key


def _mix(bits: Tensor) -> Tensor:
    bits = (bits ^ _shift_right(bits, 30)) * _signed(_MULTIPLIER_1)
    bits = (bits ^ _shift_right(bits, 27)) * _signed(_MULTIPLIER_2)
    return bits ^ _shift_right(bits, 31)


def _shift_right(bits: Tensor, count: int) -> Tensor:
    # int64 shifts copy the sign bit in; the mask makes the shift logical.
    return (bits >> count) & ((1 << (64 - count)) - 1)


def _signed(value: int) -> int:
    return value - (1 << 64) if value >> 63 else value
