"""What keeps a discriminator tame: penalties on its gradient, clipped weights, and memories of earlier weights."""

from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor, nn

Discriminator = Callable[[Tensor], Tensor]
"""From images (B, C, H, W) to logits (B,)."""


def gradient_penalty(discriminator: Discriminator, real: Tensor, fake: Tensor, mix: Tensor) -> Tensor:
    """E (‖∇d(x̂)‖ - 1)², with x̂ between real and fake images (Gulrajani et al. 2017, Algorithm 1).

    Args:
        discriminator: Gives logits.
        real: Shape (B, C, H, W).
        fake: Without gradient; as many. Shape (B, C, H, W).
        mix: Share of the real image in each x̂, 0 to 1. Shape (B,).
    """
    between = torch.lerp(fake, real, mix.view(-1, 1, 1, 1).to(real.dtype)).requires_grad_()
    norm = _gradient(discriminator, between).flatten(1).norm(dim=1)
    return (norm - 1).square().mean()


def r1_penalty(discriminator: Discriminator, real: Tensor) -> Tensor:
    """E ‖∇d(x)‖² / 2 on real images (B, C, H, W) (Mescheder et al. 2018, eq. 9)."""
    gradient = _gradient(discriminator, real.detach().clone().requires_grad_())
    return gradient.flatten(1).square().sum(1).mean() / 2


def _gradient(discriminator: Discriminator, images: Tensor) -> Tensor:
    logits = discriminator(images).float().sum()
    (gradient,) = torch.autograd.grad(logits, images, create_graph=True)
    return gradient.float()


@torch.no_grad()
def clip_weights(parameters: Iterable[Tensor], limit: float) -> None:
    """Put each weight back into [-limit, limit] (Arjovsky et al. 2017, Algorithm 1)."""
    for parameter in parameters:
        parameter.clamp_(-limit, limit)


def historical_penalty(parameters: Sequence[Tensor], means: Sequence[Tensor]) -> Tensor:
    """‖θ - mean of its past‖² (Salimans et al. 2016, §3.3), over all parameters.

    Args:
        parameters: The weights.
        means: Their means over the updates so far, shapes as the weights.
    """
    return torch.stack([(now - past).square().sum() for now, past in zip(parameters, means, strict=True)]).sum()


class WeightHistory(nn.Module):
    """Means of a network's weights over its updates, kept in checkpoints.

    Args:
        network: The network.
    """

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
