"""Parameters, multiply-adds and depth equal the papers' to the digit."""

from typing import Any

import pytest
import torch

from lightning_modules import NIN, VGG, AlexNet, GoogLeNet, ResNet, ZFNet
from lightning_modules.model_card import ModelCard, count_parameters, model_card

ALEXNET = [
    # arguments, conv, fc, multiply-adds
    ({"variant": "paper"}, 2_334_080, 58_631_144, 724_406_816),
    ({"variant": "authors2012"}, 2_334_080, 58_631_144, 724_406_816),
    ({"variant": "caffe", "image_size": 227}, 2_334_080, 58_631_144, 724_406_816),
    ({"variant": "one_column"}, 3_747_200, 58_631_144, 1_135_256_096),
    ({"variant": "torchvision"}, 2_469_696, 58_631_144, 714_188_480),
]
ZFNET = [
    # variant, conv, fc, multiply-adds
    ("paper", 3_726_464, 58_631_144, 1_168_032_896),
    ("wide", 11_247_744, 96_379_880, 2_476_704_896),
]
VGG_FC = 123_642_856
VGG_TABLE = [
    # variant, depth, conv, parameters of batch normalization, multiply-adds
    ("A", 11, 9_220_480, 5_504, 7_609_090_048),
    ("A-LRN", 11, 9_220_480, 5_504, 7_609_090_048),
    ("B", 13, 9_404_992, 5_888, 11_308_466_176),
    ("C", 16, 9_996_096, 8_448, 11_770_888_192),
    ("D", 16, 14_714_688, 8_448, 15_470_264_320),
    ("E", 19, 20_024_384, 11_008, 19_632_062_464),
]
NIN_TABLE = [
    # arguments, total, multiply-adds, depth, input
    ({"variant": "cifar10"}, 966_986, 222_486_528, 9, (3, 32, 32)),
    ({"variant": "cifar100"}, 984_356, 223_592_448, 9, (3, 32, 32)),
    ({"variant": "mnist"}, 349_674, 50_699_712, 9, (1, 28, 28)),
    ({"variant": "imagenet"}, 7_595_176, 1_100_188_800, 12, (3, 224, 224)),
]
GOOGLENET = [
    # arguments, conv, fc, norm, in auxiliary heads, multiply-adds, and those in training
    ({}, 5_973_552, 1_025_000, 0, 6_379_728, 1_582_671_872, 1_591_044_096),
    ({"auxiliary": False}, 5_973_552, 1_025_000, 0, 0, 1_582_671_872, 1_582_671_872),
    ({"variant": "torchvision"}, 5_585_344, 1_025_000, 14_560, 6_379_984, 1_498_376_192, 1_506_748_416),
]
RESNET_IMAGENET = [
    # depth, conv, fc, norm, multiply-adds original, v1.5
    (18, 11_166_912, 513_000, 9_600, 1_814_073_344, 1_814_073_344),
    (34, 21_267_648, 513_000, 17_024, 3_663_761_408, 3_663_761_408),
    (50, 23_454_912, 2_049_000, 53_120, 3_857_973_248, 4_089_184_256),
    (101, 42_394_816, 2_049_000, 105_344, 7_570_194_432, 7_801_405_440),
    (152, 57_992_384, 2_049_000, 151_424, 11_282_415_616, 11_513_626_624),
]
RESNET_CIFAR = [
    # depth, total, multiply-adds
    (20, 269_722, 40_551_040),
    (32, 464_154, 68_862_592),
    (44, 658_586, 97_174_144),
    (56, 853_018, 125_485_696),
    (110, 1_727_962, 252_887_680),
    pytest.param(1202, 19_421_274, None, marks=pytest.mark.slow(4)),
]
RESNET_SHORTCUTS = [
    # arguments, total
    ({"depth": 18, "shortcut": "none"}, 11_515_688),
    ({"depth": 18, "shortcut": "A"}, 11_515_688),
    ({"depth": 34, "shortcut": "none"}, 21_623_848),
    ({"depth": 34, "shortcut": "A"}, 21_623_848),
    ({"depth": 34, "shortcut": "C"}, 22_716_840),
    ({"depth": 20, "variant": "cifar", "shortcut": "none"}, 269_722),
    ({"depth": 20, "variant": "cifar", "shortcut": "B"}, 272_474),
    ({"depth": 110, "variant": "cifar", "shortcut": "B"}, 1_730_714),
    ({"depth": 20, "variant": "cifar", "num_classes": 100}, 269_722 + 5_850),
]


def on_meta(network: Any, **arguments: Any) -> ModelCard:
    """The card of a network that has shapes and no weights."""
    with torch.device("meta"):
        return model_card(network(**arguments))


@pytest.mark.parametrize(("arguments", "conv", "fc", "multiply_adds"), ALEXNET)
def test_alexnet(arguments: dict[str, Any], conv: int, fc: int, multiply_adds: int) -> None:
    card = on_meta(AlexNet, **arguments)
    assert (card.parameters.conv, card.parameters.fc) == (conv, fc)
    assert card.parameters.total == conv + fc
    assert card.multiply_adds == multiply_adds
    assert card.depth == 8


@pytest.mark.parametrize(("variant", "conv", "fc", "multiply_adds"), ZFNET)
def test_zfnet(variant: str, conv: int, fc: int, multiply_adds: int) -> None:
    card = on_meta(ZFNet, variant=variant)
    assert (card.parameters.conv, card.parameters.fc, card.parameters.total) == (conv, fc, conv + fc)
    assert card.multiply_adds == multiply_adds
    assert card.depth == 8


@pytest.mark.parametrize("batch_norm", [False, True])
@pytest.mark.parametrize(("variant", "depth", "conv", "norm", "multiply_adds"), VGG_TABLE)
def test_vgg(variant: str, depth: int, conv: int, norm: int, multiply_adds: int, batch_norm: bool) -> None:
    card = on_meta(VGG, variant=variant, batch_norm=batch_norm)
    norm = norm if batch_norm else 0
    assert (card.parameters.conv, card.parameters.fc, card.parameters.norm) == (conv, VGG_FC, norm)
    assert card.parameters.total == conv + VGG_FC + norm
    assert card.multiply_adds == multiply_adds
    assert card.depth == depth


def test_vgg_that_is_dense_has_the_same_weights() -> None:
    dense, plain = on_meta(VGG, variant="D", dense=True), on_meta(VGG, variant="D")
    assert dense.parameters.total == dense.parameters.conv == plain.parameters.total
    assert dense.multiply_adds == plain.multiply_adds


@pytest.mark.parametrize(("arguments", "total", "multiply_adds", "depth", "shape"), NIN_TABLE)
def test_nin(arguments: dict[str, Any], total: int, multiply_adds: int, depth: int, shape: tuple[int, ...]) -> None:
    card = on_meta(NIN, **arguments)
    assert (card.parameters.conv, card.parameters.total) == (total, total)
    assert (card.multiply_adds, card.depth, card.input_shape) == (multiply_adds, depth, shape)


@pytest.mark.parametrize(("arguments", "conv", "fc", "norm", "auxiliary", "multiply_adds", "training"), GOOGLENET)
def test_googlenet(
    arguments: dict[str, Any], conv: int, fc: int, norm: int, auxiliary: int, multiply_adds: int, training: int
) -> None:
    card = on_meta(GoogLeNet, **arguments)
    assert (card.parameters.conv, card.parameters.fc, card.parameters.norm) == (conv, fc, norm)
    assert card.auxiliary_parameters == auxiliary
    assert (card.multiply_adds, card.training_multiply_adds, card.depth) == (multiply_adds, training, 22)


@pytest.mark.parametrize(("depth", "conv", "fc", "norm", "original", "v1_5"), RESNET_IMAGENET)
@pytest.mark.slow(1)
def test_resnet_on_imagenet(depth: int, conv: int, fc: int, norm: int, original: int, v1_5: int) -> None:
    for variant, multiply_adds in (("original", original), ("v1.5", v1_5)):
        card = on_meta(ResNet, depth=depth, variant=variant)
        parameters = card.parameters
        assert (parameters.conv, parameters.fc, parameters.norm, parameters.other) == (conv, fc, norm, 0)
        assert card.multiply_adds == multiply_adds
        assert card.depth == depth


@pytest.mark.parametrize(("depth", "total", "multiply_adds"), RESNET_CIFAR)
@pytest.mark.slow(1)
def test_resnet_on_cifar(depth: int, total: int, multiply_adds: int | None) -> None:
    card = on_meta(ResNet, depth=depth, variant="cifar")
    assert card.parameters.total == total
    assert multiply_adds in (None, card.multiply_adds)
    assert card.depth == depth
    assert card.input_shape == (3, 32, 32)


@pytest.mark.parametrize(("arguments", "total"), RESNET_SHORTCUTS)
def test_resnet_shortcuts(arguments: dict[str, Any], total: int) -> None:
    with torch.device("meta"):
        assert count_parameters(ResNet(**arguments)).total == total


def test_counting_leaves_the_network_alone() -> None:
    network = ResNet(20, variant="cifar").train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    model_card(network)
    assert network.training
    assert all((value == before[name]).all() for name, value in network.state_dict().items())
    assert not any(module._forward_hooks for module in network.modules())
