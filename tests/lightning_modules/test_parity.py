"""With copied weights, outputs and gradients equal those of torchvision's independent code.

One network of each architecture sees images of 224x224, the others of 64x64. The fully connected layers of AlexNet and
VGG have 64 outputs here: with the 4,096 of both, in float64 and with gradients, they would take 4 GB.
"""

import re
from typing import Any

import pytest
import torch
import torchvision
from torch import Tensor, nn

from lightning_modules import VGG, AlexNet, GoogLeNet, ImageClassifier, ResNet

pytestmark = pytest.mark.slow(4)

IMAGES = torch.randn(2, 3, 224, 224, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
FC_WIDTH = 64


def assert_same(ours: ImageClassifier, theirs: nn.Module, images: Tensor, in_training_mode: bool = True) -> None:
    """Copy the weights by their names, then compare logits and gradients in float64, auxiliary ones too."""
    ours, theirs = ours.train(in_training_mode), theirs.double().train(in_training_mode)
    names = {name: ours_by_theirs(ours, name) for name in theirs.state_dict()}
    trained = {name for name, _ in theirs.named_parameters()}
    # The two share their weights, and have buffers of their own.
    state = {names[name]: value if name in trained else value.clone() for name, value in theirs.state_dict().items()}
    ours.load_state_dict(state, assign=True)
    outputs, auxiliary = ours.training_outputs(images)
    expected = theirs(images)
    pairs = [(outputs, expected[0] if isinstance(expected, tuple) else expected)]
    if auxiliary:
        pairs += [(auxiliary["4a"], expected.aux_logits1), (auxiliary["4d"], expected.aux_logits2)]
    for mine, logits in pairs:
        assert_close(mine, logits)
    sum(mine.square().mean() for mine, _ in pairs).backward()
    gradients = {name: parameter.grad for name, parameter in ours.named_parameters()}
    compared = set()

    def compare(name: str, parameter: Tensor) -> None:
        """Compare as soon as it is there, so that there is never a whole second set of gradients."""
        compared.add(name)
        assert_close(gradients.pop(names[name]), parameter.grad)
        parameter.grad = None

    for name, parameter in theirs.named_parameters():
        parameter.register_post_accumulate_grad_hook(lambda parameter, name=name: compare(name, parameter))
    sum(logits.square().mean() for _, logits in pairs).backward()
    assert compared == trained
    assert not any(gradient is not None for gradient in gradients.values())


def assert_close(mine: Tensor | None, expected: Tensor) -> None:
    """Equal to rounding; most are equal to the bit, which is found out in a tenth of the time."""
    if mine is None or not torch.equal(mine, expected):
        torch.testing.assert_close(mine, expected, rtol=1e-5, atol=1e-10)


def ours_by_theirs(ours: ImageClassifier, name: str) -> str:
    for pattern, replacement in ours.torchvision_names:
        name = re.sub(pattern, replacement, name)
    return name


def narrowed(theirs: Any, inputs: int) -> nn.Module:
    """torchvision's network from the meta device, with fully connected layers of `FC_WIDTH` outputs.

    PyTorch's own weights, in the place of torchvision's, keep the signal alive through 19 layers.
    """
    shapes = iter([(inputs, FC_WIDTH), (FC_WIDTH, FC_WIDTH), (FC_WIDTH, 1000)])
    for index, layer in enumerate(theirs.classifier):
        if isinstance(layer, nn.Linear):
            theirs.classifier[index] = nn.Linear(*next(shapes), device="meta")
    theirs = theirs.to_empty(device="cpu")
    for module in theirs.modules():
        if hasattr(module, "reset_parameters"):
            module.reset_parameters()
    return theirs


@pytest.mark.parametrize(("depth", "size"), [(18, 64), (34, 64), (50, 224), (101, 64), (152, 64)])
def test_resnet(depth: int, size: int) -> None:
    theirs = getattr(torchvision.models, f"resnet{depth}")()
    with torch.device("meta"):
        ours = ResNet(depth, variant="v1.5")
    assert_same(ours, theirs, IMAGES[: 1 if size == 224 else 2, :, :size, :size])


def test_alexnet() -> None:
    with torch.device("meta"):
        ours = AlexNet(variant="torchvision", dropout=0.0, fc_width=FC_WIDTH)
        theirs = torchvision.models.alexnet(dropout=0.0)
    assert_same(ours, narrowed(theirs, 256 * 6 * 6), IMAGES)


@pytest.mark.parametrize("batch_norm", [False, True])
@pytest.mark.parametrize(("variant", "depth", "size"), [("A", 11, 224), ("B", 13, 64), ("D", 16, 64), ("E", 19, 64)])
def test_vgg(variant: Any, depth: int, size: int, batch_norm: bool) -> None:
    size = 64 if batch_norm else size
    make_theirs = getattr(torchvision.models, f"vgg{depth}{'_bn' if batch_norm else ''}")
    with torch.device("meta"):
        ours = VGG(variant, batch_norm=batch_norm, dropout=0.0, fc_width=FC_WIDTH, image_size=size)
        theirs = make_theirs(init_weights=False, dropout=0.0)
    if size < 224:
        theirs.avgpool = nn.Identity()  # it would enlarge what is smaller than 7x7
    assert_same(ours, narrowed(theirs, 512 * (size // 32) ** 2), IMAGES[:1, :, :size, :size])


@pytest.mark.parametrize("in_training_mode", [True, False])
@pytest.mark.parametrize("transform_input", [True, False])
def test_googlenet(in_training_mode: bool, transform_input: bool) -> None:
    theirs = torchvision.models.googlenet(
        aux_logits=True, init_weights=False, dropout=0.0, dropout_aux=0.0, transform_input=transform_input
    )
    with torch.device("meta"):
        ours = GoogLeNet(
            "torchvision",
            dropout=0.0,
            auxiliary_dropout=0.0,
            auxiliary=in_training_mode,
            transform_input=transform_input,
        )
    if not in_training_mode:
        theirs.aux1 = theirs.aux2 = None
    size = 224 if in_training_mode and transform_input else 64
    assert_same(ours, theirs, IMAGES[: 1 if size == 224 else 2, :, :size, :size], in_training_mode)
