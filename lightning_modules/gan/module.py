"""Generative adversarial networks (Goodfellow et al. 2014): two networks, two optimizers, one batch a step.

Each batch updates the discriminator once, and every `discriminator_steps`-th also the generator:

    real, fake = x, G(z)
    discriminator: loss of d(real) and d(fake), in which the generator has no part  →  backward, average, step
    generator:     loss of d(fake), in which the weights of d are constants         →  backward, average, step

Lightning counts the updates of every optimizer; here only those of the discriminator count, so that
`trainer.global_step`, checkpoints, loggers and `max_steps` mean batches.
"""

from dataclasses import asdict
from functools import partial
from typing import Any, Literal

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from torch import Tensor, nn

from lightning_modules.batches import Batch, as_batch
from lightning_modules.gan.draws import BEFORE_TRAINING, Draws
from lightning_modules.gan.evaluation import DiscriminatorMetrics, Images
from lightning_modules.gan.networks import NetworkName, build_networks, initialize_from_data, require_positive
from lightning_modules.gan.objectives import OBJECTIVES, ObjectiveName
from lightning_modules.gan.players import Discriminator, Generator, Losses, take_buffers_of_rank_0
from lightning_modules.gan.semi_supervised import SemiSupervised
from lightning_modules.gan.stabilizers import NO_STABILIZERS, Stabilizers
from lightning_modules.logged_steps import is_logged_step

CALLABLES = [f"{player}_{kind}" for player in ("discriminator", "generator") for kind in ("optimizer", "lr_scheduler")]


class GAN(LightningModule):
    """Generative adversarial network.

    Images are expected in [-1, 1]: `--data.normalization symmetric`.

    Args:
        networks: Generator and discriminator, by the name of their file in `lightning_modules/gan/networks`.
        network_options: Options of these networks, such as {"width": 64}; they are the arguments of `build` in that
            file.
        conditional: Whether both networks get the class of each image as an input.
        objective: Objective of both networks.
        feature_matching: Distance between mean features of real and fake images, which the generator minimizes instead
            of its objective: squared, as printed (Salimans et al. 2016, §3.1), or absolute, as in the released code;
            null keeps the objective.
        labels_per_class: Number of labeled training images of each class, for a semi-supervised discriminator (Salimans
            et al. 2016, §5); each step sees a batch of them. Null trains without labels.
        supervised_weight: Weight of the loss on labeled images: 1 as printed, 2 as in the released code.
        stabilizers: Techniques that stabilize the training, such as {"gradient_penalty": 10}.
        discriminator_steps: Number of discriminator updates for each generator update.
        generator_batch: Number of fake images in a generator update for each real image of the batch; above 1, all of
            them are new.
        ema_decay: Decay of an exponential moving average of the generator's weights, which then makes the samples; null
            uses the weights themselves.
        accumulate_batches: Number of batches whose gradients are accumulated for one update.
        generator_optimizer: Optimizer of the generator, without its parameters; null is DCGAN's Adam (learning rate
            2e-4, betas 0.5 and 0.999).
        discriminator_optimizer: Optimizer of the discriminator, without its parameters; null is the same Adam.
        generator_lr_scheduler: Learning rate schedule of the generator, which counts generator updates; null keeps the
            rate constant.
        discriminator_lr_scheduler: Learning rate schedule of the discriminator, which counts discriminator updates;
            null keeps the rate constant.
        num_classes: Number of classes; the command line takes it from the data set.
        in_channels: Number of channels of the images; the command line takes it from the data set.
        image_size: Height and width of the images in pixels; the command line takes it from the data set.
        channels_last: Whether to keep images and weights in NHWC memory order.
        compile: Whether to compile both networks with torch.compile; the keys of checkpoints stay the same.

    Raises:
        ValueError: The arguments do not go together.
    """

    def __init__(
        self,
        *,
        networks: NetworkName = "dcgan",
        network_options: dict[str, Any] | None = None,
        conditional: bool = False,
        objective: ObjectiveName = "non_saturating",
        feature_matching: Literal["squared", "absolute"] | None = None,
        labels_per_class: int | None = None,
        supervised_weight: float = 1.0,
        stabilizers: Stabilizers = NO_STABILIZERS,
        discriminator_steps: int = 1,
        generator_batch: int = 1,
        ema_decay: float | None = None,
        accumulate_batches: int = 1,
        generator_optimizer: OptimizerCallable | None = None,
        discriminator_optimizer: OptimizerCallable | None = None,
        generator_lr_scheduler: LRSchedulerCallable | None = None,
        discriminator_lr_scheduler: LRSchedulerCallable | None = None,
        num_classes: int | None = None,
        in_channels: int | None = None,
        image_size: int | None = None,
        channels_last: bool = False,
        compile: bool = False,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        # Checkpoints must load with weights_only, so they hold no callables, and the stabilizers as a dict.
        self.save_hyperparameters(ignore=[*CALLABLES, "stabilizers"], logger=False)
        stabilizers = Stabilizers(**stabilizers) if isinstance(stabilizers, dict) else stabilizers
        self.hparams["stabilizers"] = asdict(stabilizers)
        counts = {"discriminator_steps": discriminator_steps, "generator_batch": generator_batch}
        require_positive(**counts, accumulate_batches=accumulate_batches, labels_per_class=labels_per_class)
        if supervised_weight < 0:
            raise ValueError(f"supervised_weight must be at least 0, not {supervised_weight}.")
        stabilizers.check_objective(objective)
        self.num_classes = 10 if num_classes is None else num_classes
        self.in_channels = 3 if in_channels is None else in_channels
        self.image_size = 32 if image_size is None else image_size
        classes = self.num_classes if conditional or labels_per_class is not None else None
        sizes: Any = {"image_size": self.image_size, "in_channels": self.in_channels, "num_classes": classes}
        self.generator, self.discriminator = build_networks(networks, **sizes, **(network_options or {}))
        self.semi_supervised: SemiSupervised | None = None
        if labels_per_class is not None:
            self.semi_supervised = SemiSupervised(self.discriminator, labels_per_class, supervised_weight)
        losses = Losses(OBJECTIVES[objective], feature_matching, self.semi_supervised, stabilizers)
        self.players = (
            Discriminator(self.discriminator, losses, discriminator_optimizer, discriminator_lr_scheduler),
            Generator(self.generator, losses, generator_optimizer, generator_lr_scheduler, conditional, ema_decay),
        )
        self.architecture = f"GAN ({networks})"
        self.conditional = conditional
        self.discriminator_steps = discriminator_steps
        self.accumulate_batches = accumulate_batches
        self.generator_parts = generator_batch * accumulate_batches
        self.channels_last = channels_last
        self.compile_networks = compile
        self.ema_generator = self.players[1].average
        self.history = nn.ModuleDict({player.name: player.history for player in self.players if player.history})
        metrics = partial(DiscriminatorMetrics, losses.objective.is_probability, labels_per_class is not None)
        self.evaluation = nn.ModuleDict({stage: metrics() for stage in ("val", "test")})
        self.batches = 0  # trained on, of this rank
        self.latest_metrics: dict[str, Tensor | float] = {}  # of the last updates, which not every batch has

    def setup(self, stage: str) -> None:
        """Check the command, the precision and the data, then arrange memory and compile.

        Raises:
            ValueError: They do not go together with this module.
        """
        if stage == "predict":
            raise ValueError("A GAN has nothing to predict: use validate or test, or its method sample in Python.")
        if self.trainer.precision == "16-mixed":
            raise ValueError("Two optimizers cannot share one gradient scaler: use trainer.precision bf16-mixed.")
        if getattr(getattr(self.trainer, "datamodule", None), "normalization", "symmetric") != "symmetric":
            raise ValueError("Generators make images in [-1, 1]: set data.normalization to symmetric.")
        if self.channels_last:
            self.to(memory_format=torch.channels_last)
        if self.compile_networks:
            self.generator.compile()  # in place: unlike torch.compile(network), it leaves the keys alone
            self.discriminator.compile()

    def on_fit_start(self) -> None:
        """Find the images that keep their label; let networks of which the paper says so begin with fitting weights.

        Raises:
            ValueError: The data set has not so many images with labels, or cannot give the images that this takes.
        """
        data: Any = getattr(self.trainer, "datamodule", None)
        draws = Draws.of(self, self.batches)
        if self.semi_supervised is not None:
            self.semi_supervised.find_labeled_images(data, draws.seed, self.device)
        if self.batches == 0:
            draw_latents = partial(draws.latents, self.generator, part=BEFORE_TRAINING)
            initialize_from_data(self.generator, self.discriminator, data, draw_latents)
            if self.ema_generator is not None:
                self.ema_generator.load_state_dict(self.generator.state_dict())

    def configure_optimizers(self) -> Any:
        """The optimizers of discriminator and generator, and the schedules of those that have one."""
        optimizers = [player.make_optimizer_and_schedule() for player in self.players]
        return optimizers, [player.lr_scheduler for player in self.players if player.lr_scheduler is not None]

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        """Images (B, C, H, W) in [-1, 1] of latents (B, latent_size)."""
        return self.generator(latents, labels)

    def metric_names(self) -> set[str]:
        """Names of all that a training logs, validations included."""
        names = {f"gradients/{player.name}" for player in self.players}
        names |= {f"train/{name}" for name in self.players[0].losses.metric_names()}
        return names | {f"val/{name}" for name, _ in self.evaluation["val"].named_children()}

    def on_before_batch_transfer(self, batch: Any, dataloader_idx: int) -> Batch:
        """Read what any DataLoader hands out; see `as_batch`."""
        return as_batch(batch, self.num_classes if self.conditional else None, (-1.0, 1.0))

    def training_step(self, batch: Batch, batch_idx: int) -> None:
        """Update the discriminator, and the generator if it is its turn.

        Raises:
            NonFiniteLossError: A loss is NaN or infinite; the network was not updated.
        """
        draws, real = Draws.of(self, self.batches), self._real_images(batch)
        discriminator, generator = self.players
        updates, more_batches = divmod(self.batches + 1, self.accumulate_batches)
        generator_too = not more_batches and updates % self.discriminator_steps == 0
        # The same fake images serve both players, unless the generator needs others.
        with torch.set_grad_enabled(generator_too and self.generator_parts == 1):
            fake = generator.fake_images(draws, len(real.images), 0)
        loss, metrics = discriminator.loss(draws, real, fake)
        self.latest_metrics |= {f"train/{name}": value for name, value in metrics.items()}
        discriminator.backward(self, loss, self.accumulate_batches)
        if not more_batches:
            self.latest_metrics["gradients/discriminator"] = discriminator.update(self)
        if generator_too:
            mean_loss = generator.add_gradients(self, draws, real, fake, self.generator_parts, discriminator)
            self.latest_metrics |= {"gradients/generator": generator.update(self), "train/loss_generator": mean_loss}
        self.batches += 1
        if is_logged_step(self.trainer):
            for name, latest in self.latest_metrics.items():
                self.log(name, latest, prog_bar=name.startswith("train/loss_"))

    def _real_images(self, batch: Batch) -> Images:
        images = batch.images.contiguous(memory_format=torch.channels_last) if self.channels_last else batch.images
        return Images(images, batch.labels.clamp_min(0) if self.conditional else None)

    def on_validation_start(self) -> None:
        """Judge all ranks' images by the same networks."""
        take_buffers_of_rank_0(self.generator, self.discriminator)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Let the discriminator judge images that it was not trained on, and as many fake ones."""
        stage, real = "test" if self.trainer.testing else "val", self._real_images(batch)
        latents = Draws.of(self, self.batches).evaluation_latents(self.generator, len(batch.labels), batch_idx)
        fake = Images(self.generator(latents, real.labels), real.labels)
        metrics: Any = self.evaluation[stage]
        metrics.add(self.discriminator, real, fake, batch.labels)
        self.log_dict({f"{stage}/{name}": mean for name, mean in metrics.items()}, on_step=False, on_epoch=True)

    test_step = validation_step

    def sample(self, count: int, labels: Tensor | None = None, *, seed: int = 0) -> Tensor:
        """Images of the generator, of its average where there is one, in evaluation mode; the same for the same seed.

        Args:
            count: Number of images.
            labels: Classes of the images, for a conditional generator; by default 0, 1, 2, … in turn. Shape (count,).
            seed: Seed of the latents.

        Returns:
            In [-1, 1], on the module's device. Shape (count, C, H, W).
        """
        return self.images_of(self.generator.draw_latents(count, torch.Generator().manual_seed(seed)), labels)

    def images_of(self, latents: Tensor, labels: Tensor | None = None, batch_size: int = 250) -> Tensor:
        """Images of given latents (N, latent_size), `batch_size` at a time; see `sample`."""
        return (self.ema_generator or self.generator).images_of(latents, labels, self.device, batch_size)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Put the count of batches into the checkpoint, and the networks' name, so that others refuse it."""
        checkpoint |= {"architecture": self.architecture, "batches": self.batches}
        checkpoint["newest"] = {name: float(value) for name, value in self.latest_metrics.items()}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Go on counting."""
        self.batches, self.latest_metrics = checkpoint["batches"], dict(checkpoint["newest"])
