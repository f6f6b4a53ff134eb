"""Random numbers of a step: functions of the seed, of what they are for, and of the step, on any number of ranks."""

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum

import torch
from lightning.pytorch import LightningModule
from torch import Tensor

from lightning_modules.gan.networks import GeneratorNetwork

BEFORE_TRAINING = -1  # in the place of a part, or of a step: no training step has it


class Purpose(IntEnum):
    """What random numbers are drawn for. The names are part of the seeds: another spelling means other numbers."""

    LATENTS = 0
    CLASSES = 1
    MIX = 2
    NOISE = 3
    LABELLED_IMAGES = 4


@dataclass(frozen=True)
class Draws:
    """Random numbers of one step, drawn on the processor for all ranks and dealt out among them.

    Every device gets the same numbers, and nothing is remembered between steps. A step needs several batches of latents
    or noise; `part` numbers them.

    Attributes:
        seed: Seed of the run.
        step: Batches that this rank has trained on.
        rank: Number of this process.
        world_size: Number of processes.
        device: Device on which the numbers are needed.
    """

    seed: int
    step: int
    rank: int
    world_size: int
    device: torch.device

    @classmethod
    def of(cls, module: LightningModule, step: int) -> "Draws":
        """Draws of a step of `module`, on its rank and device."""
        seed = int(os.environ.get("PL_GLOBAL_SEED", "42"))
        return cls(seed, step, module.global_rank, module.trainer.world_size, module.device)

    def latents(self, generator: GeneratorNetwork, count: int, part: int = 0) -> Tensor:
        """Latents as the paper of the generator draws them. Shape (count, latent_size)."""
        return self._share(Purpose.LATENTS, part, count, generator.draw_latents)

    def evaluation_latents(self, generator: GeneratorNetwork, count: int, batch: int) -> Tensor:
        """Latents for a batch of an evaluation, the same in each epoch. Shape (count, latent_size)."""
        source = _source(self.seed, Purpose.LATENTS, batch, BEFORE_TRAINING)
        every = generator.draw_latents(count * self.world_size, source)
        # Rank r has images r, r + world_size, …: dealt out likewise, each image has the same partner on any ranks.
        return every[self.rank :: self.world_size].to(self.device)

    def classes(self, num_classes: int, count: int, part: int = 0) -> Tensor:
        """Classes of fake images, all equally likely. Shape (count,)."""
        return self._share(Purpose.CLASSES, part, count, _integers_below(num_classes))

    def mixing(self, count: int) -> Tensor:
        """Share of the real image in each mixture of a real and a fake one, 0 to 1. Shape (count,)."""
        return self._share(Purpose.MIX, 0, count, lambda every, source: torch.rand(every, generator=source))

    def noise(self, images: Tensor, part: int) -> Tensor:
        """Normal noise of variance 1, shaped as the images (B, C, H, W)."""

        def draw(every: int, source: torch.Generator) -> Tensor:
            return torch.randn(every, *images.shape[1:], generator=source)

        return self._share(Purpose.NOISE, part, len(images), draw)

    def labeled_images(self, available: int, count: int) -> Tensor:
        """Indices of images among the `available` ones that keep their label, with replacement. Shape (count,)."""
        return self._share(Purpose.LABELLED_IMAGES, 0, count, _integers_below(available))

    def _share(self, purpose: Purpose, part: int, count: int, draw: Callable[[int, torch.Generator], Tensor]) -> Tensor:
        """This rank's `count` rows of what `draw` makes of a number of rows and a source."""
        every = draw(count * self.world_size, _source(self.seed, purpose, part, self.step))
        return every[self.rank * count : (self.rank + 1) * count].to(self.device)


def _integers_below(limit: int) -> Callable[[int, torch.Generator], Tensor]:
    return lambda every, source: torch.randint(limit, (every,), generator=source)


def _source(*parts: int) -> torch.Generator:
    """A source of random numbers with a seed of 63 bits for each tuple of integers."""
    digest = hashlib.blake2b(repr(parts).encode(), digest_size=8).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest, "big") >> 1)
