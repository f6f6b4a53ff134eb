"""How well a discriminator judges images, in training and on images that it was not trained on."""

from typing import Any, NamedTuple

import torch.nn.functional as F
from torch import Tensor, nn
from torchmetrics import MeanMetric

from lightning_modules.gan.networks import DiscriminatorNetwork, at_least_float32
from lightning_modules.gan.objectives import EQUILIBRIUM, value_of_the_game


class Images(NamedTuple):
    """Images with the classes that both networks are told.

    Attributes:
        images: In [-1, 1]. Shape (B, C, H, W).
        labels: None where no classes are told. Shape (B,).
    """

    images: Tensor
    labels: Tensor | None


class DiscriminatorMetrics(nn.ModuleDict):
    """Means over an evaluation, exact over ranks.

    | name | of |
    |---|---|
    | `accuracy_real`, `accuracy_fake` | real images taken for real, fake ones for fake |
    | `distance_from_equilibrium` | value of the minimax game, less what it is where nothing can be told apart |
    | `acc1` | real images of which a semi-supervised discriminator tells the class |

    Args:
        is_probability: Whether the discriminator's sigmoid is a probability, without which the game has no such value.
        tells_classes: Whether the discriminator tells classes.
    """

    def __init__(self, is_probability: bool, tells_classes: bool) -> None:
        names = ["accuracy_real", "accuracy_fake"]
        names += ["distance_from_equilibrium"] if is_probability else []
        names += ["acc1"] if tells_classes else []
        super().__init__({name: MeanMetric(nan_strategy="disable") for name in names})  # NaN stays, and so is seen

    def add(self, discriminator: DiscriminatorNetwork, real: Images, fake: Images, labels: Tensor) -> None:
        """Count a batch.

        Args:
            discriminator: Network that judges.
            real: Real images.
            fake: As many fake images.
            labels: Classes of the real images, -1 for rows that do not count. Shape (B,).
        """
        counted = labels >= 0
        on_fake = at_least_float32(discriminator(*fake)[counted])
        on_real = at_least_float32(discriminator(*real)[counted])
        values = {"accuracy_real": (on_real > 0).float(), "accuracy_fake": (on_fake < 0).float()}
        values["distance_from_equilibrium"] = -F.softplus(-on_real) - F.softplus(on_fake) - EQUILIBRIUM
        if "acc1" in self:
            class_logits: Any = discriminator.class_logits
            values["acc1"] = (class_logits(real.images).argmax(1) == labels)[counted].float()
        for name, mean in self.items():
            mean.update(values[name])  # type: ignore[operator]


def training_metrics(real: Tensor, fake: Tensor, is_probability: bool) -> dict[str, Tensor]:
    """Metrics of a training batch by name, from logits (B,) of real and of fake images."""
    metrics = {
        "logit_real": real.mean(),
        "logit_fake": fake.mean(),
        "accuracy_real": (real > 0).float().mean(),
        "accuracy_fake": (fake < 0).float().mean(),
    }
    if is_probability:
        metrics["distance_from_equilibrium"] = value_of_the_game(real, fake) - EQUILIBRIUM
    return metrics
