"""How well a discriminator judges images, in training and on images that it was not trained on."""

import torch.nn.functional as F
from torch import Tensor, nn
from torchmetrics import MeanMetric

from lightning_modules.gan.objectives import EQUILIBRIUM, value_of_the_game


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
        super().__init__({name: MeanMetric() for name in names})

    @property
    def means(self) -> dict[str, MeanMetric]:
        """By name."""
        return {name: metric for name, metric in self.items() if isinstance(metric, MeanMetric)}

    def add(self, real: Tensor, fake: Tensor, class_is_right: Tensor | None = None) -> None:
        """Count a batch.

        Args:
            real: Logits of real images. Shape (B,).
            fake: Logits of as many fake ones. Shape (B,).
            class_is_right: Whether the class of the real ones was told. Shape (B,).
        """
        values = {"accuracy_real": (real > 0).float(), "accuracy_fake": (fake < 0).float()}
        values["distance_from_equilibrium"] = -F.softplus(-real) - F.softplus(fake) - EQUILIBRIUM
        if class_is_right is not None:
            values["acc1"] = class_is_right.float()
        for name, mean in self.means.items():
            mean.update(values[name])


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
