"""ResNet against its paper: shortcuts, strides, initialization, refusals."""

import math

import pytest
import torch
from torch import nn

from lightning_modules import ResNet
from lightning_modules.resnet import ZeroPadding


def test_shortcut_a_keeps_every_second_pixel_and_adds_zeros() -> None:
    x = torch.randn(2, 3, 8, 8)
    y = ZeroPadding(new_channels=3, stride=2)(x)
    assert y.shape == (2, 6, 4, 4)
    assert torch.equal(y[:, :3], x[:, :, ::2, ::2])
    assert not y[:, 3:].any()


@pytest.mark.parametrize(("variant", "strides"), [("original", (2, 1, 1)), ("v1.5", (1, 2, 1))])
def test_stride_of_a_bottleneck(variant: str, strides: tuple[int, ...]) -> None:
    block = ResNet(50, variant=variant).stages[1][0]  # type: ignore[arg-type,index]
    convolutions = [module for module in block.branch.modules() if isinstance(module, nn.Conv2d)]
    assert tuple(convolution.stride[0] for convolution in convolutions) == strides


@pytest.mark.parametrize(("shortcut", "projections"), [("A", 0), ("B", 3), ("C", 16), ("none", 0)])
def test_number_of_projections(shortcut: str, projections: int) -> None:
    network = ResNet(34, shortcut=shortcut)  # type: ignore[arg-type]
    found = [block.shortcut for stage in network.stages for block in stage if isinstance(block.shortcut, nn.Sequential)]  # type: ignore[attr-defined]
    assert len(found) == projections


def test_plain_network_has_no_shortcut() -> None:
    network = ResNet(20, variant="cifar", shortcut="none")
    assert all(block.shortcut is None for stage in network.stages for block in stage)  # type: ignore[attr-defined]
    assert network.architecture == "plain-20"


@pytest.mark.parametrize("mode", ["fan_in", "fan_out"])
def test_initialization_is_he(mode: str) -> None:
    network = ResNet(50, initialization=mode)  # type: ignore[arg-type]
    for module in network.modules():
        if isinstance(module, nn.Conv2d) and module.weight.numel() > 20_000:
            channels = module.in_channels if mode == "fan_in" else module.out_channels
            expected = math.sqrt(2 / (channels * module.kernel_size[0] ** 2))
            assert module.weight.std().item() == pytest.approx(expected, rel=0.03)


def test_zero_init_residual_makes_each_block_a_relu() -> None:
    block = ResNet(20, variant="cifar", zero_init_residual=True).eval().stages[0][0]  # type: ignore[index]
    x = torch.randn(1, 16, 8, 8)
    torch.testing.assert_close(block(x), x.relu())


@pytest.mark.parametrize("size", [32, 33, 64])
def test_any_size_of_image_gives_logits(size: int) -> None:
    assert ResNet(8, variant="cifar").eval()(torch.randn(1, 3, size, size)).shape == (1, 10)


@pytest.mark.parametrize(
    ("depth", "variant", "message"),
    [
        (21, "cifar", "20, 56 or 110: depth cannot be 21"),
        (20, "original", r"depth must be one of \[18, 34"),
        (2, "cifar", "depth cannot be 2"),
    ],
)
def test_other_depths_are_refused(depth: int, variant: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ResNet(depth, variant=variant)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("network", "name"),
    [
        ({"depth": 20, "variant": "cifar"}, "ResNet-20"),
        ({"depth": 50}, "ResNet-50"),
        ({"depth": 50, "variant": "v1.5"}, "ResNet-50 v1.5"),
        ({"depth": 34, "shortcut": "C"}, "ResNet-34 C"),
    ],
)
def test_name(network: dict[str, object], name: str) -> None:
    assert ResNet(**network).architecture == name  # type: ignore[arg-type]
