"""Random numbers as functions of a counter: fixed, uniform, independent of the batch and of each other."""

import torch

from datamodules.counter_random import Stream, random_bits, random_booleans, random_integers, random_permutation

N = 100_000
INDICES = torch.arange(N)


def test_numbers_stay_what_they_are() -> None:
    """A change here would make runs that were saved before go on with other images."""
    assert random_integers(9, 42, 3, Stream.CROP_Y, torch.arange(12)).tolist() == [2, 4, 5, 3, 1, 8, 5, 3, 1, 4, 3, 2]
    assert random_permutation(10, 42, 1).tolist() == [7, 8, 5, 4, 1, 6, 9, 0, 2, 3]


def test_numbers_do_not_depend_on_the_batch() -> None:
    whole = random_bits(1, 2, Stream.FLIP, INDICES[:1000])
    order = torch.randperm(1000)
    assert torch.equal(random_bits(1, 2, Stream.FLIP, order), whole[order])


def test_integers_are_uniform() -> None:
    for high in (2, 9, 10, 33):
        counts = torch.bincount(random_integers(high, 0, 0, Stream.CROP_X, INDICES), minlength=high).double()
        assert len(counts) == high
        chi_squared = ((counts - N / high) ** 2 / (N / high)).sum()
        assert chi_squared < high - 1 + 5 * (2 * (high - 1)) ** 0.5


def test_booleans_are_even() -> None:
    assert abs(random_booleans(0, 0, Stream.FLIP, INDICES).double().mean() - 0.5) < 4 * 0.5 / N**0.5


def test_streams_epochs_and_seeds_are_independent() -> None:
    places = [(0, 0, Stream.CROP_Y), (0, 0, Stream.CROP_X), (0, 1, Stream.CROP_Y), (1, 0, Stream.CROP_Y)]
    draws = torch.stack([random_integers(9, *place, INDICES).double() for place in places])
    correlations = torch.corrcoef(draws) - torch.eye(len(places))
    assert correlations.abs().max() < 5 / N**0.5


def test_permutation_has_every_index_once() -> None:
    for size in (1, 2, 33, 50_000):
        assert torch.equal(random_permutation(size, 7, 3).sort().values, torch.arange(size))
    assert not torch.equal(random_permutation(100, 7, 3), random_permutation(100, 7, 4))
