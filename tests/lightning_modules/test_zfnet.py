"""ZFNet against its paper: sizes, initialization, the limit of its filters."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from lightning_modules import ZFNet

SMALL = {"stem": "small", "fc_width": 32, "num_classes": 10}


@pytest.mark.parametrize(
    ("stem", "size", "expected"),
    [("imagenet", 224, [110, 55, 26, 13, 13, 13, 13, 6]), ("small", 32, [32, 16, 16, 8, 8, 8, 8, 4])],
)
def test_maps_have_the_sizes_of_the_figure(stem: str, size: int, expected: list[int]) -> None:
    with torch.device("meta"):
        network = ZFNet(stem=stem)  # type: ignore[arg-type]
    sizes = []
    for module in network.features:
        if isinstance(module, nn.Conv2d | nn.MaxPool2d):
            module.register_forward_hook(lambda _, __, output: sizes.append(output.shape[-1]))
    network.features(torch.empty(1, 3, size, size, device="meta"))
    assert sizes == expected


def test_normalization_follows_pooling() -> None:
    kinds = [type(module).__name__ for module in ZFNet(**SMALL).features]  # type: ignore[arg-type]
    assert kinds[:8] == ["Conv2d", "ReLU", "MaxPool2d", "LocalResponseNorm"] * 2


def test_filters_are_limited_after_the_update() -> None:
    network = ZFNet(**SMALL, filter_rms_limit=0.02)  # type: ignore[arg-type]
    first, second = network.features[0], network.features[4]
    with torch.no_grad():
        first.weight[0] = 3.0
        second.weight[:] = -0.01
    optimizer = torch.optim.SGD(network.parameters(), lr=0.0)

    def closure() -> torch.Tensor:
        loss = F.cross_entropy(network(torch.randn(2, 3, 32, 32)), torch.tensor([0, 1]))
        loss.backward()
        return loss

    network.optimizer_step(0, 0, optimizer, closure)
    rms = first.weight.square().mean((1, 2, 3)).sqrt()
    torch.testing.assert_close(rms[0], torch.tensor(0.02))
    torch.testing.assert_close(first.weight[0], torch.full_like(first.weight[0], 0.02))  # scaled, not clipped
    assert torch.equal(second.weight, torch.full_like(second.weight, -0.01))  # below the limit: as they were


def test_filters_can_be_left_alone() -> None:
    network = ZFNet(**SMALL, filter_rms_limit=None, initialization="kaiming")  # type: ignore[arg-type]
    before = network.features[0].weight.clone()
    network.limit_filters()
    assert torch.equal(network.features[0].weight, before)


def test_initialization_is_the_papers() -> None:
    network = ZFNet(**{**SMALL, "fc_width": 512})  # type: ignore[arg-type]
    layers = [module for module in network.modules() if isinstance(module, nn.Conv2d | nn.Linear)]
    for layer in layers[1:]:
        assert layer.weight.std().item() == pytest.approx(0.01, rel=0.03)
        assert not layer.bias.any()  # type: ignore[union-attr]


def test_images_that_are_too_small_are_refused() -> None:
    with pytest.raises(ValueError, match="16x16 are too small for ZFNet: set model.stem to small"):
        ZFNet(image_size=16)
