"""With copied weights, outputs and gradients equal those of torchvision's independent code."""

import re
from typing import Any

import pytest
import torch
import torchvision
from torch import nn

from lightning_modules import VGG, AlexNet, GoogLeNet, ImageClassifier, ResNet

IMAGES = torch.randn(2, 3, 224, 224, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def assert_same(
    ours: ImageClassifier, theirs: nn.Module, images: torch.Tensor = IMAGES, in_training_mode: bool = True
) -> None:
    """Copy the weights by their names, then compare logits and gradients in float64, auxiliary ones too."""
    ours, theirs = ours.double().train(in_training_mode), theirs.double().train(in_training_mode)
    names = {name: ours_by_theirs(ours, name) for name in theirs.state_dict()}
    ours.load_state_dict({names[name]: tensor for name, tensor in theirs.state_dict().items()})
    outputs, auxiliary = ours.training_outputs(images)
    expected = theirs(images)
    pairs = [(outputs, expected[0] if isinstance(expected, tuple) else expected)]
    if auxiliary:
        pairs += [(auxiliary["4a"], expected.aux_logits1), (auxiliary["4d"], expected.aux_logits2)]
    for side in zip(*pairs, strict=True):
        sum(logits.square().mean() for logits in side).backward()
    for mine, logits in pairs:
        assert_close(mine, logits)
    gradients = {name: parameter.grad for name, parameter in ours.named_parameters()}
    for name, parameter in theirs.named_parameters():
        if parameter.grad is not None:  # their auxiliary heads have none in evaluation mode
            assert_close(gradients[names[name]], parameter.grad)


def assert_close(mine: torch.Tensor | None, expected: torch.Tensor) -> None:
    """Equal to rounding; most are equal to the bit, which is found out in a tenth of the time."""
    if mine is None or not torch.equal(mine, expected):
        torch.testing.assert_close(mine, expected, rtol=1e-5, atol=1e-10)


def ours_by_theirs(ours: ImageClassifier, name: str) -> str:
    for pattern, replacement in ours.torchvision_names:
        name = re.sub(pattern, replacement, name)
    return name


@pytest.mark.parametrize("depth", [18, 34, 50, 101, 152])
def test_resnet(depth: int) -> None:
    theirs = getattr(torchvision.models, f"resnet{depth}")()
    assert_same(ResNet(depth, variant="v1.5"), theirs)


def test_alexnet() -> None:
    assert_same(AlexNet(variant="torchvision", dropout=0.0), torchvision.models.alexnet(dropout=0.0))


@pytest.mark.parametrize("batch_norm", [False, True])
@pytest.mark.parametrize(("variant", "depth"), [("A", 11), ("B", 13), ("D", 16), ("E", 19)])
def test_vgg(variant: Any, depth: int, batch_norm: bool) -> None:
    theirs = getattr(torchvision.models, f"vgg{depth}{'_bn' if batch_norm else ''}")(init_weights=False, dropout=0.0)
    # PyTorch's own weights keep the signal alive through 19 layers.
    with torch.device("meta"):
        ours = VGG(variant, batch_norm=batch_norm, dropout=0.0)
    assert_same(ours.to_empty(device="cpu"), theirs, IMAGES[:1])


@pytest.mark.parametrize("in_training_mode", [True, False])
@pytest.mark.parametrize("transform_input", [True, False])
def test_googlenet(in_training_mode: bool, transform_input: bool) -> None:
    theirs = torchvision.models.googlenet(
        aux_logits=True, init_weights=False, dropout=0.0, dropout_aux=0.0, transform_input=transform_input
    )
    ours = GoogLeNet(
        "torchvision", dropout=0.0, auxiliary_dropout=0.0, auxiliary=in_training_mode, transform_input=transform_input
    )
    if not in_training_mode:
        theirs.aux1 = theirs.aux2 = None
    assert_same(ours, theirs, in_training_mode=in_training_mode)
