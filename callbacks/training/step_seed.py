"""Randomness of a step as a function of where the step stands, so that a resumed run has nothing to restore."""

from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from datamodules.counter_random import INCREMENT, MASK, mixed


def seed_of_step(seed: int, rank: int, epoch: int, batch: int) -> int:
    """A 63-bit seed for one batch on one rank: the four mixed by SplitMix64's finalizer (Steele et al. 2014)."""
    value = seed & MASK
    for part in (rank, epoch, batch):
        value = mixed((value * INCREMENT + part + 1) & MASK)
    return value >> 1


class StepSeed(Callback):
    """Seeds PyTorch before each training step from (seed, rank, epoch, batch).

    Dropout then differs between ranks, and a run that was killed goes on with the numbers that it would have drawn.

    Args:
        seed: Seed of the run; the command line takes it from seed_everything.
    """

    def __init__(self, seed: int = 42) -> None:
        self.seed = seed

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Seed the generators of the processor and of the accelerators that are trained on.

        `torch.manual_seed` would do the same, and note a stack trace for each kind of accelerator that is not there.
        """
        # not trainer.current_epoch, which lags after a resume at an epoch's end if the run is counted in steps
        epoch = trainer.fit_loop.epoch_progress.current.processed  # type: ignore[attr-defined]
        seed = seed_of_step(self.seed, trainer.global_rank, epoch, batch_idx)
        torch.default_generator.manual_seed(seed)
        if trainer.strategy.root_device.type != "cpu":
            accelerator = torch.get_device_module(trainer.strategy.root_device)
            getattr(accelerator, "manual_seed_all", accelerator.manual_seed)(seed)
