"""Networks as configs name them, with what they are made of. Nothing is trained or computed.

The counts are those of the model card; the point is where they lie: fully connected layers hold most of AlexNet's and
VGG's parameters and do almost none of their arithmetic.
"""

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import torch
from jsonargparse import ArgumentError

from architectures.layer_table import Layer, layer_table
from experiment.explanations import MARK
from experiment.usage_errors import ExperimentArgumentParser
from lightning_modules import ImageClassifier
from lightning_modules.classifier import FROM_DATA, networks
from lightning_modules.model_card import ModelCard, model_card
from records.files import UnreadableError, read_yaml

SHIPPED = Path(__file__).parents[1] / "configs" / "model"
SMALL = 32
IMAGENET_CLASSES = 1000
TRAINING = set(inspect.signature(ImageClassifier.__init__).parameters) - {"self", *FROM_DATA}
"""Arguments that say how a network is trained, which its shapes do not depend on."""


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
    order = list(networks())
    return sorted(found, key=lambda one: (order.index(one.class_name), one.config))


def build(files: Sequence[Path], from_data: Mapping[str, int | None]) -> ImageClassifier:
    """Build the network of the configs, composed from left to right, on the meta device.

    Only classes that `lightning_modules` exports are built: nothing that a config names is imported.

    Args:
        files: One config or more.
        from_data: What the data set decides on the command line, by name (num_classes, …); None for the network's own.

    Raises:
        ValueError: A file is missing or no config, names no network, or one with wrong options.
    """
    section: dict[str, Any] = {}
    for file in files:
        section = _merged(section, _model_section(file))
    where = " and ".join(map(shown, files))
    if not section:
        raise ValueError(f"{where} has no model section: name a config such as configs/model/alexnet.yaml.")
    unknown = section.keys() - {"class_path", "init_args"}
    if unknown:
        raise ValueError(
            f"{where}: model.{min(map(str, unknown))} is not known: put the class's options under init_args."
        )
    cls = _class_named(section.get("class_path"), where)
    arguments = section.get("init_args") or {}
    if not isinstance(arguments, dict):
        raise ValueError(
            f"{where}: model.init_args holds options, such as `num_classes: 10`: it cannot be {arguments}."
        )
    given = {name: value for name, value in from_data.items() if value is not None}
    arguments = {name: value for name, value in arguments.items() if name not in TRAINING} | given
    try:
        arguments = _checked(cls, arguments)
        with torch.device("meta"):
            return cls(**arguments)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error


def shown(file: Path) -> str:
    """The path as a message names it: seen from here, if it lies below."""
    return (file.relative_to(Path.cwd()) if file.is_relative_to(Path.cwd()) else file).as_posix()


def _model_section(file: Path) -> dict[str, Any]:
    where = shown(file)
    try:
        tree = read_yaml(file)
    except UnreadableError as error:
        fault = str(error).removeprefix(f"{file.name} ")
        plain = {"is missing": "does not exist", "is not a mapping": "holds no options, such as `model:`"}
        raise ValueError(f"{where} {plain.get(fault, fault)}: name one such as configs/model/alexnet.yaml.") from error
    section = tree.get("model") or {}
    if isinstance(section, str):
        section = {"class_path": section}
    if not isinstance(section, dict):
        raise ValueError(f"{where}: model must hold class_path and init_args, not {section}.")
    return section


def _merged(earlier: dict[str, Any], later: dict[str, Any]) -> dict[str, Any]:
    """Both trees; what comes later wins, and a list replaces a list."""
    both = [name for name in later if isinstance(earlier.get(name), dict) and isinstance(later[name], dict)]
    return earlier | later | {name: _merged(earlier[name], later[name]) for name in both}


def _class_named(class_path: Any, where: str) -> type[ImageClassifier]:
    known = networks()
    if class_path is None:
        raise ValueError(f"{where}: model names no class: set model.class_path to one of {', '.join(known)}.")
    package, _, name = str(class_path).rpartition(".")
    if name in known and package.partition(".")[0] in ("", "lightning_modules"):
        return known[name]
    close = get_close_matches(name, known, n=1)
    remedy = f"did you mean {close[0]}?" if close else f"choose one of {', '.join(known)}."
    raise ValueError(f"{where}: {class_path} is not a network of this project; {remedy}")


def _checked(cls: type[ImageClassifier], arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments with their types and names checked as the command line does."""
    parser = ExperimentArgumentParser(exit_on_error=False)
    added = parser.add_class_arguments(cls, skip=TRAINING)
    try:
        options = parser.parse_object({str(name): value for name, value in arguments.items()})
    except ArgumentError as error:
        raise ValueError(str(error).split(MARK)[1] if MARK in str(error) else str(error)) from error
    checked = {name: options[name] for name in added if name in options}
    # A network may have its parts on named devices: here all of them are on the one that computes nothing.
    if "devices" in checked:
        checked["devices"] = ("meta",) * len(checked["devices"])
    return checked
