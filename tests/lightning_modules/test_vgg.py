"""VGG against its paper: configurations, dense evaluation, initialization."""

import pytest
import torch
from torch import nn

from lightning_modules import VGG
from lightning_modules.local_response_norm import LocalResponseNorm

SMALL = {"stem": "small", "fc_width": 32, "num_classes": 10}


def kernels(network: VGG) -> list[int]:
    return [module.kernel_size[0] for module in network.features if isinstance(module, nn.Conv2d)]


def test_c_ends_its_last_three_blocks_with_1x1() -> None:
    assert kernels(VGG("C", **SMALL)) == [3, 3, 3, 3, *[3, 3, 1] * 3]  # type: ignore[arg-type]
    assert kernels(VGG("D", **SMALL)) == [3] * 13  # type: ignore[arg-type]


def test_a_lrn_normalizes_once() -> None:
    found = [
        index for index, module in enumerate(VGG("A-LRN", **SMALL).features) if isinstance(module, LocalResponseNorm)
    ]  # type: ignore[arg-type]
    assert found == [2]  # behind the first convolution and its ReLU


@pytest.mark.slow(1)
def test_dense_network_has_the_logits_of_the_plain_one_and_loads_its_weights() -> None:
    plain = VGG("A", **SMALL, image_size=64, initialization="kaiming").eval()  # type: ignore[arg-type]
    dense = VGG("A", **SMALL, image_size=64, dense=True).eval()  # type: ignore[arg-type]
    dense.load_state_dict(plain.state_dict())
    images = torch.randn(2, 3, 64, 64)
    torch.testing.assert_close(dense(images), plain(images), rtol=1e-4, atol=1e-5)
    back = VGG("A", **SMALL, image_size=64).eval()  # type: ignore[arg-type]
    back.load_state_dict(dense.state_dict())
    torch.testing.assert_close(back(images), plain(images))


def test_dense_network_averages_the_scores_of_a_larger_image() -> None:
    dense = VGG("A", **SMALL, dense=True, initialization="kaiming").eval()  # type: ignore[arg-type]
    images = torch.randn(1, 3, 96, 64)
    scores = dense.head(dense.features(images))
    assert scores.shape == (1, 10, 3, 2)
    torch.testing.assert_close(dense(images), scores.mean((2, 3)))


@pytest.mark.parametrize(("initialization", "conv", "fc"), [("design", 0.1, 0.1), ("torchvision", 0.0208, 0.01)])
def test_initialization(initialization: str, conv: float, fc: float) -> None:
    network = VGG("A", stem="small", fc_width=512, initialization=initialization)  # type: ignore[arg-type]
    assert network.features[-3].weight.std().item() == pytest.approx(conv, rel=0.03)  # sqrt(2 / (9 * 512))
    assert network.head[0].weight.std().item() == pytest.approx(fc, rel=0.03)
    assert not any(module.bias.any() for module in network.modules() if isinstance(module, nn.Conv2d | nn.Linear))  # type: ignore[union-attr]


def test_names() -> None:
    with torch.device("meta"):
        names = [VGG(variant).architecture for variant in ("A", "A-LRN", "C", "E")]  # type: ignore[arg-type]
        assert VGG("D", batch_norm=True).architecture == "VGG-16 D BN"
    assert names == ["VGG-11 A", "VGG-11 A-LRN", "VGG-16 C", "VGG-19 E"]


def test_images_that_are_too_small_are_refused() -> None:
    with pytest.raises(ValueError, match=r"28x28 are too small for VGG-16 D: give 32x32 or more, .*image_size=32"):
        VGG(image_size=28)
