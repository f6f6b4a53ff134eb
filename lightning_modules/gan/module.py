"""Generative adversarial networks (Goodfellow et al. 2014): two networks, two optimizers, one batch a step.

Each batch updates the discriminator once, and every `discriminator_steps`-th also the generator:

    real, fake = x, G(z)
    discriminator: loss of d(real) and d(fake), in which the generator has no part  →  backward, average, step
    generator:     loss of d(fake), in which the weights of d are constants         →  backward, average, step

Lightning counts the updates of every optimizer; here only those of the discriminator count, so that
`trainer.global_step`, checkpoints, loggers and `max_steps` mean batches.

Under DDP the gradients are averaged here, those of the network that is updated and no others. DDP's own reducer wants a
gradient for each parameter in each backward pass; it would send all of both networks twice, or refuse.
"""

from contextlib import nullcontext
from dataclasses import asdict
from functools import partial
from typing import Any, Literal

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from torch import Tensor, nn
from torch.optim import Adam

from lightning_modules.classifier import Batch
from lightning_modules.gan.draws import BEFORE_TRAINING, Draws
from lightning_modules.gan.evaluation import DiscriminatorMetrics
from lightning_modules.gan.networks import NetworkName, build_networks, in_memory_order, initialize_from_data
from lightning_modules.gan.objectives import OBJECTIVES, ObjectiveName
from lightning_modules.gan.players import Discriminator, Generator, Images, Player, take_buffers_of_rank_0
from lightning_modules.gan.semi_supervised import SemiSupervised
from lightning_modules.gan.stabilizers import Stabilizers

INITIALIZATION_IMAGES = 500
LEAST = {"supervised_weight": 0, "discriminator_steps": 1, "generator_batch": 1, "accumulate_batches": 1}


class GAN(LightningModule):
    """Generative adversarial network.

    Images are expected in [-1, 1]: `--data.normalization symmetric`.

    Args:
        networks: Name of the pair of networks: mlp (Goodfellow et al. 2014), dcgan (Radford et al. 2015), improved
            (Salimans et al. 2016), resnet (Gulrajani et al. 2017, Miyato et al. 2018).
        network_options: Options of these networks, such as {"width": 64}; see `lightning_modules/gan/networks`.
        conditional: Whether both networks are told the class of an image.
        objective: Objective of both networks: minimax, non_saturating, least_squares, hinge or wasserstein.
        feature_matching: Distance of mean features that the generator minimizes in the place of its objective: squared,
            as printed (Salimans et al. 2016, §3.1), or absolute, as in the released code; null for the objective.
        labels_per_class: Number of images of each class that keep their label, for a semi-supervised discriminator
            (Salimans et al. 2016, §5), which sees a batch of them in each step; null trains without labels.
        supervised_weight: Weight of the loss of labeled images; 1 is as printed, 2 has the released code's proportions.
        stabilizers: Techniques that keep the training stable, such as {"gradient_penalty": 10}.
        discriminator_steps: Number of updates of the discriminator for each update of the generator.
        generator_batch: Number of fake images in the generator's update for each real image; more than 1 are new ones.
        ema_decay: Part of the old average in the new one, for the moving average of the generator's weights from which
            samples are drawn; null keeps no average.
        accumulate_batches: Number of batches whose gradients are added up for one update.
        generator_optimizer: Optimizer of the generator, given without its parameters.
        discriminator_optimizer: Optimizer of the discriminator, given without its parameters.
        generator_lr_scheduler: Learning rate schedule of the generator, which counts the generator's updates; null
            keeps the rate constant.
        discriminator_lr_scheduler: Learning rate schedule of the discriminator, which counts the discriminator's
            updates; null keeps the rate constant.
        num_classes: Number of classes; the command line takes it from the data set.
        in_channels: Number of channels of the images; the command line takes it from the data set.
        image_size: Height and width of the images in pixels; the command line takes it from the data set.
        channels_last: Whether images and weights are kept in NHWC memory order.
        compile: Whether both networks are compiled with torch.compile; the keys of checkpoints stay the same.

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
        stabilizers: Stabilizers = Stabilizers(),
        discriminator_steps: int = 1,
        generator_batch: int = 1,
        ema_decay: float | None = None,
        accumulate_batches: int = 1,
        generator_optimizer: OptimizerCallable = lambda parameters: Adam(parameters, lr=2e-4, betas=(0.5, 0.999)),
        discriminator_optimizer: OptimizerCallable = lambda parameters: Adam(parameters, lr=2e-4, betas=(0.5, 0.999)),
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
        players = ("discriminator", "generator")
        callables = [f"{player}_{kind}" for player in players for kind in ("optimizer", "lr_scheduler")]
        # Checkpoints must load with weights_only, so they hold no callables, and the stabilizers as a dict.
        self.save_hyperparameters(ignore=[*callables, "stabilizers"], logger=False)
        if isinstance(stabilizers, dict):
            stabilizers = Stabilizers(**stabilizers)
        self.hparams["stabilizers"] = asdict(stabilizers)
        for name, least in LEAST.items():
            if self.hparams[name] < least:
                raise ValueError(f"{name} must be at least {least}, not {self.hparams[name]}.")
        if ema_decay is not None and not 0 < ema_decay < 1:
            raise ValueError(f"ema_decay must lie between 0 and 1, such as 0.9999: {ema_decay} does not.")
        stabilizers.check_objective(objective)
        self.num_classes = 10 if num_classes is None else num_classes
        self.in_channels = 3 if in_channels is None else in_channels
        self.image_size = 32 if image_size is None else image_size
        self.generator, self.discriminator = build_networks(
            networks,
            image_size=self.image_size,
            in_channels=self.in_channels,
            num_classes=self.num_classes if conditional or labels_per_class is not None else None,
            **(network_options or {}),
        )
        if conditional and self.generator.num_classes is None:
            raise ValueError(f"The networks {networks} are told no classes: set conditional to false, or use others.")
        self.semi_supervised: SemiSupervised | None = None
        if labels_per_class is not None:
            self.semi_supervised = SemiSupervised(
                self.discriminator, networks, labels_per_class, supervised_weight, channels_last
            )
        losses = OBJECTIVES[objective]
        self.discriminator_player = Discriminator(
            self.discriminator,
            stabilizers,
            discriminator_optimizer,
            discriminator_lr_scheduler,
            objective=losses,
            semi_supervised=self.semi_supervised,
        )
        self.generator_player = Generator(
            self.generator,
            stabilizers,
            generator_optimizer,
            generator_lr_scheduler,
            objective=losses,
            feature_matching=feature_matching,
            num_classes=self.num_classes if conditional else None,
            ema_decay=ema_decay,
        )
        self.architecture = f"GAN ({networks})"
        self.conditional = conditional
        self.discriminator_steps = discriminator_steps
        self.generator_batch = generator_batch
        self.accumulate_batches = accumulate_batches
        self.channels_last = channels_last
        self.compile_networks = compile
        self.ema_generator = self.generator_player.average
        self.players: tuple[Player[Any], ...] = (self.discriminator_player, self.generator_player)
        self.history = nn.ModuleDict({player.name: player.history for player in self.players if player.history})
        self.evaluation = nn.ModuleDict(
            {
                stage: DiscriminatorMetrics(losses.is_probability, labels_per_class is not None)
                for stage in ("val", "test")
            }
        )
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
            raise ValueError("Two optimizers do not share one scale of gradients: use trainer.precision bf16-mixed.")
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
            ValueError: The data set has not so many images with labels.
        """
        data: Any = getattr(self.trainer, "datamodule", None)
        draws = Draws.of(self, self.batches)
        if self.semi_supervised is not None:
            self.semi_supervised.find_labeled_images(data, draws.seed, self.device)
        if self.batches or not hasattr(data, "plain_training_loader"):
            return
        batch = next(iter(data.plain_training_loader(INITIALIZATION_IMAGES)))
        real = data.on_after_batch_transfer(batch._replace(images=batch.images.to(self.device)), 0).images
        initialize_from_data(
            self.generator, self.discriminator, draws.latents(self.generator, len(real), BEFORE_TRAINING), real
        )
        if self.ema_generator is not None:
            self.ema_generator.load_state_dict(self.generator.state_dict())

    def configure_optimizers(self) -> Any:
        """The optimizers of discriminator and generator, and the schedules of those that have one."""
        optimizers = [player.make_optimizer_and_schedule() for player in self.players]
        return optimizers, [player.lr_scheduler for player in self.players if player.lr_scheduler is not None]

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        """Images (B, C, H, W) in [-1, 1] of latents (B, latent_size)."""
        return self.generator(latents, labels)

    def training_step(self, batch: Batch, batch_idx: int) -> None:
        """Update the discriminator, and the generator if it is its turn.

        Raises:
            NonFiniteLossError: A loss is NaN or infinite; the network was not updated.
        """
        draws, discriminator = Draws.of(self, self.batches), self.discriminator_player
        real = self._told(in_memory_order(batch.images, self.channels_last), batch.labels)
        updates, more_batches = divmod(self.batches + 1, self.accumulate_batches)
        generator_too = not more_batches and updates % self.discriminator_steps == 0
        # The same fake images serve both players, unless the generator needs others.
        shared = generator_too and self.generator_batch == self.accumulate_batches == 1
        with nullcontext() if shared else torch.no_grad():
            fake = self.generator_player.fake_images(draws, len(real.images), 0)
        loss, metrics = discriminator.loss(draws, real, fake._replace(images=fake.images.detach()))
        for name, value in metrics.items():
            self.log(f"train/{name}", value, prog_bar=name == "loss_discriminator")
        discriminator.backward(self, loss, self.accumulate_batches)
        if not more_batches:
            optimizers: Any = self.optimizers()
            self.latest_metrics["gradients/discriminator"] = discriminator.update(optimizers[0].step)
        if generator_too:
            self._update_generator(draws, real, fake if shared else None)
        self.batches += 1
        for name, value in self.latest_metrics.items():  # each batch, as Lightning would, but not after a resume
            self.log(name, value, prog_bar=name == "train/loss_generator")

    def _update_generator(self, draws: Draws, real: Images, shared: Images | None) -> None:
        player, parts = self.generator_player, self.generator_batch * self.accumulate_batches
        total = real.images.new_zeros((), dtype=torch.float32)
        with self.discriminator_player.held_constant():
            for part in range(1, parts + 1):
                fake = shared or player.fake_images(draws, len(real.images), part)
                loss = player.loss(draws, real, fake, part, self.discriminator)
                player.backward(self, loss, parts)
                total += loss.detach() / parts
        # The strategy's step is that of a LightningOptimizer, without the count: global_step is the discriminator's.
        step = partial(self.trainer.strategy.optimizer_step, player.optimizer, _no_closure)
        self.latest_metrics |= {"gradients/generator": player.update(step), "train/loss_generator": total}

    def _told(self, images: Tensor, labels: Tensor) -> Images:
        return Images(images, labels if self.conditional else None)

    def on_validation_start(self) -> None:
        """Judge all ranks' images by the same networks."""
        take_buffers_of_rank_0(self.generator)
        take_buffers_of_rank_0(self.discriminator)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Let the discriminator judge images that it was not trained on, and as many fake ones."""
        self._evaluation_step("val", batch, batch_idx)

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        """Let the discriminator judge the test images, and as many fake ones."""
        self._evaluation_step("test", batch, batch_idx)

    def _evaluation_step(self, stage: str, batch: Batch, batch_idx: int) -> None:
        counted = batch.labels >= 0
        real = self._told(in_memory_order(batch.images, self.channels_last), batch.labels.clamp_min(0))
        latents = Draws.of(self, self.batches).evaluation_latents(self.generator, len(counted), batch_idx)
        on_fake = self.discriminator(self.generator(latents, real.labels), real.labels)[counted].float()
        on_real = self.discriminator(*real)[counted].float()
        class_is_right = None
        if self.semi_supervised is not None:
            class_is_right = (self.semi_supervised.class_logits(real.images).argmax(1) == batch.labels)[counted]
        metrics = self.evaluation[stage]
        assert isinstance(metrics, DiscriminatorMetrics)
        metrics.add(on_real, on_fake, class_is_right)
        self.log_dict({f"{stage}/{name}": mean for name, mean in metrics.means.items()}, on_step=False, on_epoch=True)

    def sample(self, count: int, labels: Tensor | None = None, *, seed: int = 0, batch_size: int = 250) -> Tensor:
        """Images of the generator, of its average where there is one, in evaluation mode; the same for the same seed.

        Args:
            count: Number of images.
            labels: Classes of the images, for a conditional generator; by default 0, 1, 2, … in turn. Shape (count,).
            seed: Seed of the latents.
            batch_size: Number of images that are made at a time.

        Returns:
            In [-1, 1], on the module's device. Shape (count, C, H, W).
        """
        latents = self.generator.draw_latents(count, torch.Generator().manual_seed(seed))
        return self.images_of(latents, labels, batch_size=batch_size)

    def images_of(self, latents: Tensor, labels: Tensor | None = None, *, batch_size: int = 250) -> Tensor:
        """Images of given latents (N, latent_size); see `sample`."""
        if labels is None and self.conditional:
            labels = torch.arange(len(latents)) % self.num_classes
        return (self.ema_generator or self.generator).images_of(latents, labels, self.device, batch_size)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Put the count of batches into the checkpoint, and the networks' name, so that others refuse it."""
        checkpoint |= {"architecture": self.architecture, "batches": self.batches}
        checkpoint["newest"] = {name: float(value) for name, value in self.latest_metrics.items()}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Go on counting."""
        self.batches, self.latest_metrics = checkpoint["batches"], dict(checkpoint["newest"])


def _no_closure() -> None:
    """Gradients are there when the optimizer makes its step."""
