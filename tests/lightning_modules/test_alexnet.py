"""AlexNet against its paper and its authors' code: normalization, geometry, initialization."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lightning_modules import AlexNet
from lightning_modules.alexnet import DESIGNS, SpatialResponseNorm
from lightning_modules.local_response_norm import LocalResponseNorm


def literal_response_norm(x: Tensor, scale: float, k: float, columns: int) -> Tensor:
    """The formula of §3.3, one channel and one neighbor at a time."""
    result = torch.empty_like(x)
    width = x.shape[1] // columns
    for i in range(x.shape[1]):
        first, last = (i // width) * width, (i // width + 1) * width - 1
        neighbors = range(max(first, i - 2), min(last, i + 2) + 1)
        total = sum(x[:, j] ** 2 for j in neighbors)
        result[:, i] = x[:, i] / (k + scale * total) ** 0.75
    return result


@pytest.mark.parametrize("variant", ["paper", "one_column", "authors2012", "caffe"])
def test_normalization_is_the_formula(variant: str) -> None:
    normalization = DESIGNS[variant].normalization
    assert normalization is not None
    x = 50 * torch.randn(2, 16, 3, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    layer = LocalResponseNorm(16, *normalization).double()
    torch.testing.assert_close(layer(x), literal_response_norm(x, *normalization), rtol=1e-6, atol=0)


@pytest.mark.parametrize(("variant", "alpha", "k"), [("one_column", 5e-4, 2.0), ("caffe", 1e-4, 1.0)])
def test_normalization_in_the_convention_of_pytorch(variant: str, alpha: float, k: float) -> None:
    normalization = DESIGNS[variant].normalization
    assert normalization is not None
    x = 50 * torch.randn(2, 12, 3, 3)
    theirs = nn.LocalResponseNorm(5, alpha=alpha, beta=0.75, k=k)
    torch.testing.assert_close(LocalResponseNorm(12, *normalization)(x), theirs(x), rtol=1e-5, atol=1e-6)


def test_alpha_of_the_normalization() -> None:
    def layers(**options: Any) -> list[LocalResponseNorm]:
        network = AlexNet(stem="small", width=0.125, fc_width=8, num_classes=10, **options)
        return [layer for layer in network.features if isinstance(layer, LocalResponseNorm)]

    assert [layer.scale for layer in layers()] == [1e-4, 1e-4]
    assert [(layer.scale, layer.k) for layer in layers(response_alpha=0.4)] == [(0.4, 2), (0.4, 2)]
    x = torch.randn(2, 12, 3, 3)
    torch.testing.assert_close(layers(response_alpha=0.0)[0](x), x * 2**-0.75)
    with pytest.raises(ValueError, match="has no response_alpha: set model.normalization to response"):
        layers(response_alpha=0.4, normalization="batch")


def test_spatial_normalization_is_the_formula() -> None:
    x = 100 * torch.randn(1, 2, 7, 6, dtype=torch.float64)
    expected = torch.empty_like(x)
    for row in range(7):
        for column in range(6):
            window = x[:, :, max(0, row - 2) : row + 3, max(0, column - 2) : column + 3]
            total = (window**2).sum((2, 3))
            expected[:, :, row, column] = x[:, :, row, column] / (1 + 0.001 / 25 * total) ** 0.75
    torch.testing.assert_close(SpatialResponseNorm()(x), expected, rtol=1e-6, atol=0)


@pytest.mark.parametrize(
    ("variant", "size"), [("paper", 224), ("authors2012", 224), ("torchvision", 224), ("caffe", 227)]
)
@pytest.mark.slow(1)
def test_maps_have_the_sizes_of_the_table(variant: str, size: int) -> None:
    network = AlexNet(variant=variant, image_size=size)  # type: ignore[arg-type]
    sizes = []
    for module in network.features:
        if isinstance(module, nn.Conv2d | nn.MaxPool2d):
            module.register_forward_hook(lambda _, __, output: sizes.append(output.shape[-1]))
    network.features(torch.zeros(1, 3, size, size))
    assert sizes == [55, 27, 27, 13, 13, 13, 13, 6]


@pytest.mark.slow(1)
def test_authors_network_normalizes_signed_responses() -> None:
    kinds = [type(module).__name__ for module in AlexNet(variant="authors2012").features]
    assert kinds[:5] == ["ZeroPad2d", "Conv2d", "LocalResponseNorm", "MaxPool2d", "ReLU"]
    assert kinds[5:10] == ["Conv2d", "ReLU", "LocalResponseNorm", "SpatialResponseNorm", "MaxPool2d"]
    assert kinds[-3:] == ["Conv2d", "MaxPool2d", "ReLU"]


@pytest.mark.slow(1)
def test_columns_do_not_see_each_other_before_conv3() -> None:
    network = AlexNet(variant="paper")
    first = network.features[:8]
    with torch.no_grad():
        network.features[1].weight[48:] *= 100
        images = torch.randn(1, 3, 224, 224)
        left = first(images)[:, :128]
        network.features[1].weight[48:] *= 0
        torch.testing.assert_close(first(images)[:, :128], left)


@pytest.mark.parametrize(
    ("variant", "bias", "stds"),
    [
        ("paper", 1.0, (0.01,) * 8),
        ("authors2012", 1.0, (0.01, 0.01, 0.03, 0.03, 0.03, 0.01, 0.01, 0.01)),
        ("caffe", 0.1, (0.01, 0.01, 0.01, 0.01, 0.01, 0.005, 0.005, 0.01)),
    ],
)
@pytest.mark.slow(1)
def test_initialization(variant: str, bias: float, stds: tuple[float, ...]) -> None:
    layers = [module for module in AlexNet(variant=variant).modules() if isinstance(module, nn.Conv2d | nn.Linear)]  # type: ignore[arg-type]
    biases = [layer.bias for layer in layers if layer.bias is not None]
    assert [float(value.unique()) for value in biases] == pytest.approx([0, bias, 0, bias, bias, bias, bias, 0])
    for layer, std in zip(layers, stds, strict=True):
        assert layer.weight.std().item() == pytest.approx(std, rel=0.02)


def test_images_that_are_too_small_are_refused() -> None:
    with pytest.raises(ValueError, match="32x32 are too small for AlexNet: set model.stem to small"):
        AlexNet(image_size=32)
