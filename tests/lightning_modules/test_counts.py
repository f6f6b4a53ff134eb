"""Parameters, multiply-adds and depth equal the papers' to the digit."""

from typing import Any

import pytest

from lightning_modules import AlexNet, ResNet
from lightning_modules.model_card import model_card

ALEXNET = [
    # arguments, conv, fc, multiply-adds
    ({"variant": "paper"}, 2_334_080, 58_631_144, 724_406_816),
    ({"variant": "authors2012"}, 2_334_080, 58_631_144, 724_406_816),
    ({"variant": "caffe", "image_size": 227}, 2_334_080, 58_631_144, 724_406_816),
    ({"variant": "one_column"}, 3_747_200, 58_631_144, 1_135_256_096),
    ({"variant": "torchvision"}, 2_469_696, 58_631_144, 714_188_480),
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
    (1202, 19_421_274, None),
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


@pytest.mark.parametrize(("arguments", "conv", "fc", "multiply_adds"), ALEXNET)
def test_alexnet(arguments: dict[str, Any], conv: int, fc: int, multiply_adds: int) -> None:
    card = model_card(AlexNet(**arguments))
    assert (card.parameters.conv, card.parameters.fc) == (conv, fc)
    assert card.parameters.total == conv + fc
    assert card.multiply_adds == multiply_adds
    assert card.depth == 8


@pytest.mark.parametrize(("depth", "conv", "fc", "norm", "original", "v1_5"), RESNET_IMAGENET)
def test_resnet_on_imagenet(depth: int, conv: int, fc: int, norm: int, original: int, v1_5: int) -> None:
    for variant, multiply_adds in (("original", original), ("v1.5", v1_5)):
        card = model_card(ResNet(depth, variant=variant))  # type: ignore[arg-type]
        parameters = card.parameters
        assert (parameters.conv, parameters.fc, parameters.norm, parameters.other) == (conv, fc, norm, 0)
        assert card.multiply_adds == multiply_adds
        assert card.depth == depth


@pytest.mark.parametrize(("depth", "total", "multiply_adds"), RESNET_CIFAR)
def test_resnet_on_cifar(depth: int, total: int, multiply_adds: int | None) -> None:
    card = model_card(ResNet(depth, variant="cifar"))
    assert card.parameters.total == total
    assert multiply_adds in (None, card.multiply_adds)
    assert card.depth == depth
    assert card.input_shape == (3, 32, 32)


@pytest.mark.parametrize(("arguments", "total"), RESNET_SHORTCUTS)
def test_resnet_shortcuts(arguments: dict[str, Any], total: int) -> None:
    assert model_card(ResNet(**arguments)).parameters.total == total


def test_counting_leaves_the_network_alone() -> None:
    network = ResNet(20, variant="cifar").train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    model_card(network)
    assert network.training
    assert all((value == before[name]).all() for name, value in network.state_dict().items())
    assert not any(module._forward_hooks for module in network.modules())
