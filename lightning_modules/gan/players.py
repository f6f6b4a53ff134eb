"""The two players: each a network with its loss and all that its training needs.

Under DDP the gradients are averaged here, those of the network that is updated and no others. DDP's own reducer wants a
gradient for each parameter in each backward pass; it would send all of both networks twice, or refuse.
"""

import copy
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import Any, Generic, Literal, NamedTuple, TypeVar

import torch
import torch.distributed
from lightning.pytorch import LightningModule
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from lightning.pytorch.strategies import ParallelStrategy
from torch import Tensor, nn
from torch.optim import Adam, Optimizer

from lightning_modules.finite_loss import NonFiniteLossError
from lightning_modules.gan.draws import Draws
from lightning_modules.gan.evaluation import Images, training_metrics
from lightning_modules.gan.networks import DiscriminatorNetwork, GeneratorNetwork, at_least_float32, paper_of
from lightning_modules.gan.objectives import Objective, feature_matching_loss
from lightning_modules.gan.semi_supervised import SemiSupervised
from lightning_modules.gan.stabilizers import Stabilizers, WeightHistory, clip_weights, historical_penalty

Network = TypeVar("Network", bound=nn.Module)


class Losses(NamedTuple):
    """What both players minimize.

    Attributes:
        objective: Losses of both players.
        feature_matching: Distance of mean features that replaces the generator's objective; None leaves it in force.
        semi_supervised: The supervised part of the discriminator's loss, if there is one.
        stabilizers: Techniques that stabilize the training.
    """

    objective: Objective
    feature_matching: Literal["squared", "absolute"] | None
    semi_supervised: SemiSupervised | None
    stabilizers: Stabilizers

    def metric_names(self) -> set[str]:
        """Names of the numbers of a training batch."""
        names = {"loss_discriminator", "loss_generator"}
        names |= training_metrics(torch.zeros(1), torch.zeros(1), self.objective.is_probability).keys()
        names |= {name for name in ("gradient_penalty", "r1") if getattr(self.stabilizers, name)}
        return names | ({"acc1"} if self.semi_supervised is not None else set())


def dcgan_adam(parameters: Iterable[nn.Parameter]) -> Adam:
    """The optimizer of DCGAN (Radford et al. 2015, §4)."""
    return Adam(parameters, lr=2e-4, betas=(0.5, 0.999))


class Player(Generic[Network]):
    """A network with its optimizer, its schedule and the history of its weights.

    It holds references to networks that the LightningModule owns, which moves and saves them.

    Args:
        network: Network of the player.
        losses: Losses of both players.
        make_optimizer: Makes the optimizer from parameters; None makes DCGAN's.
        make_lr_scheduler: Makes the schedule from the optimizer, whose updates it counts; None keeps the rate constant.
    """

    name: str
    """Name in metrics and messages."""

    def __init__(
        self,
        network: Network,
        losses: Losses,
        make_optimizer: OptimizerCallable | None,
        make_lr_scheduler: LRSchedulerCallable | None,
    ) -> None:
        self.network = network
        self.losses = losses
        self.stabilizers = losses.stabilizers
        self.make_optimizer = make_optimizer or dcgan_adam
        self.make_lr_scheduler = make_lr_scheduler
        self.optimizer: Optimizer | None = None
        self.lr_scheduler: Any = None
        self.history = WeightHistory(network) if self.stabilizers.historical_averaging else None

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

    def update(self, module: LightningModule) -> Tensor:
        """Update the network by the gradients of all ranks; gives the norm () of the gradient before it is clipped."""
        assert self.optimizer is not None
        gradients = [parameter.grad for parameter in self.network.parameters() if parameter.grad is not None]
        average_over_ranks(gradients)
        norm = torch.nn.utils.get_total_norm(gradients)
        if self.stabilizers.gradient_clip_val is not None:
            torch.nn.utils.clip_grads_with_norm_(self.network.parameters(), self.stabilizers.gradient_clip_val, norm)
        self._step(module)
        self.optimizer.zero_grad()
        if self.history is not None:
            self.history.add(self.network)
        if self.lr_scheduler is not None:
            self.lr_scheduler.step()
        return norm

    def _step(self, module: LightningModule) -> None:
        """Make the optimizer's step as Lightning's wrapper does it, which would count a step of the run."""
        assert self.optimizer is not None
        module.trainer.strategy.optimizer_step(self.optimizer, _no_closure)

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
    """The discriminator, which learns to tell real images from fake ones; see `Player`."""

    name = "discriminator"

    def loss(self, draws: Draws, real: Images, fake: Images) -> tuple[Tensor, dict[str, Tensor]]:
        """Loss of as many fake images as real ones, and metrics of the batch; no gradient flows to the generator."""
        objective = self.losses.objective
        real_images = self.stabilizers.noisy(real.images, draws, 0)
        fake_images = self.stabilizers.noisy(fake.images.detach(), draws, 1)
        on_real = at_least_float32(self.network(real_images, real.labels))
        on_fake = at_least_float32(self.network(fake_images, fake.labels))
        loss = objective.discriminator(on_real, on_fake, 1 - self.stabilizers.label_smoothing)
        metrics = {"loss_discriminator": loss.detach()}
        metrics |= training_metrics(on_real.detach(), on_fake.detach(), objective.is_probability)
        of_class = partial(self.network, labels=real.labels)
        for name, weight, penalty in self.stabilizers.penalties(of_class, real_images, fake_images, draws.mixing):
            metrics[name] = penalty.detach()
            loss = loss + weight * penalty
        if self.losses.semi_supervised is not None:
            supervised_loss, metrics["acc1"] = self.losses.semi_supervised.loss(draws, real.images)
            loss = loss + supervised_loss
        return loss, metrics

    def update(self, module: LightningModule) -> Tensor:
        """Update the network as any player's, then clip its weights if the stabilizers say so."""
        norm = super().update(module)
        if self.stabilizers.weight_clip is not None:
            clip_weights(self.network.parameters(), self.stabilizers.weight_clip)
        return norm

    def _step(self, module: LightningModule) -> None:
        optimizers = module.optimizers()
        assert isinstance(optimizers, list)
        optimizers[0].step()  # of Lightning's wrapper: the updates of the discriminator are the steps of the run


class Generator(Player[GeneratorNetwork]):
    """The generator, which learns to make images that the discriminator takes for real; see `Player`.

    It is told the class of each fake image where `conditional`. With `ema_decay`, the part of the old average in the
    new one, an average of the weights is kept.

    Raises:
        ValueError: The network is told no classes, or the decay is out of its range.
    """

    name = "generator"

    def __init__(
        self,
        network: GeneratorNetwork,
        losses: Losses,
        make_optimizer: OptimizerCallable | None,
        make_lr_scheduler: LRSchedulerCallable | None,
        conditional: bool,
        ema_decay: float | None,
    ) -> None:
        super().__init__(network, losses, make_optimizer, make_lr_scheduler)
        if conditional and network.num_classes is None:
            raise ValueError(
                f"The networks {paper_of(network)} have no conditional form: set conditional to false, or use others."
            )
        if ema_decay is not None and not 0 < ema_decay < 1:
            raise ValueError(f"ema_decay must lie between 0 and 1, such as 0.9999: {ema_decay} does not.")
        self.num_classes = network.num_classes if conditional else None
        self.ema_decay = ema_decay
        self.average = None if ema_decay is None else copy.deepcopy(network).requires_grad_(False)

    def fake_images(self, draws: Draws, count: int, part: int) -> Images:
        """Fake images of latents and classes that are drawn for a part of a step."""
        labels = None if self.num_classes is None else draws.classes(self.num_classes, count, part)
        return Images(self.network(draws.latents(self.network, count, part), labels), labels)

    def add_gradients(
        self,
        module: LightningModule,
        draws: Draws,
        real: Images,
        fake: Images,
        parts: int,
        discriminator: Discriminator,
    ) -> Tensor:
        """Add the gradients of the mean loss () of fake images, in which the discriminator's weights are constants.

        Each of the `parts` has as many images as there are real ones, whose features are matched. The `fake` images
        serve a single part; several parts make new ones.

        Raises:
            NonFiniteLossError: The loss is NaN or infinite.
        """
        total = at_least_float32(real.images.new_zeros(()))
        with discriminator.held_constant():
            for part in range(1, parts + 1):
                images, labels = fake if parts == 1 else self.fake_images(draws, len(real.images), part)
                noisy = Images(self.stabilizers.noisy(images, draws, 1 + part), labels)
                loss = self._loss(real, noisy, discriminator.network)
                self.backward(module, loss, parts)
                total += loss.detach() / parts
        return total

    def _loss(self, real: Images, fake: Images, discriminator: DiscriminatorNetwork) -> Tensor:
        if self.losses.feature_matching is None:
            return self.losses.objective.generator(at_least_float32(discriminator(*fake)))
        with torch.no_grad():
            wanted = at_least_float32(discriminator.features(real.images, fake.labels))
        features = at_least_float32(discriminator.features(*fake))
        return feature_matching_loss(wanted, features, self.losses.feature_matching)

    def update(self, module: LightningModule) -> Tensor:
        """Update the network as any player's, then the average of its weights; buffers are not averaged."""
        norm = super().update(module)
        if self.average is not None and self.ema_decay is not None:
            with torch.no_grad():
                for mean, now in zip(self.average.parameters(), self.network.parameters(), strict=True):
                    mean.lerp_(now, 1 - self.ema_decay)
                for kept, current in zip(self.average.buffers(), self.network.buffers(), strict=True):
                    kept.copy_(current)
        return norm


def _no_closure() -> None:
    """Gradients are there when an optimizer makes its step."""


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


def take_buffers_of_rank_0(*networks: nn.Module) -> None:
    """Give all processes the buffers of the first, which are those that a checkpoint holds.

    Running statistics follow each rank's own images, so they drift apart.
    """
    if _world_size() == 1:
        return
    for network in networks:
        for buffer in network.buffers():
            torch.distributed.broadcast(buffer, 0)


def _world_size() -> int:
    distributed = torch.distributed.is_available() and torch.distributed.is_initialized()
    return torch.distributed.get_world_size() if distributed else 1
