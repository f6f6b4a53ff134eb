"""AlexNet on two devices computes what it computes on one, and exchanges only where the paper does."""

from typing import Literal

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from lightning_modules import AlexNet, AlexNetPair, alexnet_pair
from lightning_modules.model_card import model_card

SMALL = {"stem": "small", "fc_width": 64, "num_classes": 10, "dropout": 0.0, "initialization": "kaiming"}


def pair_of_processors(**arguments: object) -> AlexNetPair:
    return AlexNetPair(devices=("cpu", "cpu"), **{**SMALL, **arguments})  # type: ignore[arg-type]


@pytest.mark.parametrize("variant", ["paper", "authors2012"])
@pytest.mark.slow(1)
def test_logits_and_gradients_are_those_of_one_device(variant: Literal["paper", "authors2012"]) -> None:
    whole = AlexNet(variant=variant, **SMALL).double()  # type: ignore[arg-type]
    pair = pair_of_processors(variant=variant).double()
    pair.load_state_dict(whole.state_dict())
    images, labels = torch.randn(4, 3, 32, 32, dtype=torch.float64), torch.arange(4)
    for network in (whole, pair):
        F.cross_entropy(network(images), labels).backward()
    torch.testing.assert_close(pair(images), whole(images), rtol=1e-5, atol=1e-10)
    for name, parts in pair._split_names.items():
        if f"{name}.weight" in whole.state_dict():
            halves = [pair.get_submodule(part).weight.grad for part in parts]
            torch.testing.assert_close(torch.cat(halves), whole.get_submodule(name).weight.grad)  # type: ignore[arg-type]


@pytest.mark.slow(2)
def test_the_network_of_the_paper_is_the_same_in_single_precision() -> None:
    whole = AlexNet(initialization="kaiming").eval()
    pair = AlexNetPair(devices=("cpu", "cpu")).eval()
    pair.load_state_dict(whole.state_dict())
    images = torch.randn(2, 3, 224, 224)
    torch.testing.assert_close(pair(images), whole(images), rtol=1e-5, atol=1e-5)
    assert sum(parameter.numel() for parameter in pair.parameters()) == 60_965_224


@pytest.mark.slow(1)
def test_checkpoints_are_interchangeable() -> None:
    pair = pair_of_processors()
    whole = AlexNet(**SMALL)  # type: ignore[arg-type]
    assert pair.state_dict().keys() == whole.state_dict().keys()
    whole.load_state_dict(pair.state_dict())
    images = torch.randn(1, 3, 32, 32)
    torch.testing.assert_close(whole(images), pair(images))
    again = pair_of_processors()
    again.load_state_dict(pair.state_dict())
    assert torch.equal(again(images), pair(images))


def test_columns_keep_their_device() -> None:
    pair = AlexNetPair(devices=("cpu", "meta"), **SMALL)  # type: ignore[arg-type]
    pair.to(torch.bfloat16)
    for column, device in zip(pair.columns, ("cpu", "meta"), strict=True):
        assert {parameter.device.type for parameter in column.parameters()} == {device}
        assert {parameter.dtype for parameter in column.parameters()} == {torch.bfloat16}


def test_card_is_that_of_one_device() -> None:
    with torch.device("meta"):
        cards = [model_card(network) for network in (AlexNet(), AlexNetPair(devices=("meta", "meta")))]
    assert cards[0] == cards[1]


def test_halves_are_exchanged_four_times(monkeypatch: pytest.MonkeyPatch) -> None:
    exchanged: list[tuple[int, ...]] = []
    join = alexnet_pair.joined

    def recorded(halves: list[Tensor], device: torch.device) -> Tensor:
        exchanged.append(tuple(halves[0].shape[1:]))
        return join(halves, device)

    monkeypatch.setattr(alexnet_pair, "joined", recorded)
    with torch.device("meta"):
        pair = AlexNetPair(devices=("meta", "meta"))
    assert pair(torch.empty(1, 3, 224, 224, device="meta")).shape == (1, 1000)
    # Before conv3, fc6 and fc7, for each of the two columns, and before fc8, for the first.
    assert exchanged == [(128, 13, 13)] * 2 + [(128 * 6 * 6,)] * 2 + [(2048,)] * 2 + [(2048,)]


def test_devices_that_are_not_there_are_refused() -> None:
    with pytest.raises(ValueError, match="There is no device cuda:99 here: set model.devices"):
        AlexNetPair(devices=("cpu", "cuda:99"), **SMALL)  # type: ignore[arg-type]
