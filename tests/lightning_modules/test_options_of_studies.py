"""Widths, kernels, heads and normalizations: counts are those of independent formulas, and every parameter learns."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lightning_modules import NIN, VGG, AlexNet, GoogLeNet, ImageClassifier, ResNet, ZFNet
from lightning_modules.model_card import model_card

SMALL: dict[str, Any] = {"stem": "small", "num_classes": 10}


def parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def conv(inputs: int, outputs: int, kernel: int, norm: bool = False, groups: int = 1, bias: bool = True) -> int:
    return inputs * outputs * kernel**2 // groups + outputs * (bias + 2 * norm)


def layers(*widths: int) -> int:
    """Fully connected layers from one width to the next, or 1x1 convolutions."""
    return sum(conv(inputs, outputs, 1) for inputs, outputs in pairwise(widths))


def alexnet(columns: int, widths: tuple[int, ...], fc: int) -> int:
    w1, w2, w3, w4, w5 = widths
    convolutions = conv(3, w1, 5) + conv(w1, w2, 5, groups=columns) + conv(w2, w3, 3)
    convolutions += conv(w3, w4, 3, groups=columns) + conv(w4, w5, 3, groups=columns)
    return convolutions + layers(9 * w5, fc, fc, 10)


def vgg(rows: list[list[int]], kernel: int, norm: bool, *fc: int) -> int:
    total, inputs = 0, 3
    for row in rows:
        for outputs in row:
            total, inputs = total + conv(inputs, outputs, kernel, norm), outputs
    return total + layers(inputs, *fc, 10)


def cifar_resnet(n: int, width: int) -> int:
    total, inputs = conv(3, width, 3, norm=True, bias=False), width
    for planes in (width, 2 * width, 4 * width):
        for _ in range(n):
            total += conv(inputs, planes, 3, norm=True, bias=False) + conv(planes, planes, 3, norm=True, bias=False)
            inputs = planes
    return total + layers(inputs, 10)


COUNTS: list[tuple[Callable[[], ImageClassifier], int]] = [
    (lambda: AlexNet(**SMALL, width=0.25, fc_width=256), alexnet(2, (24, 64, 96, 96, 64), 256)),
    (lambda: AlexNet("one_column", **SMALL, width=0.125, fc_width=128), alexnet(1, (12, 32, 48, 48, 32), 128)),
    (
        lambda: VGG("B", **SMALL, width=0.25, batch_norm=True, fc_width=128),
        vgg([[16] * 2, [32] * 2, [64] * 2, [128] * 2, [128] * 2], 3, True, 128, 128),
    ),
    (
        lambda: VGG("B-5x5", **SMALL, width=0.25, batch_norm=True, fc_width=128),
        vgg([[16], [32], [64], [128], [128]], 5, True, 128, 128),
    ),
    (lambda: VGG("A", **SMALL, width=0.125, head="average"), vgg([[8], [16], [32] * 2, [64] * 2, [64] * 2], 3, False)),
    # Without a number of their own, fc6 and fc7 follow the width.
    (lambda: VGG("A", **SMALL, width=1 / 64), vgg([[1], [2], [4] * 2, [8] * 2, [8] * 2], 3, False, 64, 64)),
    (lambda: ResNet(20, "cifar", width=0.5), cifar_resnet(3, 8)),
    (lambda: ResNet(56, "cifar", shortcut="none", width=0.5), cifar_resnet(9, 8)),
    (
        lambda: NIN("mnist", in_channels=3, image_size=32, width=0.5),
        conv(3, 48, 5)
        + layers(48, 32, 24)
        + conv(24, 64, 5)
        + layers(64, 48, 24)
        + conv(24, 64, 5)
        + layers(64, 48, 10),
    ),
    (
        lambda: NIN("mnist", in_channels=3, image_size=32, width=0.5, mlpconv=False),
        conv(3, 48, 5) + conv(48, 64, 5) + conv(64, 10, 5),
    ),
    (lambda: NIN("cifar10", mlpconv=False), conv(3, 192, 5) + conv(192, 192, 5) + conv(192, 10, 3)),
    (
        lambda: AlexNet(**SMALL, head="average", width=0.25),
        alexnet(2, (24, 64, 96, 96, 64), 1) - layers(9 * 64, 1, 1, 10) + layers(64, 10),
    ),
    (
        lambda: AlexNet(**SMALL, normalization="batch", width=0.25, fc_width=256),
        alexnet(2, (24, 64, 96, 96, 64), 256) + 2 * (24 + 64 + 96 + 96 + 64),
    ),
    (
        lambda: ZFNet(**SMALL, width=0.25, fc_width=256),
        conv(3, 24, 3)
        + conv(24, 64, 5)
        + conv(64, 96, 3)
        + conv(96, 96, 3)
        + conv(96, 64, 3)
        + layers(16 * 64, 256, 256, 10),
    ),
]


@pytest.mark.parametrize(("build", "expected"), COUNTS, ids=lambda value: str(value) if isinstance(value, int) else "")
def test_counts(build: Callable[[], ImageClassifier], expected: int) -> None:
    assert parameters(build()) == expected


@pytest.mark.parametrize(
    ("build", "thousands"),
    [
        (lambda: VGG("B", **SMALL, width=0.25, batch_norm=True, fc_width=128), 624),
        (lambda: VGG("B-5x5", **SMALL, width=0.25, batch_norm=True, fc_width=128), 715),
        (lambda: ResNet(20, "cifar", width=0.5), 68),
        (lambda: ResNet(32, "cifar", width=0.5), 117),
        (lambda: ResNet(56, "cifar", width=0.5), 215),
        (lambda: GoogLeNet("batch_norm", **SMALL, auxiliary=False, width=0.25), 379),
    ],
)
def test_counts_of_the_feasibility_study(build: Callable[[], ImageClassifier], thousands: int) -> None:
    assert round(parameters(build()) / 1000) == thousands


@pytest.mark.parametrize(("kernels", "width"), [("1x1", 0.25), ("3x3", 0.3), ("5x5", 0.25), ("5x5", 0.5)])
@pytest.mark.slow(1)
def test_kernels_of_one_size_have_the_work_of_the_mix(kernels: Any, width: float) -> None:
    with torch.device("meta"):
        mix = model_card(GoogLeNet("batch_norm", width=width, auxiliary=False))
        own = model_card(GoogLeNet("batch_norm", width=width, auxiliary=False, kernels=kernels))
        network = GoogLeNet("batch_norm", width=width, auxiliary=False, kernels=kernels)
    assert own.multiply_adds == pytest.approx(mix.multiply_adds, rel=0.02)
    size = int(kernels[0])
    convolutions = [module for module in network.modules() if isinstance(module, nn.Conv2d)][3:]
    assert [layer.kernel_size[0] for layer in convolutions] == [1, size] * 9


@pytest.mark.parametrize(
    "build",
    [
        lambda: AlexNet(**SMALL, width=0.1, normalization="batch", activation="tanh", initialization="glorot"),
        lambda: AlexNet("authors2012", **SMALL, width=0.1, normalization="none", fc_width=100),
        lambda: AlexNet("torchvision", **SMALL, width=0.1, normalization="batch", head="average"),
        lambda: AlexNet("one_column", **SMALL, width=0.1, head="average", initialization="kaiming"),
        lambda: ZFNet(**SMALL, width=0.05, initialization="kaiming"),
        lambda: VGG("B-5x5", **SMALL, width=0.1, head="average", initialization="kaiming"),
        lambda: VGG("A-LRN", **SMALL, width=0.1, initialization="torchvision", head="average"),
        lambda: VGG("C", **SMALL, width=0.03, dense=True, initialization="kaiming"),
        lambda: NIN("cifar10", width=0.1, mlpconv=False, initialization="kaiming"),
        lambda: NIN("cifar10", width=0.1, head="fc", initialization="kaiming"),
        lambda: GoogLeNet("batch_norm", **SMALL, width=0.1),
        lambda: GoogLeNet("batch_norm", **SMALL, width=0.11, kernels="5x5"),
        lambda: ResNet(8, "cifar", width=0.3, batch_norm=False),
        lambda: ResNet(18, "original", **SMALL, width=0.05, batch_norm=False, shortcut="C"),
        lambda: ResNet(50, "v1.5", **SMALL, width=0.05),
    ],
)
def test_every_parameter_learns_at_any_width(build: Callable[[], ImageClassifier]) -> None:
    torch.manual_seed(0)
    network = build()
    images = torch.randn(8, 3, 32, 32)
    logits, auxiliary = network.training_outputs(images)
    assert logits.shape == (8, 10)
    (logits.logsumexp(1).sum() + sum(head.logsumexp(1).sum() for head in auxiliary.values())).backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
    assert network.output_layers[0] in dict(network.named_modules())


@pytest.mark.parametrize(
    ("build", "name"),
    [
        (lambda: AlexNet(**SMALL, width=0.1, normalization="none"), "AlexNet none x0.1"),
        (lambda: AlexNet("caffe", **SMALL, width=0.1, head="average"), "AlexNet caffe average x0.1"),
        (lambda: VGG("B-5x5", **SMALL, width=0.1), "VGG-8 B-5x5 x0.1"),
        (lambda: VGG("A", **SMALL, width=0.1, head="average", batch_norm=True), "VGG-9 A BN average x0.1"),
        (lambda: NIN(mlpconv=False), "NIN linear"),
        (lambda: GoogLeNet("batch_norm", **SMALL, width=0.1, kernels="3x3"), "GoogLeNet BN 3x3 x0.1"),
        (lambda: ResNet(8, "cifar", batch_norm=False, width=0.5), "ResNet-8 no BN x0.5"),
        (lambda: ZFNet(**SMALL, width=0.1), "ZFNet x0.1"),
    ],
)
def test_names_say_what_is_not_the_papers(build: Callable[[], ImageClassifier], name: str) -> None:
    assert build().architecture == name


def test_glorot_is_what_tanh_needs() -> None:
    """The variance of a layer's outputs is about that of its inputs, so tanh neither saturates nor fades."""
    torch.manual_seed(0)
    network = AlexNet(**SMALL, activation="tanh", initialization="glorot", normalization="none", fc_width=128).eval()
    outputs: list[Tensor] = []
    for module in network.features:
        if isinstance(module, nn.Tanh):
            module.register_forward_hook(lambda *given: outputs.append(given[-1]))
    network(torch.randn(4, 3, 32, 32))
    assert len(outputs) == 5
    assert all(0.05 < output.std() < 0.95 for output in outputs)
    conv1 = network.features[0]
    assert conv1.weight.std().item() == pytest.approx((2 / (25 * 3 + 25 * 96)) ** 0.5, rel=0.05)
    assert not conv1.bias.any()


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (
            lambda: AlexNet(**SMALL, activation="tanh"),
            "Weights of design are made for ReLU: set model.initialization to gl",
        ),
        (lambda: AlexNet("torchvision", normalization="response"), "torchvision has no response normalization: choose"),
        (lambda: VGG("A", **SMALL, dense=True, head="average"), "takes images of any size as it is: leave model.dense"),
        (
            lambda: VGG("D", **SMALL, weights_of_a="a.pth", head="average"),
            "weights_of_a holds fc6 to fc8: set model.head",
        ),
        (lambda: ResNet(8, "cifar", width=0), "width must be above 0, such as 0.25"),
        (lambda: NIN(width=float("nan")), "width must be above 0"),
    ],
)
def test_what_does_not_go_together_is_refused(build: Callable[[], ImageClassifier], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build()
