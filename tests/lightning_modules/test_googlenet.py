"""GoogLeNet against its paper: modules, sizes, auxiliary heads that cost nothing in evaluation."""

import pytest
import torch
from torch import nn

from lightning_modules import GoogLeNet
from lightning_modules.googlenet import Inception


@pytest.mark.parametrize("variant", ["paper", "batch_norm", "torchvision"])
def test_modules_have_the_shapes_of_table_1(variant: str) -> None:
    with torch.device("meta"):
        network = GoogLeNet(variant)  # type: ignore[arg-type]
    shapes = {}
    for name, module in network.named_modules():
        if isinstance(module, Inception):
            module.register_forward_hook(
                lambda _, __, output, name=name: shapes.update({name.rpartition(".")[2]: tuple(output.shape[1:3])})
            )
    network(torch.empty(1, 3, 224, 224, device="meta"))
    assert shapes == {
        "3a": (256, 28), "3b": (480, 28),
        "4a": (512, 14), "4b": (512, 14), "4c": (512, 14), "4d": (528, 14), "4e": (832, 14),
        "5a": (832, 7), "5b": (1024, 7),
    }  # fmt: skip


@pytest.mark.parametrize(("variant", "kernel"), [("paper", 5), ("batch_norm", 5), ("torchvision", 3)])
def test_branch_of_5x5(variant: str, kernel: int) -> None:
    with torch.device("meta"):
        module = Inception(variant, "3a", 1.0)  # type: ignore[arg-type]
    assert module.branch_5x5[1][0].kernel_size == (kernel, kernel)


def test_evaluation_does_not_run_the_auxiliary_heads() -> None:
    network = GoogLeNet(stem="small", num_classes=10).eval()
    calls = []
    for head in network.auxiliary_heads.values():
        head.register_forward_hook(lambda *_: calls.append(1))
    images = torch.randn(2, 3, 32, 32)
    logits = network(images)
    assert not calls
    again, auxiliary = network.training_outputs(images)
    assert torch.equal(again, logits)
    assert {name: tuple(value.shape) for name, value in auxiliary.items()} == {"4a": (2, 10), "4d": (2, 10)}
    assert len(calls) == 2


def test_weights_of_the_auxiliary_losses_are_the_papers() -> None:
    assert GoogLeNet(stem="small").auxiliary_loss_weights == {"4a": 0.3, "4d": 0.3}
    network = GoogLeNet(stem="small", auxiliary=False)
    assert network.auxiliary_loss_weights == {}
    assert not len(network.auxiliary_heads)


def test_head_of_the_paper_averages_to_4x4() -> None:
    with torch.device("meta"):
        head = GoogLeNet().auxiliary_heads["4a"]
    assert head.get_submodule("fc1").in_features == 128 * 4 * 4
    assert head.get_submodule("dropout").p == 0.7


def test_paper_has_normalization_and_biases_of_caffe() -> None:
    network = GoogLeNet(stem="small")
    assert [type(module).__name__ for module in network.stem] == [
        "Sequential", "MaxPool2d", "LocalResponseNorm", "Sequential", "Sequential", "LocalResponseNorm",
    ]  # fmt: skip
    convolutions = [module for module in network.until_4d.modules() if isinstance(module, nn.Conv2d)]
    assert all((module.bias == 0.2).all() for module in convolutions)  # type: ignore[union-attr]
    assert not network.head[1].bias.any()


def test_torchvisions_weights_want_other_images() -> None:
    with pytest.raises(ValueError, match="set model.transform_input to true"):
        GoogLeNet("torchvision", weights="GoogLeNet_Weights.IMAGENET1K_V1")


def test_images_that_are_too_small_are_refused() -> None:
    with pytest.raises(ValueError, match="32x32 are too small for GoogLeNet: set model.stem to small"):
        GoogLeNet(image_size=32)
