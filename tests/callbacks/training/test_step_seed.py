"""The seed of a step depends on where it stands, and on nothing else."""

from collections import Counter
from types import SimpleNamespace

import torch

from callbacks.training.step_seed import StepSeed, seed_of_step


def test_every_step_has_its_own_seed() -> None:
    places = [
        (seed, rank, epoch, batch) for seed in (0, 1) for rank in range(4) for epoch in range(5) for batch in range(50)
    ]
    counts = Counter(seed_of_step(*place) for place in places)
    assert max(counts.values()) == 1
    assert all(0 <= seed < 1 << 63 for seed in counts)


def test_seeds_stay_what_they_are() -> None:
    """A change here would make runs that were saved before go on differently."""
    assert seed_of_step(42, 0, 0, 0) == 4_269_345_991_382_822_433
    assert seed_of_step(42, 1, 2, 3) == 8_406_941_602_299_994_403


def draw(seed: int, rank: int, epoch: int, batch: int) -> torch.Tensor:
    progress = SimpleNamespace(epoch_progress=SimpleNamespace(current=SimpleNamespace(processed=epoch)))
    strategy = SimpleNamespace(root_device=torch.device("cpu"))
    trainer = SimpleNamespace(global_rank=rank, fit_loop=progress, strategy=strategy)
    StepSeed(seed).on_train_batch_start(trainer, None, None, batch)  # type: ignore[arg-type]
    return torch.rand(4)


def test_ranks_and_steps_draw_different_numbers_and_the_same_step_the_same() -> None:
    first = draw(42, 0, 0, 0)
    assert torch.equal(first, draw(42, 0, 0, 0))
    for other in (draw(42, 1, 0, 0), draw(42, 0, 1, 0), draw(42, 0, 0, 1), draw(43, 0, 0, 0)):
        assert not torch.equal(first, other)
