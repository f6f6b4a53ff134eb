"""The two players: each a network with its loss and all that its training needs, on any number of ranks."""

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import Any, Generic, Literal, NamedTuple, TypeVar

import torch
import torch.distributed
from lightning.pytorch import LightningModule
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from lightning.pytorch.strategies import ParallelStrategy
from torch import Tensor, nn
from torch.optim import Optimizer

from lightning_modules.classifier import NonFiniteLossError
from lightning_modules.gan.draws import Draws
from lightning_modules.gan.evaluation import training_metrics
from lightning_modules.gan.networks import DiscriminatorNetwork, GeneratorNetwork
from lightning_modules.gan.objectives import Objective, feature_matching_loss
from lightning_modules.gan.semi_supervised import SemiSupervised
from lightning_modules.gan.stabilizers import Stabilizers, WeightHistory, clip_weights, historical_penalty

Network = TypeVar("Network", bound=nn.Module)


class Images(NamedTuple):
    """Images with the classes that both networks are told.

    Attributes:
        images: In [-1, 1]. Shape (B, C, H, W).
        labels: None where no classes are told. Shape (B,).
    """

    images: Tensor
    labels: Tensor | None


class Player(Generic[Network]):
    """A network with its optimizer, its schedule, its history and the average of its weights.

    It holds references to networks that the LightningModule owns, which moves and saves them.

    Args:
        network: Network of the player.
        stabilizers: Techniques that stabilize the training.
        make_optimizer: Makes the optimizer from parameters.
        make_lr_scheduler: Makes the schedule from the optimizer, whose updates it counts; None keeps the rate constant.
    """

    name: str
    """Name in metrics and messages."""

    def __init__(
        self,
        network: Network,
        stabilizers: Stabilizers,
        make_optimizer: OptimizerCallable,
        make_lr_scheduler: LRSchedulerCallable | None,
    ) -> None:
        self.network = network
        self.stabilizers = stabilizers
        self.make_optimizer = make_optimizer
        self.make_lr_scheduler = make_lr_scheduler
        self.optimizer: Optimizer | None = None
        self.lr_scheduler: Any = None
        self.history = WeightHistory(network) if stabilizers.historical_averaging else None

    def make_optimizer_and_schedule(self) -> Optimizer:
        """The optimizer of the network's parameters, which `lr_scheduler` schedules if there is one."""
        self.optimizer = self.make_optimizer([p for p in self.network.parameters() if p.requires_grad])
        self.lr_scheduler = None if self.make_lr_scheduler is None else self.make_lr_scheduler(self.optimizer)
        return self.optimizer

    def backward(self, module: LightningModule, loss: Tensor, parts: int) -> None:
        """Add the gradients of one of `parts` parts of a batch to those of the network.

        Raises:
            NonFiniteLossError: The loss is NaN or infinite.
        """
        if self.history is not None:
            distance = historical_penalty(list(self.network.parameters()), self.history.means)
            loss = loss + self.stabilizers.historical_averaging * distance
        if not loss.isfinite():
            raise NonFiniteLossError(
                f"The {self.name}'s loss is {loss.item()} at step {module.global_step} of epoch {module.current_epoch} "
                f"(rank {module.global_rank}); it was not updated: lower the learning rate or use more precision, then "
                "resume from the last checkpoint."
            )
        strategy = module.trainer.strategy
        # DDP's reducer would wait for gradients of the other network; `update` averages those that there are.
        with strategy.block_backward_sync() if isinstance(strategy, ParallelStrategy) else nullcontext():
            module.manual_backward(loss / parts)

    def update(self, step: Callable[[], object]) -> Tensor:
        """Update the network by the gradients of all ranks.

        Args:
            step: Makes the step of the optimizer.

        Returns:
            Norm of the gradient before it is clipped. Shape ().
        """
        assert self.optimizer is not None
        gradients = [parameter.grad for parameter in self.network.parameters() if parameter.grad is not None]
        average_over_ranks(gradients)
        norm = torch.nn.utils.get_total_norm(gradients)
        if self.stabilizers.gradient_clip_val is not None:
            torch.nn.utils.clip_grads_with_norm_(self.network.parameters(), self.stabilizers.gradient_clip_val, norm)
        step()
        self.optimizer.zero_grad()
        if self.history is not None:
            self.history.add(self.network)
        if self.lr_scheduler is not None:
            self.lr_scheduler.step()
        return norm

    @contextmanager
    def held_constant(self) -> Iterator[None]:
        """Let the network's weights be constants: gradients flow through it, but none of them is computed."""
        trained = [parameter for parameter in self.network.parameters() if parameter.requires_grad]
        for parameter in trained:
            parameter.requires_grad_(False)
        try:
            yield
        finally:
            for parameter in trained:
                parameter.requires_grad_(True)


class Discriminator(Player[DiscriminatorNetwork]):
    """The discriminator, which learns to tell real images from fake ones.

    Args:
        network: Network of the player.
        stabilizers: Techniques that stabilize the training.
        make_optimizer: See `Player`.
        make_lr_scheduler: See `Player`.
        objective: Losses of both players.
        semi_supervised: The supervised part of the loss, if there is one.
    """

    name = "discriminator"

    def __init__(
        self,
        network: DiscriminatorNetwork,
        stabilizers: Stabilizers,
        make_optimizer: OptimizerCallable,
        make_lr_scheduler: LRSchedulerCallable | None,
        *,
        objective: Objective,
        semi_supervised: SemiSupervised | None,
    ) -> None:
        super().__init__(network, stabilizers, make_optimizer, make_lr_scheduler)
        self.objective = objective
        self.semi_supervised = semi_supervised

    def loss(self, draws: Draws, real: Images, fake: Images) -> tuple[Tensor, dict[str, Tensor]]:
        """Loss of as many fake images, without gradient, as real ones; and metrics of the batch by name."""
        real_images = self.stabilizers.noisy(real.images, draws, 0)
        fake_images = self.stabilizers.noisy(fake.images, draws, 1)
        on_real = self.network(real_images, real.labels).float()
        on_fake = self.network(fake_images, fake.labels).float()
        loss = self.objective.discriminator(on_real, on_fake, 1 - self.stabilizers.label_smoothing)
        metrics = {"loss_discriminator": loss.detach()}
        metrics |= training_metrics(on_real.detach(), on_fake.detach(), self.objective.is_probability)
        of_class = partial(self.network, labels=real.labels)
        for name, weight, penalty in self.stabilizers.penalties(of_class, real_images, fake_images, draws.mixing):
            metrics[name] = penalty.detach()
            loss = loss + weight * penalty
        if self.semi_supervised is not None:
            supervised_loss, metrics["acc1"] = self.semi_supervised.loss(draws, len(real.images))
            loss = loss + supervised_loss
        return loss, metrics

    def update(self, step: Callable[[], object]) -> Tensor:
        """Update the network as any player's, then clip its weights if the stabilizers say so."""
        norm = super().update(step)
        if self.stabilizers.weight_clip is not None:
            clip_weights(self.network.parameters(), self.stabilizers.weight_clip)
        return norm


class Generator(Player[GeneratorNetwork]):
    """The generator, which learns to make images that the discriminator takes for real.

    Args:
        network: Network of the player.
        stabilizers: Techniques that stabilize the training.
        make_optimizer: See `Player`.
        make_lr_scheduler: See `Player`.
        objective: Losses of both players.
        feature_matching: Distance of mean features that replaces the objective; None leaves it in force.
        num_classes: Number of classes of which each fake image is told one; None for a generator that is told none.
        ema_decay: Part of the old average of the weights in the new one; None keeps no average.
    """

    name = "generator"

    def __init__(
        self,
        network: GeneratorNetwork,
        stabilizers: Stabilizers,
        make_optimizer: OptimizerCallable,
        make_lr_scheduler: LRSchedulerCallable | None,
        *,
        objective: Objective,
        feature_matching: Literal["squared", "absolute"] | None,
        num_classes: int | None,
        ema_decay: float | None,
    ) -> None:
        super().__init__(network, stabilizers, make_optimizer, make_lr_scheduler)
        self.objective = objective
        self.feature_matching = feature_matching
        self.num_classes = num_classes
        self.ema_decay = ema_decay
        self.average = None if ema_decay is None else copy.deepcopy(network).requires_grad_(False)

    def fake_images(self, draws: Draws, count: int, part: int) -> Images:
        """Fake images of latents and classes that are drawn for a part of a step."""
        labels = None if self.num_classes is None else draws.classes(self.num_classes, count, part)
        return Images(self.network(draws.latents(self.network, count, part), labels), labels)

    def loss(self, draws: Draws, real: Images, fake: Images, part: int, discriminator: DiscriminatorNetwork) -> Tensor:
        """Loss of fake images, which are those of one part of a step."""
        fake_images = self.stabilizers.noisy(fake.images, draws, 1 + part)
        if self.feature_matching is None:
            return self.objective.generator(discriminator(fake_images, fake.labels).float())
        with torch.no_grad():
            wanted = discriminator.features(real.images, fake.labels).float()
        features = discriminator.features(fake_images, fake.labels).float()
        return feature_matching_loss(wanted, features, self.feature_matching)

    def update(self, step: Callable[[], object]) -> Tensor:
        """Update the network as any player's, then the average of its weights; buffers are not averaged."""
        norm = super().update(step)
        if self.average is not None and self.ema_decay is not None:
            with torch.no_grad():
                for mean, now in zip(self.average.parameters(), self.network.parameters(), strict=True):
                    mean.lerp_(now, 1 - self.ema_decay)
                for kept, current in zip(self.average.buffers(), self.network.buffers(), strict=True):
                    kept.copy_(current)
        return norm


def average_over_ranks(gradients: Sequence[Tensor]) -> None:
    """Replace gradients by their means over all processes, in one message for each type of number."""
    world_size = _world_size()
    if world_size == 1:
        return
    for dtype in sorted({gradient.dtype for gradient in gradients}, key=str):
        same = [gradient for gradient in gradients if gradient.dtype == dtype]
        message = torch.cat([gradient.flatten() for gradient in same])
        torch.distributed.all_reduce(message)
        message /= world_size
        for gradient, part in zip(same, message.split([gradient.numel() for gradient in same]), strict=True):
            gradient.copy_(part.view_as(gradient))


def take_buffers_of_rank_0(network: nn.Module) -> None:
    """Give all processes the buffers of the first, which are those that a checkpoint holds.

    Running statistics follow each rank's own images, so they drift apart.
    """
    if _world_size() == 1:
        return
    for buffer in network.buffers():
        torch.distributed.broadcast(buffer, 0)


def _world_size() -> int:
    distributed = torch.distributed.is_available() and torch.distributed.is_initialized()
    return torch.distributed.get_world_size() if distributed else 1
