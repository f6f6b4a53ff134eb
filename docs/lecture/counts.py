"""What the networks of the lecture are made of, counted from the networks themselves."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import nn

from architectures.blocks import blocks_picture, drawing
from architectures.layer_table import Layer, layer_table, traced
from architectures.networks import Architecture
from comparison.units import human_count
from lightning_modules import NIN, VGG, AlexNet, GoogLeNet, ImageClassifier, ResNet, ZFNet
from lightning_modules.gan.networks import dcgan, mlp
from lightning_modules.gan.networks.contract import DiscriminatorNetwork, GeneratorNetwork
from lightning_modules.model_card import ModelCard, count_parameters, model_card

MNIST: dict[str, Any] = {"image_size": 28, "in_channels": 1}
LATENTS = 100
CIFAR: dict[str, Any] = {"image_size": 32, "in_channels": 3}
CLASSIFIERS: dict[str, Callable[[], ImageClassifier]] = {
    "AlexNet": AlexNet,
    "AlexNet, one column": lambda: AlexNet("one_column"),
    "ZFNet": ZFNet,
    "ZFNet, wide": lambda: ZFNet("wide"),
    "VGG-A": lambda: VGG("A"),
    "VGG-B": lambda: VGG("B"),
    "VGG-C": lambda: VGG("C"),
    "VGG-D": lambda: VGG("D"),
    "VGG-E": lambda: VGG("E"),
    "NIN": lambda: NIN("cifar10"),
    "GoogLeNet": GoogLeNet,
    "plain-34": lambda: ResNet(34, shortcut="none"),
    "ResNet-34": lambda: ResNet(34, shortcut="A"),
    "ResNet-50": lambda: ResNet(50),
    "ResNet-20": lambda: ResNet(20, "cifar"),
}
GANS: dict[str, Callable[[], tuple[GeneratorNetwork, DiscriminatorNetwork]]] = {
    "GAN": lambda: mlp.build(**MNIST),
    "DCGAN": lambda: dcgan.build(**CIFAR),
}
DRAWN = ("AlexNet", "ZFNet", "VGG-D", "NIN", "GoogLeNet", "ResNet-20", "ResNet-50")


@dataclass(frozen=True)
class Counts:
    """A row of the lecture's tables.

    Attributes:
        name: Of the network.
        shape: Of what goes in: an image, or latents.
        depth: Layers with weights on the longest path.
        conv: Parameters of convolutions.
        fc: Parameters of fully connected layers.
        total: Parameters of all layers.
        multiply_adds: For one image.
        in_heads: Parameters of auxiliary heads, beside the total.
    """

    name: str
    shape: tuple[int, ...]
    depth: int
    conv: int
    fc: int
    total: int
    multiply_adds: int
    in_heads: int = 0


@cache
def network(name: str) -> ImageClassifier:
    """A classifier of the lecture, without weights."""
    with torch.device("meta"):
        return CLASSIFIERS[name]()


@cache
def layers(name: str) -> list[Layer]:
    """The layers of a classifier."""
    return layer_table(network(name))


@cache
def card(name: str) -> ModelCard:
    """The counts of a classifier."""
    return model_card(network(name))


@cache
def players(name: str) -> dict[str, tuple[nn.Module, Sequence[Layer]]]:
    """A GAN's generator and discriminator with their layers."""
    with torch.device("meta"):
        generator, discriminator = (player.eval() for player in GANS[name]())
    sizes = MNIST if name == "GAN" else CIFAR
    image = (1, sizes["in_channels"], sizes["image_size"], sizes["image_size"])
    assert isinstance(generator, GeneratorNetwork)
    return {
        "generator": (generator, traced(generator, generator.forward, (1, generator.latent_size))),
        "discriminator": (discriminator, traced(discriminator, discriminator.forward, image)),
    }


def counts(name: str) -> Counts:
    """The counts of a classifier, or of a player of a GAN such as `DCGAN generator`."""
    gan, _, player = name.partition(" ")
    if gan in GANS:
        module, rows = players(gan)[player]
        of = count_parameters(module)
        sizes = MNIST if gan == "GAN" else CIFAR
        image = (sizes["in_channels"], sizes["image_size"], sizes["image_size"])
        depth = sum(row.counted_as in ("conv", "fc") for row in rows)
        work = sum(row.multiply_adds for row in rows)
        shape = image if player == "discriminator" else (LATENTS,)
        return Counts(name, shape, depth, of.conv, of.fc, of.total, work)
    one = card(name)
    of = one.parameters
    return Counts(
        name, one.input_shape, one.depth, of.conv, of.fc, of.total, one.multiply_adds, one.auxiliary_parameters
    )


def drawn(name: str) -> str:
    """The blocks of a classifier as SVG."""
    one = network(name)
    return blocks_picture(Architecture("", type(one).__name__, one.num_classes, card(name), layers(name)))


def pictures() -> dict[str, str]:
    """The drawings of blocks as SVG, by the names of their files."""
    found = {f"{name.lower()}.svg": drawn(name) for name in DRAWN}
    for player, (_, rows) in players("DCGAN").items():
        title = f"DCGAN, {player}: {human_count(counts(f'DCGAN {player}').total)} parameters"
        found[f"dcgan-{player}.svg"] = drawing(title, rows, side=CIFAR["image_size"])
    return found
