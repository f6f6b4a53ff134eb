"""A GAN's step in one process and on two ranks: this project's, and the plain one that Lightning's example has.

python -m benchmarks.gan_step [--networks dcgan] [--batches 20] [--rounds 7]

Lightning starts the second rank by running this file again; both go through the same rounds in one process group. Each
speed is that of the median step of a `fit`, which others on the machine disturb least.
"""

import argparse
import itertools
import os
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from contextlib import ExitStack, redirect_stderr
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from lightning.pytorch import Callback, LightningDataModule, LightningModule, Trainer, seed_everything
from torch.optim import Adam, Optimizer

from benchmarks.side_by_side import measure, report
from benchmarks.synthetic import SyntheticCIFAR10
from datamodules.loader import ImageBatch
from experiment.usage_errors import silence_unhelpful_messages
from lightning_modules import GAN
from lightning_modules.gan.networks import NetworkName, build_networks

BATCH_SIZE = 64  # of each rank
RANKS = 2
OPTIONS: dict[NetworkName, dict[str, Any]] = {"dcgan": {"variant": "small"}, "mlp": {}}


class PlainGAN(LightningModule):
    """The step of Lightning's example: each player toggled, and the fake images made anew for the discriminator.

    https://github.com/Lightning-AI/pytorch-lightning, examples/pytorch/domain_templates/generative_adversarial_net.py
    """

    def __init__(self, networks: NetworkName) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.generator, self.discriminator = build_networks(networks, image_size=32, in_channels=3, **OPTIONS[networks])

    def training_step(self, batch: ImageBatch) -> None:
        """Update the generator, then the discriminator."""
        optimizers: Any = self.optimizers()
        generator_optimizer, discriminator_optimizer = optimizers
        real = batch.images
        latents = torch.randn(len(real), self.generator.latent_size, device=self.device)

        self.toggle_optimizer(generator_optimizer)
        on_fake = self.discriminator(self.generator(latents))
        generator_loss = F.binary_cross_entropy_with_logits(on_fake, torch.ones_like(on_fake))
        generator_optimizer.zero_grad()
        self.manual_backward(generator_loss)
        generator_optimizer.step()
        self.untoggle_optimizer(generator_optimizer)

        self.toggle_optimizer(discriminator_optimizer)
        on_real = self.discriminator(real)
        on_fake = self.discriminator(self.generator(latents).detach())
        discriminator_loss = F.binary_cross_entropy_with_logits(on_real, torch.ones_like(on_real))
        discriminator_loss = discriminator_loss + F.binary_cross_entropy_with_logits(on_fake, torch.zeros_like(on_fake))
        discriminator_optimizer.zero_grad()
        self.manual_backward(discriminator_loss)
        discriminator_optimizer.step()
        self.untoggle_optimizer(discriminator_optimizer)

        self.log_dict({"loss_generator": generator_loss, "loss_discriminator": discriminator_loss})

    def configure_optimizers(self) -> list[Optimizer]:
        """Those that this project's GAN has by default."""
        return [
            Adam(network.parameters(), lr=2e-4, betas=(0.5, 0.999)) for network in (self.generator, self.discriminator)
        ]


class StepTimes(Callback):
    """Seconds of each step, from the end of one to the end of the next."""

    def __init__(self, skip: int = 3) -> None:
        self.skip = skip
        self._ends: list[float] = []

    def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
        """Note the time."""
        if trainer.strategy.root_device.type == "cuda":
            torch.cuda.synchronize()
        self._ends.append(time.perf_counter())

    @property
    def median(self) -> float:
        """That of the steps after the first ones, which allocate memory."""
        return statistics.median(later - earlier for earlier, later in itertools.pairwise(self._ends[self.skip :]))


def fit(
    make: Callable[[], LightningModule], data: LightningDataModule, batches: int, ranks: int, strategy: str
) -> float:
    """Images per second of the median step, of all ranks together."""
    times = StepTimes()
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(
            accelerator="gpu" if torch.cuda.device_count() >= ranks else "cpu",
            devices=ranks,
            strategy=strategy,
            max_epochs=1,  # the peer's updates count twice, so not max_steps
            limit_train_batches=batches,
            limit_val_batches=0,
            default_root_dir=folder,
            callbacks=[times],
            logger=False,
            use_distributed_sampler=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        trainer.fit(make(), datamodule=data)
    return BATCH_SIZE * ranks / times.median


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", choices=list(OPTIONS), default="dcgan")
    parser.add_argument("--batches", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore")
    silence_unhelpful_messages()
    seed_everything(0, verbose=False)
    first_rank = "LOCAL_RANK" not in os.environ

    plain = partial(PlainGAN, arguments.networks)
    ours = partial(GAN, networks=arguments.networks, network_options=OPTIONS[arguments.networks])
    data = SyntheticCIFAR10(batch_size=BATCH_SIZE, normalization="symmetric", crop_padding=0, horizontal_flip=False)
    speed = partial(fit, data=data, batches=arguments.batches)
    title = f"Training a GAN ({arguments.networks}) on 32x32 images, batches of {BATCH_SIZE}"

    if first_rank:
        peer = "Lightning's example"
        contestants = {peer: partial(speed, plain, ranks=1, strategy="auto")}
        contestants["this project"] = partial(speed, ours, ranks=1, strategy="auto")
        print(report(f"{title}, one process", measure(contestants, arguments.rounds), peer))
    if torch.cuda.device_count() == 1:
        print(f"\nOne GPU: no comparison on {RANKS} ranks, which need one each, or none at all.")
        return

    peer = "Lightning's example, `ddp_find_unused_parameters_true`"
    contestants = {peer: partial(speed, plain, ranks=RANKS, strategy="ddp_find_unused_parameters_true")}
    contestants["this project, `ddp`"] = partial(speed, ours, ranks=RANKS, strategy="ddp")
    with ExitStack() as quiet:
        if not first_rank:  # one bar is enough
            quiet.enter_context(redirect_stderr(quiet.enter_context(open(os.devnull, "w"))))
        speeds = measure(contestants, arguments.rounds)
    if first_rank:
        print(f"\n{report(f'{title} of each of {RANKS} ranks', speeds, peer)}")


if __name__ == "__main__":
    main()
