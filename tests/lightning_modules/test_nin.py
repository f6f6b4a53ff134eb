"""NIN against its author's files: poolings, heads, learning rates, initialization."""

import pytest
import torch
from torch import nn

from lightning_modules import NIN


@pytest.mark.parametrize(
    ("variant", "expected"),
    [
        ("cifar10", [32, 16, 16, 8, 8]),
        ("mnist", [28, 14, 14, 7, 7]),
        ("imagenet", [54, 27, 27, 13, 13, 6, 6]),
    ],
)
def test_maps_have_the_authors_sizes(variant: str, expected: list[int]) -> None:
    with torch.device("meta"):
        network = NIN(variant)  # type: ignore[arg-type]
    sizes = []
    for module in network.features:
        if isinstance(module, nn.MaxPool2d) or (isinstance(module, nn.Conv2d) and module.kernel_size[0] > 1):
            module.register_forward_hook(lambda _, __, output: sizes.append(output.shape[-1]))
    size = network.image_size
    network.features(torch.empty(1, network.in_channels, size, size, device="meta"))
    assert sizes == expected


def test_scores_are_averages_behind_a_relu() -> None:
    network = NIN("cifar10").eval()
    images = torch.randn(2, 3, 32, 32)
    maps = network.classes[0](network.features(images))
    torch.testing.assert_close(network(images), maps.relu().mean((2, 3)))
    assert network.classes[0].out_channels == 10


def test_any_size_of_image_gives_scores() -> None:
    assert NIN("cifar10").eval()(torch.randn(1, 3, 40, 48)).shape == (1, 10)


def test_fully_connected_head_reads_the_last_maps() -> None:
    network = NIN("cifar10", head="fc", head_dropout=0.5)
    assert network.fc is not None
    _, dropout, layer = network.fc
    assert dropout.p == 0.5
    assert (layer.in_features, layer.out_features) == (10 * 8 * 8, 10)
    assert network(torch.randn(2, 3, 32, 32)).shape == (2, 10)
    assert network.architecture == "NIN fc"


def test_second_pooling_is_the_authors_either_way() -> None:
    pools = [
        type(module) for module in NIN("cifar10", second_pool="average").features if "Pool" in type(module).__name__
    ]
    assert pools == [nn.MaxPool2d, nn.AvgPool2d]


@pytest.mark.parametrize(("variant", "scale"), [("cifar10", 0.1), ("mnist", 0.1), ("cifar100", 1.0)])
def test_last_layer_learns_more_slowly(variant: str, scale: float) -> None:
    network = NIN(
        variant,  # type: ignore[arg-type]
        bias_lr_scale=2.0,
        optimizer=lambda groups: torch.optim.SGD(groups, lr=0.1, weight_decay=1e-4),
    )
    optimizer = network.configure_optimizers()
    rate = {id(value): group["lr"] for group in optimizer.param_groups for value in group["params"]}
    last, first = network.classes[0], network.features[0]
    assert rate[id(last.weight)] == pytest.approx(0.1 * scale)
    assert rate[id(last.bias)] == pytest.approx(0.2 * scale)
    assert rate[id(first.weight)] == pytest.approx(0.1)
    assert rate[id(first.bias)] == pytest.approx(0.2)


def test_a_schedule_keeps_the_ratio_of_the_rates() -> None:
    network = NIN(
        "cifar10",
        optimizer=lambda groups: torch.optim.SGD(groups, lr=0.1),
        lr_scheduler=lambda optimizer: torch.optim.lr_scheduler.MultiStepLR(optimizer, [1]),
    )
    configured = network.configure_optimizers()
    optimizer, scheduler = configured["optimizer"], configured["lr_scheduler"]["scheduler"]
    optimizer.step()
    scheduler.step()
    assert sorted({group["lr"] for group in optimizer.param_groups}) == pytest.approx([0.001, 0.01])


def test_initialization_is_the_authors() -> None:
    first = {variant: NIN(variant).features[0].weight.std().item() for variant in ("cifar10", "cifar100", "imagenet")}  # type: ignore[arg-type]
    assert first == pytest.approx({"cifar10": 0.05, "cifar100": 0.001, "imagenet": 0.01}, rel=0.03)


def test_images_that_are_too_small_are_refused() -> None:
    with pytest.raises(ValueError, match="32x32 are too small for NIN ImageNet: set model.variant to cifar10"):
        NIN("imagenet", image_size=32)
