"""What networks are made of: `python -m comparison architectures`, one network layer by layer or a row for each.

Nothing is trained or computed. The counts are those of the model card; the point is where they lie: fully connected
layers hold most of AlexNet's and VGG's parameters and do almost none of their arithmetic.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from architectures.configs import build, shown
from lightning_modules import ARCHITECTURES
from lightning_modules.layer_table import Layer, layer_table
from lightning_modules.model_card import ModelCard, model_card

SHIPPED = Path(__file__).parents[1] / "configs" / "model"
SMALL = 32
IMAGENET_CLASSES = 1000


@dataclass(frozen=True)
class Architecture:
    """A network as its config has it.

    Attributes:
        config: Name of the config.
        class_name: Class of the network.
        num_classes: Number of classes, on which the last layer depends.
        card: Counts of the whole network.
        layers: Its layers in order of execution, those of auxiliary heads last.
    """

    config: str
    class_name: str
    num_classes: int
    card: ModelCard
    layers: Sequence[Layer]

    @property
    def input_size(self) -> str:
        """Such as 3x224x224."""
        return "x".join(map(str, self.card.input_shape))

    def parameters(self, part: str) -> int:
        """Parameters of conv, fc, norm or other layers, or in total."""
        return int(getattr(self.card.parameters, part))

    def multiply_adds(self, part: str) -> int:
        """Multiply-adds of conv or fc layers, or in total; others have none."""
        used = [layer for layer in self.layers if not layer.training_only]
        return sum(layer.multiply_adds for layer in used if part in (layer.counted_as, "total"))

    @property
    def fc_share(self) -> float:
        """Share of the fully connected layers in the parameters, 0 to 1."""
        return share(self.parameters("fc"), self.parameters("total"))

    @property
    def fc_multiply_adds_share(self) -> float:
        """Share of the fully connected layers in the multiply-adds, 0 to 1."""
        return share(self.multiply_adds("fc"), self.multiply_adds("total"))


def share(part: int, total: int) -> float:
    """A part of a whole, 0 to 1; nothing of nothing is 0."""
    return part / total if total else 0.0


def architecture(files: Sequence[Path], from_data: Mapping[str, int | None]) -> Architecture:
    """The network of the configs, composed from left to right.

    Args:
        files: One config or more.
        from_data: num_classes, in_channels and image_size, which a data set decides; None for the network's own, or
            for 10 classes in a form for small images, as CIFAR-10, MNIST and the digits have.

    Raises:
        ValueError: The configs name no network that can be built.
    """
    network = build(files, from_data)
    if network.image_size <= SMALL and network.num_classes == IMAGENET_CLASSES and from_data["num_classes"] is None:
        network = build(files, {**from_data, "num_classes": 10})
    shipped = all(file.parent == SHIPPED for file in files)
    return Architecture(
        config=" + ".join(file.stem if shipped else shown(file) for file in files),
        class_name=type(network).__name__,
        num_classes=network.num_classes,
        card=model_card(network),
        layers=layer_table(network),
    )


def architectures(files: Sequence[Path], from_data: Mapping[str, int | None]) -> list[Architecture]:
    """The network of each config; those that ship with the project if none is given. Ordered by year, then by name.

    Raises:
        ValueError: A config names no network that can be built.
    """
    found = [architecture([file], from_data) for file in (files or sorted(SHIPPED.glob("*.yaml")))]
    order = list(ARCHITECTURES)
    return sorted(found, key=lambda one: (order.index(one.class_name), one.config))
