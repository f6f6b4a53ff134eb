"""Every sample exactly once, at any size, batch and number of ranks, from any position."""

import itertools
from collections.abc import Iterator

import pytest
import torch

from datamodules.in_memory import Split
from datamodules.loader import EvaluationLoader, TrainingLoader


def split(size: int) -> Split:
    images = torch.arange(size, dtype=torch.uint8).view(-1, 1, 1, 1).expand(-1, 1, 2, 2).contiguous()
    return Split(images, torch.arange(size) % 3)


def loaders(size: int, batch_size: int, ranks: int, position: tuple[int, int] = (0, 0)) -> list[TrainingLoader]:
    return [
        TrainingLoader(split(size), batch_size, seed=5, position=lambda: position, rank=rank, world_size=ranks)
        for rank in range(ranks)
    ]


def global_order(ranks: list[TrainingLoader]) -> list[int]:
    """Sample indices as all ranks together see them, batch by batch."""
    return [index for batches in zip(*ranks, strict=True) for batch in batches for index in batch.indices.tolist()]


@pytest.mark.parametrize("ranks", [1, 2, 3, 4])
def test_evaluation_is_exact(ranks: int) -> None:
    for size, batch_size in itertools.product(range(1, 34), range(1, 9)):
        data = split(size)
        parts = [EvaluationLoader(data, batch_size, rank=rank, world_size=ranks) for rank in range(ranks)]
        batches = [list(part) for part in parts]
        assert {len(batch) for batch in batches} == {len(part) for part in parts}
        for step in zip(*batches, strict=True):
            assert len({len(batch.labels) for batch in step}) == 1
            assert all(batch.epoch is None for batch in step)
        every = [batch for rank in batches for batch in rank]
        counted = torch.cat([batch.indices[batch.labels >= 0] for batch in every])
        assert sorted(counted.tolist()) == list(range(size))
        for batch in every:
            real = batch.labels >= 0
            assert torch.equal(batch.labels[real], data.labels[batch.indices[real]])
            assert torch.equal(batch.images[real], data.images[batch.indices[real]])
            assert not batch.indices[~real].any()


@pytest.mark.parametrize("ranks", [1, 2, 3, 4])
@pytest.mark.slow(1)
def test_training_is_exact(ranks: int) -> None:
    for size, batch_size in itertools.product(range(1, 34), range(1, 9)):
        global_batch_size = batch_size * ranks
        if global_batch_size > size:
            with pytest.raises(ValueError, match="is larger than"):
                loaders(size, batch_size, ranks)
            continue
        whole = global_order(loaders(size, batch_size, ranks))
        assert len(set(whole)) == len(whole) == size - size % global_batch_size
        assert set(whole) <= set(range(size))
        assert whole == global_order(loaders(size, global_batch_size, 1))
        for first in range(len(whole) // global_batch_size + 1):
            rest = global_order(loaders(size, batch_size, ranks, (0, first)))
            assert rest == whole[first * global_batch_size :]


def test_each_epoch_has_its_own_order() -> None:
    orders = [global_order(loaders(50, 10, 1, (epoch, 0))) for epoch in range(3)]
    assert all(sorted(order) == list(range(50)) for order in orders)
    assert orders[0] != orders[1] != orders[2]


def test_position_is_asked_when_the_first_batch_is_drawn() -> None:
    current = [(0, 0)]
    loader = TrainingLoader(split(20), 4, seed=5, position=lambda: current[0])
    iterator: Iterator[object] = iter(loader)  # Lightning creates it before its counters are restored
    current[0] = (2, 3)
    assert len(list(iterator)) == 2


def test_batches_hold_images_labels_and_the_epoch() -> None:
    (loader,) = loaders(50, 10, 1, (7, 2))
    batch = next(iter(loader))
    assert (batch.epoch, batch.images.dtype, batch.labels.dtype) == (7, torch.uint8, torch.int64)
    assert torch.equal(batch.images[:, 0, 0, 0].long(), batch.indices)
    assert torch.equal(batch.labels, batch.indices % 3)


def test_batch_larger_than_the_data_is_refused() -> None:
    with pytest.raises(ValueError, match=r"30 images on each of 2 process\(es\) is larger than the 50 .* at most 25"):
        loaders(50, 30, 2)


def test_other_batches_than_the_saved_ones_are_refused() -> None:
    (loader,) = loaders(50, 10, 1)
    loader.load_state_dict(loader.state_dict())
    for changed in ({"seed": 6}, {"global_batch_size": 20}, {"images": 45}):
        with pytest.raises(ValueError, match=f"{next(iter(changed))} .* → .*resume with the saved values"):
            loader.load_state_dict({**loader.state_dict(), **changed})
