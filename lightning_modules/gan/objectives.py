"""What discriminator and generator minimize, as functions of the discriminator's logits.

    objective        discriminator                            generator            paper
    minimax          -log D(x) - log(1 - D(G(z)))             log(1 - D(G(z)))     Goodfellow et al. 2014, eq. 1
    non_saturating   the same                                 -log D(G(z))         the same, §3
    least_squares    (d(x) - 1)² / 2 + d(G(z))² / 2           (d(G(z)) - 1)² / 2   Mao et al. 2017, eq. 9
    hinge            max(0, 1 - d(x)) + max(0, 1 + d(G(z)))   -d(G(z))             Miyato et al. 2018, eq. 17
    wasserstein      -d(x) + d(G(z))                          -d(G(z))             Arjovsky et al. 2017, eq. 2

d is the logit, D = 1 / (1 + exp(-d)). All logarithms are computed from logits, so none is of 0.
"""

import math
from collections.abc import Callable
from typing import Literal, NamedTuple

import torch.nn.functional as F
from torch import Tensor

ObjectiveName = Literal["minimax", "non_saturating", "least_squares", "hinge", "wasserstein"]

EQUILIBRIUM = -2 * math.log(2)
"""Value of the minimax game where real and fake cannot be told apart, -log 4 (Goodfellow et al. 2014, Theorem 1)."""


class Objective(NamedTuple):
    """Losses of both players.

    Attributes:
        discriminator: From logits of real and of fake images, (B,) each, and the target of real ones, to a scalar.
        generator: From logits of fake images (B,) to a scalar.
        is_probability: Whether the discriminator's sigmoid is the probability that an image is real.
    """

    discriminator: Callable[[Tensor, Tensor, float], Tensor]
    generator: Callable[[Tensor], Tensor]
    is_probability: bool = False


def _cross_entropy(real: Tensor, fake: Tensor, target: float) -> Tensor:
    # -t log D(x) - (1 - t) log(1 - D(x)); with t = 1 there is no smoothing.
    on_real = target * F.softplus(-real) + (1 - target) * F.softplus(real)
    return on_real.mean() + F.softplus(fake).mean()


def _least_squares(real: Tensor, fake: Tensor, target: float) -> Tensor:
    return ((real - target).square().mean() + fake.square().mean()) / 2


def _hinge(real: Tensor, fake: Tensor, target: float) -> Tensor:
    return F.relu(1 - real).mean() + F.relu(1 + fake).mean()


def _wasserstein(real: Tensor, fake: Tensor, target: float) -> Tensor:
    return fake.mean() - real.mean()


OBJECTIVES: dict[ObjectiveName, Objective] = {
    "minimax": Objective(_cross_entropy, lambda fake: -F.softplus(fake).mean(), is_probability=True),
    "non_saturating": Objective(_cross_entropy, lambda fake: F.softplus(-fake).mean(), is_probability=True),
    "least_squares": Objective(_least_squares, lambda fake: (fake - 1).square().mean() / 2),
    "hinge": Objective(_hinge, lambda fake: -fake.mean()),
    "wasserstein": Objective(_wasserstein, lambda fake: -fake.mean()),
}


def value_of_the_game(real: Tensor, fake: Tensor) -> Tensor:
    """V = E log D(x) + E log(1 - D(G(z))) of logits (B,); `EQUILIBRIUM` where nothing can be told apart."""
    return -F.softplus(-real).mean() - F.softplus(fake).mean()


def feature_matching_loss(real: Tensor, fake: Tensor, distance: Literal["squared", "absolute"]) -> Tensor:
    """Distance of the mean features of fake images from those of real ones (Salimans et al. 2016, §3.1).

    Args:
        real: Features of real images, without gradient. Shape (B, F).
        fake: Features of fake images. Shape (B, F).
        distance: squared: ‖·‖², as printed; absolute: the mean of |·|, as in the released code (openai/improved-gan).
    """
    difference = real.mean(0) - fake.mean(0)
    return difference.square().sum() if distance == "squared" else difference.abs().mean()
