"""What keeps the training of a GAN stable: penalties, clipping, smoothed labels and noise, each from a paper."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor, nn

from lightning_modules.gan.draws import Draws
from lightning_modules.gan.networks import at_least_float32
from lightning_modules.gan.objectives import OBJECTIVES, ObjectiveName

Discriminator = Callable[[Tensor], Tensor]
"""From images (B, C, H, W) to logits (B,)."""


@dataclass(frozen=True)
class Stabilizers:
    """Techniques that stabilize the training of a GAN; none of them is in force by default.

    Args:
        gradient_penalty: Weight of the penalty on the discriminator's gradient between real and fake images; 10 in
            WGAN-GP (Gulrajani et al. 2017).
        r1: Weight γ of the R1 penalty on the discriminator's gradient at real images; 10 in Mescheder et al. 2018.
        weight_clip: Largest magnitude of a discriminator weight; 0.01 in WGAN (Arjovsky et al. 2017); null clips
            nothing.
        historical_averaging: Weight of the squared distance between each network's weights and their mean so far
            (Salimans et al. 2016, §3.3).
        label_smoothing: Amount by which the discriminator's target for real images falls below 1; the target for fake
            images stays 0 (Salimans et al. 2016, §3.4).
        instance_noise: Standard deviation of noise on real and fake images, which falls linearly to 0 over
            instance_noise_steps (Sønderby et al. 2017).
        instance_noise_steps: Number of steps until the instance noise reaches 0.
        gradient_clip_val: Largest gradient norm of each network; null clips nothing.

    Raises:
        ValueError: A value is out of its range.
    """

    gradient_penalty: float = 0.0
    r1: float = 0.0
    weight_clip: float | None = None
    historical_averaging: float = 0.0
    label_smoothing: float = 0.0
    instance_noise: float = 0.0
    instance_noise_steps: int = 10_000
    gradient_clip_val: float | None = None

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.default is None:
                if value is not None and value <= 0:
                    raise ValueError(f"{field.name} must be above 0, not {value}: null is for none.")
            elif value < (least := int(field.name == "instance_noise_steps")):
                raise ValueError(f"{field.name} must be at least {least}, not {value}.")
        if not self.label_smoothing < 0.5:
            raise ValueError(f"label_smoothing must be at least 0 and below 0.5, not {self.label_smoothing}.")

    def check_objective(self, objective: ObjectiveName) -> None:
        """Refuse an objective without the targets that `label_smoothing` changes.

        Raises:
            ValueError: It has none.
        """
        if self.label_smoothing and not OBJECTIVES[objective].is_probability:
            raise ValueError(f"label_smoothing has no meaning for the objective {objective}: set it to 0.")

    def noisy(self, images: Tensor, draws: Draws, part: int) -> Tensor:
        """Images with the instance noise that is in force in a step; `part` tells apart the noise of several images."""
        left = 1 - draws.step / self.instance_noise_steps
        if not self.instance_noise or left <= 0:
            return images
        return images + self.instance_noise * left * draws.noise(images, part)

    def penalties(
        self, discriminator: Discriminator, real: Tensor, fake: Tensor, mixing: Callable[[int], Tensor]
    ) -> Iterator[tuple[str, float, Tensor]]:
        """Name, weight and value of each penalty on the discriminator's gradient that is in force.

        Args:
            discriminator: Gives logits.
            real: Shape (B, C, H, W).
            fake: Without gradient. Shape (B, C, H, W).
            mixing: From a number of images to as many shares of real ones, see `gradient_penalty`.
        """
        if self.gradient_penalty:
            penalty = gradient_penalty(discriminator, real, fake, mixing(len(real)))
            yield "gradient_penalty", self.gradient_penalty, penalty
        if self.r1:
            yield "r1", self.r1, r1_penalty(discriminator, real)


NO_STABILIZERS = Stabilizers()


def gradient_penalty(discriminator: Discriminator, real: Tensor, fake: Tensor, mix: Tensor) -> Tensor:
    """E (‖∇d(x̂)‖ - 1)², with x̂ between real and fake images (Gulrajani et al. 2017, Algorithm 1).

    Args:
        discriminator: Gives logits.
        real: Shape (B, C, H, W).
        fake: Without gradient; as many. Shape (B, C, H, W).
        mix: Share of the real image in each x̂, 0 to 1. Shape (B,).
    """
    fake, mix = fake.to(real.dtype), mix.view(-1, 1, 1, 1).to(real.dtype)  # generators give bf16 under autocast
    between = torch.lerp(fake, real, mix).requires_grad_()
    norm = _gradient(discriminator, between).flatten(1).norm(dim=1)
    return (norm - 1).square().mean()


def r1_penalty(discriminator: Discriminator, real: Tensor) -> Tensor:
    """E ‖∇d(x)‖² / 2 on real images (B, C, H, W) (Mescheder et al. 2018, eq. 9)."""
    gradient = _gradient(discriminator, real.detach().clone().requires_grad_())
    return gradient.flatten(1).square().sum(1).mean() / 2


def _gradient(discriminator: Discriminator, images: Tensor) -> Tensor:
    logits = at_least_float32(discriminator(images)).sum()
    (gradient,) = torch.autograd.grad(logits, images, create_graph=True)
    return at_least_float32(gradient)


@torch.no_grad()
def clip_weights(parameters: Iterable[Tensor], limit: float) -> None:
    """Put each weight back into [-limit, limit] (Arjovsky et al. 2017, Algorithm 1)."""
    for parameter in parameters:
        parameter.clamp_(-limit, limit)


def historical_penalty(parameters: Sequence[Tensor], means: Sequence[Tensor]) -> Tensor:
    """‖θ - mean of its past‖² (Salimans et al. 2016, §3.3), over all parameters and their means over the updates."""
    return torch.stack([(now - past).square().sum() for now, past in zip(parameters, means, strict=True)]).sum()


class WeightHistory(nn.Module):
    """Means of a network's weights over its updates, kept in checkpoints."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.updates: Tensor
        self.register_buffer("updates", torch.zeros((), dtype=torch.int64))
        for number, parameter in enumerate(network.parameters()):
            self.register_buffer(f"mean_{number}", parameter.detach().clone())

    @property
    def means(self) -> list[Tensor]:
        """In the order of the network's parameters."""
        return [buffer for name, buffer in self.named_buffers() if name != "updates"]

    @torch.no_grad()
    def add(self, network: nn.Module) -> None:
        """Count the weights as they are now."""
        self.updates += 1
        for mean, parameter in zip(self.means, network.parameters(), strict=True):
            mean.add_((parameter - mean) / self.updates)
