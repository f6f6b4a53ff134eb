"""The layer table against the papers, the model card, and receptive fields measured by gradients."""

import copy
import inspect
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import lightning_modules
from architectures.layer_table import Layer, layer_table
from lightning_modules import (
    NIN,
    VGG,
    AlexNet,
    AlexNetPair,
    GoogLeNet,
    ImageClassifier,
    ResNet,
    ZFNet,
)
from lightning_modules.classifier import networks
from lightning_modules.model_card import model_card

NETWORKS: list[tuple[type[ImageClassifier], dict[str, Any]]] = [
    *((AlexNet, {"variant": name}) for name in ("paper", "one_column", "authors2012", "caffe", "torchvision")),
    (AlexNet, {"stem": "small"}),
    (AlexNetPair, {"devices": ("meta", "meta")}),
    *((ZFNet, {"variant": variant}) for variant in ("paper", "wide")),
    *((NIN, {"variant": variant}) for variant in ("cifar10", "mnist", "imagenet")),
    (NIN, {"head": "fc"}),
    *((VGG, {"variant": variant}) for variant in ("A-LRN", "C", "D")),
    *((VGG, {"batch_norm": True, "dense": dense}) for dense in (False, True)),
    *((GoogLeNet, {"variant": variant}) for variant in ("paper", "batch_norm", "torchvision")),
    (GoogLeNet, {"auxiliary": False, "stem": "small"}),
    *((ResNet, {"depth": 18, "shortcut": shortcut}) for shortcut in ("A", "B", "C", "none")),
    (ResNet, {"depth": 50, "variant": "v1.5"}),
    (ResNet, {"depth": 20, "variant": "cifar"}),
]


# A network that is added is among them by itself.
SHIPPED = [cls for cls in networks().values() if cls.__module__.startswith("lightning_modules.")]
NETWORKS += [(cls, {}) for cls in SHIPPED if cls not in {named for named, _ in NETWORKS}]


def on_meta(cls: Callable[..., ImageClassifier], **arguments: Any) -> ImageClassifier:
    with torch.device("meta"):
        return cls(**arguments)


def fields(network: ImageClassifier) -> dict[str, int | None]:
    return {row.name: row.receptive_field for row in layer_table(network)}


@pytest.mark.parametrize(("cls", "arguments"), NETWORKS, ids=lambda value: getattr(value, "__name__", str(value)))
def test_totals_are_those_of_the_model_card(cls: type[ImageClassifier], arguments: dict[str, Any]) -> None:
    network = on_meta(cls, **arguments)
    rows, card = layer_table(network), model_card(network)
    used = [row for row in rows if not row.training_only]
    assert sum(row.parameters for row in used) == card.parameters.total
    assert sum(row.parameters for row in rows) == card.parameters.total + card.auxiliary_parameters
    assert sum(row.multiply_adds for row in used) == card.multiply_adds
    assert sum(row.multiply_adds for row in rows) == card.training_multiply_adds


def test_every_exported_network_is_among_them() -> None:
    exported = {cls for cls in vars(lightning_modules).values() if inspect.isclass(cls)}
    classifiers = {cls for cls in exported if issubclass(cls, ImageClassifier)} - {ImageClassifier}
    assert classifiers == {cls for cls, _ in NETWORKS} == set(SHIPPED)
    papers = [AlexNet, AlexNetPair, ZFNet, NIN, VGG, GoogLeNet, ResNet]
    assert [cls for cls in SHIPPED if cls in papers] == papers


def test_alexnet_row_by_row() -> None:
    rows = [(row.kind, row.output_shape, row.receptive_field) for row in layer_table(on_meta(AlexNet))]
    assert rows == [
        ("conv 11x11/4", (96, 55, 55), 11),
        ("local response norm", (96, 55, 55), 11),
        ("max pool 3x3/2", (96, 27, 27), 19),
        ("conv 5x5, 2 groups", (256, 27, 27), 51),
        ("local response norm", (256, 27, 27), 51),
        ("max pool 3x3/2", (256, 13, 13), 67),
        ("conv 3x3", (384, 13, 13), 99),
        ("conv 3x3, 2 groups", (384, 13, 13), 131),
        ("conv 3x3, 2 groups", (256, 13, 13), 163),
        ("max pool 3x3/2", (256, 6, 6), 195),
        ("fc", (4096,), None),
        ("fc", (4096,), None),
        ("fc", (1000,), None),
    ]


@pytest.mark.slow(2)
def test_known_receptive_fields() -> None:
    """Araujo, Norris, Sim 2019, Table 1: VGG-16 212, ResNet-50 483, ResNet-101 1027, ResNet-152 1507."""
    vgg = fields(on_meta(VGG, variant="D"))
    assert (vgg["features.28"], vgg["features.30"], vgg["head.0"]) == (196, 212, None)
    assert fields(on_meta(VGG, variant="D", dense=True))["head.0"] == 212 + 6 * 32
    for depth, field in ((50, 483), (101, 1027), (152, 1507)):
        *_, last_convolution, pool, head = layer_table(on_meta(ResNet, depth=depth))
        assert last_convolution.receptive_field == field
        assert (pool.kind, pool.output_shape, pool.receptive_field) == ("global average pool", (2048,), None)
        assert head.receptive_field is None


def test_normalization_stands_in_the_row_of_its_convolution() -> None:
    row = layer_table(on_meta(ResNet, depth=18))[0]
    assert row == Layer("stem.0.0", "conv 7x7/2 + norm", "conv", (64, 112, 112), 9_408 + 128, 118_013_952, 7)


def test_auxiliary_heads_come_last_and_only_in_training() -> None:
    rows = layer_table(on_meta(GoogLeNet))
    heads = [row for row in rows if row.training_only]
    assert rows[-len(heads) :] == heads
    assert [(row.name, row.kind) for row in heads[:3]] == [
        ("auxiliary_heads.4a.pool", "average pool 5x5/3"),
        ("auxiliary_heads.4a.conv.0", "conv 1x1"),
        ("auxiliary_heads.4a.fc1", "fc"),
    ]


@pytest.mark.slow(4)
def test_a_very_deep_network() -> None:
    # Three stages of 400 convolutions in steps of 1, 2 and 4 pixels, and the stem.
    *_, last, _, _ = layer_table(on_meta(ResNet, depth=1202, variant="cifar"))
    assert last.receptive_field == 3 + 2 * (400 + 1 + 2 * 399 + 2 + 4 * 399)


class Unusual(ImageClassifier):
    """A layer that runs twice, a dilated one, normalization before it, a weight of the network itself."""

    architecture = "unusual"

    def __init__(self) -> None:
        super().__init__(num_classes=5, image_size=32)
        self.twice = nn.Conv2d(3, 3, 3, padding=1)
        self.norm = nn.BatchNorm2d(3)
        self.dilated = nn.Conv2d(3, 8, 3, padding=2, dilation=2)
        self.scale = nn.Parameter(torch.ones(1))
        self.head = nn.Linear(8, 5)

    def forward(self, images: Tensor) -> Tensor:
        maps = self.dilated(self.norm(self.twice(self.twice(images)).relu()))
        return self.head(torch.nn.functional.max_pool2d(maps, 2).amax((2, 3))) * self.scale


def test_an_unusual_network() -> None:
    network = Unusual().train()
    rows, card = layer_table(network), model_card(network)
    assert [(row.kind, row.receptive_field) for row in rows] == [
        ("conv 3x3", 3),
        ("conv 3x3", 5),
        ("batch norm2d", 5),
        ("conv 3x3, dilation 2", 9),
        ("max pool 2x2/2", 10),
        ("global max pool", None),
        ("fc", None),
        ("unusual", None),
    ]
    assert sum(row.parameters for row in rows) == card.parameters.total
    assert sum(row.multiply_adds for row in rows) == card.multiply_adds
    assert network.training
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in network.modules())


@pytest.mark.parametrize(
    ("build", "size", "names"),
    [
        (
            lambda: AlexNet(variant="authors2012", image_size=451, fc_width=1),
            451,
            ["features.1", "features.3", "features.8", "features.15"],
        ),
        (lambda: ResNet(20, variant="cifar"), 128, ["stem.0.0", "stages.1.0.branch.0.0", "stages.2.2.branch.2.0"]),
        (lambda: ResNet(18, shortcut="A"), 256, ["stem.2", "stages.1.0.branch.2.0", "stages.2.0.branch.0.0"]),
        (lambda: GoogLeNet(stem="small"), 128, ["until_4a.3b.branch_pool.1.0", "until_4a.4a.branch_5x5.1.0"]),
    ],
    ids=["AlexNet authors2012", "ResNet-20", "ResNet-18 A", "GoogLeNet"],
)
@pytest.mark.slow(1)
def test_fields_are_what_gradients_reach(build: Callable[[], ImageClassifier], size: int, names: list[str]) -> None:
    network = build()
    expected = fields(network)
    assert {name: reach(network, size, name) for name in names} == {name: expected[name] for name in names}


def reach(network: ImageClassifier, size: int, name: str) -> int:
    """Width of the pixels that one output in the middle depends on, with weights and averages that are all positive."""
    network = copy.deepcopy(network).eval().requires_grad_(False)
    for parameter in network.parameters():
        nn.init.constant_(parameter, 1 / max(1, parameter[0].numel()))
    for module in list(network.modules()):
        for child_name, child in list(module.named_children()):
            if isinstance(child, nn.MaxPool2d):  # a maximum passes the gradient to one pixel alone
                average = nn.AvgPool2d(child.kernel_size, child.stride, child.padding, child.ceil_mode)
                setattr(module, child_name, average)
    found: list[Tensor] = []
    network.get_submodule(name).register_forward_hook(lambda module, inputs, output: found.append(output))
    images = torch.ones(1, 3, size, size, requires_grad=True)
    try:
        network(images)
    except RuntimeError:
        assert found  # the fully connected layers need not fit
    output = found[0]
    output[0, :, output.shape[2] // 2, output.shape[3] // 2].sum().backward()
    assert images.grad is not None
    columns = images.grad.abs().sum((0, 1, 2)).nonzero().flatten()
    assert columns[0] > 0
    assert columns[-1] < size - 1
    return int(columns[-1] - columns[0]) + 1
