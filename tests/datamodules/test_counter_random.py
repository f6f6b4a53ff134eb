"""Random numbers as functions of a counter: fixed, uniform, independent of the batch and of each other."""

import itertools

import pytest
import torch
from scipy.stats import kstest

from datamodules.counter_random import (
    CounterRandom,
    Stream,
    augmentation_keys,
    random_permutation,
)

N = 100_000
INDICES = torch.arange(N)


def splitmix64(state: int, count: int) -> list[int]:
    """The generator of which `bits` is the output function, step by step on Python's integers."""
    mask, values = (1 << 64) - 1, []
    for _ in range(count):
        state = (state + 0x9E3779B97F4A7C15) & mask
        value = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & mask
        value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & mask
        values.append(value ^ (value >> 31))
    return values


def test_bits_are_those_of_splitmix64() -> None:
    assert splitmix64(1234567, 3) == [6457827717110365317, 3203168211198807973, 9817491932198370423]  # as published
    # A key is the generator's output at each part in turn, and a sample's bits that at (key + index * increment).
    key = 0
    for part in (42, 3, Stream.FLIP):
        key = splitmix64((key + part) * 0x9E3779B97F4A7C15 & (1 << 64) - 1, 1)[0]
    expected = [
        splitmix64((key - 0x9E3779B97F4A7C15 + index * 0x9E3779B97F4A7C15) % (1 << 64), 1)[0] for index in range(50)
    ]
    bits = CounterRandom(42, 3, torch.arange(50)).bits(Stream.FLIP)
    assert [value % (1 << 64) for value in bits.tolist()] == expected


def test_numbers_stay_what_they_are() -> None:
    """A change here would make runs that were saved before go on with other images."""
    assert CounterRandom(42, 3, torch.arange(12)).integers(9, Stream.CROP_Y).tolist() == [
        2,
        4,
        5,
        3,
        1,
        8,
        5,
        3,
        1,
        4,
        3,
        2,
    ]
    assert random_permutation(10, 42, 1).tolist() == [7, 8, 5, 4, 1, 6, 9, 0, 2, 3]
    fractions = CounterRandom(42, 3, torch.arange(3)).fractions(Stream.AREA, count=2)
    assert fractions.flatten().tolist() == pytest.approx(
        [0.66784486, 0.69932718, 0.14503210, 0.53377365, 0.01281613, 0.91076422]
    )
    assert [stream.value for stream in Stream] == list(range(len(Stream)))


def test_numbers_do_not_depend_on_the_batch() -> None:
    whole = CounterRandom(1, 2, INDICES[:1000]).bits(Stream.FLIP)
    order = torch.randperm(1000)
    assert torch.equal(CounterRandom(1, 2, order).bits(Stream.FLIP), whole[order])


def test_integers_are_uniform() -> None:
    for high in (2, 9, 10, 33):
        counts = torch.bincount(CounterRandom(0, 0, INDICES).integers(high, Stream.CROP_X), minlength=high).double()
        assert len(counts) == high
        chi_squared = ((counts - N / high) ** 2 / (N / high)).sum()
        assert chi_squared < high - 1 + 5 * (2 * (high - 1)) ** 0.5


def test_each_sample_can_have_its_own_range() -> None:
    highs = INDICES % 7 + 1
    drawn = CounterRandom(0, 0, INDICES).integers(highs, Stream.CROP_X)
    for high in range(1, 8):
        assert drawn[highs == high].unique().tolist() == list(range(high))
    assert torch.equal(drawn[highs == 5], CounterRandom(0, 0, INDICES[highs == 5]).integers(5, Stream.CROP_X))


def test_fractions_are_those_of_splitmix64() -> None:
    state = CounterRandom(7, 1, torch.tensor([123])).bits(Stream.AREA).item() % (1 << 64)
    expected = [(value >> 11) / 2**53 for value in splitmix64(state, 4)]
    assert CounterRandom(7, 1, torch.tensor([123])).fractions(Stream.AREA, count=4)[0].tolist() == expected


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_fractions_and_normals_are_distributed_as_such(dtype: torch.dtype) -> None:
    fractions = CounterRandom(0, 0, INDICES).fractions(Stream.AREA, count=3, dtype=dtype)
    normals = CounterRandom(0, 0, INDICES).normals(Stream.COLOR_NOISE, count=3, dtype=dtype)
    assert fractions.dtype == normals.dtype == dtype
    assert 0 <= fractions.min() <= fractions.max() < 1
    for column in range(3):
        assert kstest(fractions[:, column].numpy(), "uniform").pvalue > 1e-3
        assert kstest(normals[:, column].numpy(), "norm").pvalue > 1e-3
    for columns in (fractions, normals):
        assert torch.allclose(torch.corrcoef(columns.T), torch.eye(3, dtype=dtype), atol=5 / N**0.5)


def test_repetitions_of_a_sample_have_keys_of_their_own() -> None:
    indices = torch.arange(50).repeat(3)
    repetitions = torch.arange(3).repeat_interleave(50)
    keys = augmentation_keys(indices, repetitions, size=50)
    assert torch.equal(keys.sort().values, torch.arange(150))
    assert torch.equal(keys[:50], indices[:50])
    assert torch.equal(keys % 50, indices)


def test_booleans_are_even() -> None:
    assert abs(CounterRandom(0, 0, INDICES).booleans(Stream.FLIP).double().mean() - 0.5) < 4 * 0.5 / N**0.5


def test_streams_epochs_and_seeds_are_independent() -> None:
    keys = [(0, 0, stream) for stream in Stream] + [(0, 1, Stream.CROP_Y), (1, 0, Stream.CROP_Y)]
    draws = {key: CounterRandom(*key[:2], INDICES).integers(9, key[2]) for key in keys}
    neighbors = [(draws[keys[0]][:-1], draws[keys[0]][1:])]
    for first, second in [*itertools.combinations(draws.values(), 2), *neighbors]:
        expected = len(first) / 81
        counts = torch.bincount(first * 9 + second, minlength=81).double()
        assert ((counts - expected) ** 2 / expected).sum() < 80 + 5 * (2 * 80) ** 0.5


def test_permutation_has_every_index_once() -> None:
    for size in (1, 2, 33, 50_000):
        assert torch.equal(random_permutation(size, 7, 3).sort().values, torch.arange(size))
    assert not torch.equal(random_permutation(100, 7, 3), random_permutation(100, 7, 4))
