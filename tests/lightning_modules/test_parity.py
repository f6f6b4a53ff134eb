"""With copied weights, outputs and gradients equal those of torchvision's independent code."""

import pytest
import torch
import torchvision
from torch import nn

from lightning_modules import AlexNet, ResNet


def assert_same(ours: nn.Module, theirs: nn.Module) -> None:
    """Copy the weights in the order of definition, which is the same, then compare logits and gradients in float64."""
    ours, theirs = ours.double().train(), theirs.double().train()
    own, other = list(ours.state_dict().values()), list(theirs.state_dict().values())
    assert [tensor.shape for tensor in own] == [tensor.shape for tensor in other]
    with torch.no_grad():
        for mine, tensor in zip(own, other, strict=True):
            mine.copy_(tensor)
    images = torch.randn(2, 3, 224, 224, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    logits = []
    for network in (ours, theirs):
        logits.append(network(images))
        logits[-1].square().mean().backward()
    torch.testing.assert_close(logits[0], logits[1], rtol=1e-5, atol=1e-10)
    for mine, parameter in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, parameter.grad, rtol=1e-5, atol=1e-10)


@pytest.mark.parametrize("depth", [18, 34, 50, 101, 152])
def test_resnet(depth: int) -> None:
    theirs = getattr(torchvision.models, f"resnet{depth}")()
    assert_same(ResNet(depth, variant="v1.5"), theirs)


def test_alexnet() -> None:
    assert_same(AlexNet(variant="torchvision", dropout=0.0), torchvision.models.alexnet(dropout=0.0))
