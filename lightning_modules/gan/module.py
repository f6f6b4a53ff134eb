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

import copy
import os
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal

import torch
import torch.nn.functional as F
from lightning.pytorch import LightningModule
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from lightning.pytorch.core.optimizer import LightningOptimizer
from lightning.pytorch.strategies import ParallelStrategy
from torch import Tensor, nn
from torch.optim import Adam

from lightning_modules.classifier import Batch, NonFiniteLossError
from lightning_modules.gan.draws import Purpose, seed_of, share_of_rank
from lightning_modules.gan.gradients import constant
from lightning_modules.gan.guesses import Guesses
from lightning_modules.gan.labels import LabeledImages, labeled_images
from lightning_modules.gan.networks import GeneratorNetwork, NetworkName, build_networks
from lightning_modules.gan.objectives import (
    EQUILIBRIUM,
    OBJECTIVES,
    ObjectiveName,
    feature_matching_loss,
    value_of_the_game,
)
from lightning_modules.gan.penalties import (
    WeightHistory,
    clip_weights,
    gradient_penalty,
    historical_penalty,
    r1_penalty,
)
from lightning_modules.gan.ranks import average_over_ranks, take_buffers_of_rank_0
from lightning_modules.gan.settings import check_settings

BEGIN_WITH = 500  # images that initial weights are made to fit


class GAN(LightningModule):
    """Generative adversarial network.

    Images are expected in [-1, 1]: `--data.normalization symmetric`.

    Args:
        networks: mlp (Goodfellow 2014), dcgan (Radford 2015), improved (Salimans 2016), resnet (Gulrajani 2017, Miyato
            2018).
        network_options: Options of these networks, such as {"width": 64}; see `lightning_modules/gan/networks`.
        conditional: Whether both networks are told the class.
        objective: minimax, non_saturating, least_squares, hinge or wasserstein.
        feature_matching: Whether the generator matches the discriminator's mean features instead of its objective:
            squared, as printed (Salimans 2016, §3.1); absolute, as in the released code; null for the objective.
        labels_per_class: For the semi-supervised discriminator of K + 1 classes (Salimans 2016, §5): how many images of
            each class keep their label, of which each step sees a batch; null for none.
        supervised_weight: Weight of their loss; 1 is as printed, 2 has the proportions of the released code.
        discriminator_steps: Updates of the discriminator for each one of the generator.
        generator_batch: Fake images of the generator's update, for each real one; with more than 1 they are drawn anew.
        gradient_penalty: Weight of the gradient penalty; 10 in WGAN-GP.
        r1: Weight γ of the R1 penalty; 10 in Mescheder et al. 2018.
        weight_clip: Limit of the discriminator's weights; 0.01 in WGAN; null for none.
        historical_averaging: Weight of the distance from the mean of earlier weights, of both networks.
        label_smoothing: What is taken off the target of real images, and of these only (Salimans 2016, §3.4).
        instance_noise: Standard deviation of noise on real and fake images, which falls to 0 in a line over
            `instance_noise_steps` (Sønderby et al. 2017).
        instance_noise_steps: Steps until it is 0.
        ema_decay: Part of the old mean in that of the generator's weights, at each of its updates; null for no mean.
        accumulate_batches: Batches of which the gradients are added up for one update.
        gradient_clip_val: Largest norm of a network's gradient; null for none.
        generator_optimizer: Optimizer of the generator, given without its parameters.
        discriminator_optimizer: That of the discriminator.
        generator_lr_scheduler: Schedule of the generator, which counts its updates; null keeps the rate constant.
        discriminator_lr_scheduler: That of the discriminator, which counts its own.
        num_classes: Number of classes; the command line takes it from the data set.
        in_channels: Channels of the images; taken from the data set likewise.
        image_size: Height and width of the images in pixels; taken from the data set likewise.
        channels_last: Keep images and weights in NHWC memory order.
        compile: Compile both networks with torch.compile; the keys of checkpoints stay the same.

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
        discriminator_steps: int = 1,
        generator_batch: int = 1,
        gradient_penalty: float = 0.0,
        r1: float = 0.0,
        weight_clip: float | None = None,
        historical_averaging: float = 0.0,
        label_smoothing: float = 0.0,
        instance_noise: float = 0.0,
        instance_noise_steps: int = 10_000,
        ema_decay: float | None = None,
        accumulate_batches: int = 1,
        gradient_clip_val: float | None = None,
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
        self.num_classes = 10 if num_classes is None else num_classes
        self.in_channels = 3 if in_channels is None else in_channels
        self.image_size = 32 if image_size is None else image_size
        self.save_hyperparameters(
            ignore=[
                "generator_optimizer",
                "discriminator_optimizer",
                "generator_lr_scheduler",
                "discriminator_lr_scheduler",
            ],
            logger=False,
        )
        check_settings(self.hparams)
        self.generator, self.discriminator = build_networks(
            networks,
            image_size=self.image_size,
            in_channels=self.in_channels,
            num_classes=self.num_classes if conditional or labels_per_class is not None else None,
            **(network_options or {}),
        )
        if labels_per_class is not None and not hasattr(self.discriminator, "class_logits"):
            raise ValueError(
                f"The discriminator of {networks} has no classes: use the networks improved, or leave "
                "labels_per_class out."
            )
        if conditional and self.generator.num_classes is None:
            raise ValueError(f"The networks {networks} are told no classes: set conditional to false, or use others.")
        self.architecture = f"GAN ({networks})"
        self.conditional = conditional
        self.objective = OBJECTIVES[objective]
        self.feature_matching = feature_matching
        self.labels_per_class = labels_per_class
        self.supervised_weight = supervised_weight
        self.discriminator_steps = discriminator_steps
        self.generator_batch = generator_batch
        self.gradient_penalty = gradient_penalty
        self.r1 = r1
        self.weight_clip = weight_clip
        self.historical_averaging = historical_averaging
        self.label_smoothing = label_smoothing
        self.instance_noise = instance_noise
        self.instance_noise_steps = instance_noise_steps
        self.ema_decay = ema_decay
        self.accumulate_batches = accumulate_batches
        self.gradient_clip_val = gradient_clip_val
        self.optimizers_of = {"discriminator": discriminator_optimizer, "generator": generator_optimizer}
        self.schedulers_of = {"discriminator": discriminator_lr_scheduler, "generator": generator_lr_scheduler}
        self.channels_last = channels_last
        self.compile_networks = compile
        self.ema_generator: GeneratorNetwork | None = None
        if ema_decay is not None:
            self.ema_generator = copy.deepcopy(self.generator).requires_grad_(False)
        self.history = nn.ModuleDict()
        if historical_averaging:
            self.history = nn.ModuleDict(
                {"discriminator": WeightHistory(self.discriminator), "generator": WeightHistory(self.generator)}
            )
        self.batches = 0  # trained on, of this rank
        self.newest: dict[str, Tensor | float] = {}  # figures of the last updates, which not every batch has
        self._labeled: LabeledImages | None = None
        self.guesses = nn.ModuleDict(
            {
                stage: Guesses(self.objective.is_probability, tells_classes=labels_per_class is not None)
                for stage in ("val", "test")
            }
        )

    def setup(self, stage: str) -> None:
        """Check the command, the precision and the data, then arrange memory and compile.

        Raises:
            ValueError: They do not go together with this module.
        """
        if stage == "predict":
            raise ValueError("A GAN has nothing to predict: use validate or test, or its method sample in Python.")
        if self.trainer.precision == "16-mixed":
            raise ValueError("Two optimizers do not share one scale of gradients: use trainer.precision bf16-mixed.")
        data = getattr(self.trainer, "datamodule", None)
        if getattr(data, "normalization", "symmetric") != "symmetric":
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
        if self.labels_per_class is not None:
            self._labeled = labeled_images(data, self.labels_per_class, self.seed, self.device)
        if self.batches or not hasattr(data, "plain_training_loader"):
            return
        batch = next(iter(data.plain_training_loader(BEGIN_WITH)))
        real = data.on_after_batch_transfer(batch._replace(images=batch.images.to(self.device)), 0).images
        latents = self._drawn(Purpose.LATENTS, -1, self.generator.draw_latents, len(real))
        for network, seen in ((self.generator, latents), (self.discriminator, real)):
            if (initialize := getattr(network, "initialize_from_data", None)) is not None:
                initialize(seen)
        if (set_output_bias := getattr(self.generator, "set_output_bias", None)) is not None:
            set_output_bias(real)
        if self.ema_generator is not None:
            self.ema_generator.load_state_dict(self.generator.state_dict())

    def configure_optimizers(self) -> Any:
        """The injected optimizers over the parameters of each network, with the injected schedules."""
        optimizers, schedulers = [], []
        for name in ("discriminator", "generator"):
            parameters = [p for p in getattr(self, name).parameters() if p.requires_grad]
            optimizers.append(self.optimizers_of[name](parameters))
            make = self.schedulers_of[name]
            if make is not None:
                schedulers.append(make(optimizers[-1]))
        return optimizers, schedulers

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        """Images (B, C, H, W) in [-1, 1] of latents (B, latent_size)."""
        return self.generator(latents, labels)

    def training_step(self, batch: Batch, batch_idx: int) -> None:
        """Update the discriminator, and the generator if it is its turn.

        Raises:
            NonFiniteLossError: A loss is NaN or infinite; the network was not updated.
        """
        real = self._arranged(batch.images)
        update = (self.batches + 1) % self.accumulate_batches == 0
        generator_too = update and (self.batches + 1) // self.accumulate_batches % self.discriminator_steps == 0
        # The same fake images serve both players, unless the generator needs others.
        shared = generator_too and self.generator_batch == self.accumulate_batches == 1
        with nullcontext() if shared else torch.no_grad():
            fake, labels = self._fakes(real)
        self._discriminator_step(real, batch.labels if self.conditional else None, fake.detach(), labels, update)
        if generator_too:
            self._generator_step(real, (fake, labels) if shared else None)
        self.batches += 1
        for name, value in self.newest.items():  # in each batch, as Lightning would repeat them, but not after a resume
            self.log(name, value, prog_bar=name == "train/loss_generator")

    def _discriminator_step(
        self, real: Tensor, real_labels: Tensor | None, fake: Tensor, fake_labels: Tensor | None, update: bool
    ) -> None:
        optimizer = self._optimizer(0)
        noisy_real, noisy_fake = self._noisy(real, 0), self._noisy(fake, 1)
        on_real = self.discriminator(noisy_real, real_labels).float()
        on_fake = self.discriminator(noisy_fake, fake_labels).float()
        loss = self.objective.discriminator(on_real, on_fake, 1 - self.label_smoothing)
        self._log_game(on_real.detach(), on_fake.detach(), loss.detach())
        if self.gradient_penalty:
            mix = self._drawn(Purpose.MIX, 0, lambda count, source: torch.rand(count, generator=source), len(real))
            penalty = gradient_penalty(lambda x: self.discriminator(x, real_labels), noisy_real, noisy_fake, mix)
            self.log("train/gradient_penalty", penalty.detach())
            loss = loss + self.gradient_penalty * penalty
        if self.r1:
            penalty = r1_penalty(lambda x: self.discriminator(x, real_labels), noisy_real)
            self.log("train/r1", penalty.detach())
            loss = loss + self.r1 * penalty
        if self.labels_per_class is not None:
            loss = loss + self.supervised_weight * self._supervised_loss(len(real))
        self._backward(loss, "discriminator", self.accumulate_batches)
        if update:
            self._update(self.discriminator, optimizer, "discriminator")
            if self.weight_clip is not None:
                clip_weights(self.discriminator.parameters(), self.weight_clip)

    def _generator_step(self, real: Tensor, fakes: tuple[Tensor, Tensor | None] | None) -> None:
        optimizer = self._optimizer(1)
        parts = self.generator_batch * self.accumulate_batches
        total = real.new_zeros((), dtype=torch.float32)
        with constant(self.discriminator):
            for part in range(1, parts + 1):
                fake, labels = self._fakes(real, part) if fakes is None else fakes
                loss = self._generator_loss(real, self._noisy(fake, 1 + part), labels)
                self._backward(loss, "generator", parts)
                total += loss.detach() / parts
        self._update(self.generator, optimizer, "generator")
        self._update_mean()
        self.newest["train/loss_generator"] = total

    def _generator_loss(self, real: Tensor, fake: Tensor, labels: Tensor | None) -> Tensor:
        if self.feature_matching is None:
            return self.objective.generator(self.discriminator(fake, labels).float())
        with torch.no_grad():
            wanted = self.discriminator.features(real, labels).float()
        return feature_matching_loss(wanted, self.discriminator.features(fake, labels).float(), self.feature_matching)

    def _supervised_loss(self, count: int) -> Tensor:
        """Of as many images that keep their label as the batch has, drawn with replacement."""
        labeled = self._labeled
        assert labeled is not None
        chosen = self._drawn(
            Purpose.LABELED_IMAGES,
            0,
            lambda every, source: torch.randint(len(labeled.labels), (every,), generator=source),
            count,
        )
        images, labels = labeled.images[chosen], labeled.labels[chosen]
        classify: Any = self.discriminator.class_logits
        class_logits = classify(self._arranged(images)).float()
        self.log("train/acc1", (class_logits.argmax(1) == labels).float().mean())
        return F.cross_entropy(class_logits, labels)

    def _log_game(self, real: Tensor, fake: Tensor, loss: Tensor) -> None:
        self.log("train/loss_discriminator", loss, prog_bar=True)
        self.log("train/logit_real", real.mean())
        self.log("train/logit_fake", fake.mean())
        self.log("train/accuracy_real", (real > 0).float().mean())
        self.log("train/accuracy_fake", (fake < 0).float().mean())
        if self.objective.is_probability:
            self.log("train/distance_from_equilibrium", value_of_the_game(real, fake) - EQUILIBRIUM)

    def _backward(self, loss: Tensor, player: str, parts: int) -> None:
        """Add the gradients of one of `parts` parts of a batch to those of the player."""
        if self.historical_averaging:
            past, network = self.history[player], getattr(self, player)
            assert isinstance(past, WeightHistory)
            loss = loss + self.historical_averaging * historical_penalty(list(network.parameters()), past.means)
        if not loss.isfinite():
            raise NonFiniteLossError(
                f"The {player}'s loss is {loss.item()} at step {self.global_step} of epoch {self.current_epoch} "
                f"(rank {self.global_rank}); it was not updated: lower the learning rate or use more precision, then "
                "resume from the last checkpoint."
            )
        with self._no_reducer():
            self.manual_backward(loss / parts)

    def _optimizer(self, place: int) -> LightningOptimizer:
        optimizers = self.optimizers()
        assert isinstance(optimizers, list)
        optimizer = optimizers[place]
        assert isinstance(optimizer, LightningOptimizer)
        return optimizer

    def _update(self, network: nn.Module, optimizer: LightningOptimizer, player: str) -> None:
        gradients = [parameter.grad for parameter in network.parameters() if parameter.grad is not None]
        average_over_ranks(gradients)
        norm = torch.nn.utils.get_total_norm(gradients)
        self.newest[f"gradients/{player}"] = norm
        if self.gradient_clip_val is not None:
            torch.nn.utils.clip_grads_with_norm_(network.parameters(), self.gradient_clip_val, norm)
        if player == "generator":  # the updates of one player are the steps that Lightning counts
            optimizer._on_before_step = optimizer._on_after_step = _nothing
        optimizer.step()
        optimizer.zero_grad()
        if player in self.history:
            past = self.history[player]
            assert isinstance(past, WeightHistory)
            past.add(network)
        for config in self.trainer.lr_scheduler_configs:
            if config.scheduler.optimizer is optimizer.optimizer:
                config.scheduler.step()  # type: ignore[call-arg]

    def _update_mean(self) -> None:
        if self.ema_generator is None:
            return
        assert self.ema_decay is not None
        with torch.no_grad():
            for mean, now in zip(self.ema_generator.parameters(), self.generator.parameters(), strict=True):
                mean.lerp_(now, 1 - self.ema_decay)
            for buffer, newest in zip(self.ema_generator.buffers(), self.generator.buffers(), strict=True):
                buffer.copy_(newest)

    @property
    def seed(self) -> int:
        """Seed of the run, from which latents follow."""
        return int(os.environ.get("PL_GLOBAL_SEED", "42"))

    def _fakes(self, real: Tensor, part: int = 0) -> tuple[Tensor, Tensor | None]:
        """As many fake images as real ones, and their classes; `part` 0 is for the discriminator."""
        count = len(real)
        labels = None
        if self.conditional:
            labels = self._drawn(
                Purpose.CLASSES,
                part,
                lambda every, source: torch.randint(self.num_classes, (every,), generator=source),
                count,
            )
        latents = self._drawn(Purpose.LATENTS, part, self.generator.draw_latents, count)
        return self.generator(latents, labels), labels

    def _drawn(self, purpose: Purpose, part: int, draw: Callable[[int, torch.Generator], Tensor], count: int) -> Tensor:
        """This rank's share of what is drawn for a step on all ranks: the same for any number of them."""
        seed = seed_of(self.seed, purpose, part, self.batches)
        return share_of_rank(draw, count, seed=seed, rank=self.global_rank, world_size=self.trainer.world_size).to(
            self.device
        )

    def _noisy(self, images: Tensor, part: int) -> Tensor:
        left = 1 - self.batches / self.instance_noise_steps
        if not self.instance_noise or left <= 0:
            return images
        shape = images.shape[1:]
        noise = self._drawn(
            Purpose.NOISE, part, lambda every, source: torch.randn(every, *shape, generator=source), len(images)
        )
        return images + self.instance_noise * left * noise

    def on_validation_start(self) -> None:
        """Judge all ranks' images by the same networks."""
        take_buffers_of_rank_0(self.generator)
        take_buffers_of_rank_0(self.discriminator)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Let the discriminator guess on images that it was not trained on, and on as many fake ones."""
        self._evaluation_step("val", batch, batch_idx)

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        """The same for the test images."""
        self._evaluation_step("test", batch, batch_idx)

    @torch.no_grad()
    def sample(self, count: int, labels: Tensor | None = None, *, seed: int = 0, batch_size: int = 250) -> Tensor:
        """Images of the generator, of its mean where there is one, in evaluation mode; the same for the same seed.

        Args:
            count: How many.
            labels: Their classes, for a conditional generator; by default 0, 1, 2, … in turn. Shape (count,).
            seed: Of the latents.
            batch_size: Images at a time.

        Returns:
            In [-1, 1], on the module's device. Shape (count, C, H, W).
        """
        latents = self.generator.draw_latents(count, torch.Generator().manual_seed(seed))
        return self.images_of(latents, labels, batch_size=batch_size)

    @torch.no_grad()
    def images_of(self, latents: Tensor, labels: Tensor | None = None, *, batch_size: int = 250) -> Tensor:
        """Images of given latents (N, latent_size); see `sample`."""
        generator = self.generator if self.ema_generator is None else self.ema_generator
        if labels is None and self.conditional:
            labels = torch.arange(len(latents)) % self.num_classes
        training = generator.training
        generator.eval()
        images = [
            generator(
                latents[start : start + batch_size].to(self.device),
                None if labels is None else labels[start : start + batch_size].to(self.device),
            ).float()
            for start in range(0, len(latents), batch_size)
        ]
        generator.train(training)
        return torch.cat(images)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Put the count of batches into the checkpoint, and the networks' name, so that others refuse it."""
        checkpoint["architecture"] = self.architecture
        checkpoint["batches"] = self.batches
        checkpoint["newest"] = {name: float(value) for name, value in self.newest.items()}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Go on counting."""
        self.batches = checkpoint["batches"]
        self.newest = dict(checkpoint["newest"])

    def _evaluation_step(self, stage: str, batch: Batch, batch_idx: int) -> None:
        counted = batch.labels >= 0
        source = torch.Generator().manual_seed(seed_of(self.seed, Purpose.LATENTS, batch_idx, -1))
        world_size = self.trainer.world_size
        count = len(counted)
        # Rank r has images r, r + world_size, …: dealt out likewise, each image has the same partner on any ranks.
        latents = self.generator.draw_latents(count * world_size, source)[self.global_rank :: world_size].to(
            self.device
        )
        labels = batch.labels.clamp_min(0) if self.conditional else None
        images = self._arranged(batch.images)
        fake = self.discriminator(self.generator(latents, labels), labels)[counted].float()
        real = self.discriminator(images, labels)[counted].float()
        class_is_right = None
        if self.labels_per_class is not None:
            classify: Any = self.discriminator.class_logits
            class_is_right = (classify(images).argmax(1) == batch.labels)[counted]
        guesses = self.guesses[stage]
        assert isinstance(guesses, Guesses)
        guesses.add(real, fake, class_is_right)
        for name, mean in guesses.means.items():
            self.log(f"{stage}/{name}", mean, on_step=False, on_epoch=True)

    def _arranged(self, images: Tensor) -> Tensor:
        return images.contiguous(memory_format=torch.channels_last) if self.channels_last else images

    def _no_reducer(self) -> AbstractContextManager[None]:
        strategy = self.trainer.strategy
        return strategy.block_backward_sync() if isinstance(strategy, ParallelStrategy) else nullcontext()


def _nothing() -> None:
    """What Lightning is to do around the updates that it does not count."""
