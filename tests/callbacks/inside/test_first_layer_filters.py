"""The index is 0 for gray, 1 for pure color and 2/3 for chance; columns are those of the network."""

from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import nn

from callbacks.inside.first_layer_filters import (
    FirstLayerFilters,
    color_selectivity,
    filter_grid,
    filter_smoothness,
    filters_in_a_row,
    first_filters,
    selectivity_by_column,
)
from lightning_modules import AlexNet, AlexNetPair, GoogLeNet, ResNet
from tests.callbacks.tiny_runs import NoClassifier, fit, tiny_net


def test_the_index_is_the_share_of_energy_outside_the_gray_axis() -> None:
    torch.manual_seed(0)
    gray = torch.randn(4, 1, 5, 5).expand(4, 3, 5, 5)
    red_green = torch.randn(4, 1, 5, 5) * torch.tensor([1.0, -1.0, 0.0]).view(3, 1, 1)
    assert color_selectivity(gray) == pytest.approx(0, abs=1e-6)
    assert color_selectivity(red_green) == pytest.approx(1)
    assert color_selectivity(torch.randn(500, 3, 5, 5)) == pytest.approx(2 / 3, abs=0.01)
    red = torch.zeros(1, 3, 1, 1)
    red[0, 0] = 7
    assert color_selectivity(red) == pytest.approx(2 / 3)
    assert color_selectivity(torch.zeros(1, 3, 2, 2)) == 0


@pytest.mark.slow(1)
def test_columns_are_those_of_the_network() -> None:
    arguments = {"stem": "small", "fc_width": 8, "num_classes": 10}
    two = AlexNet(**arguments)
    assert [len(filters) for filters in first_filters(two)] == [48, 48]
    assert torch.equal(torch.cat(first_filters(two)), two.features[0].weight)  # type: ignore[arg-type]
    assert [len(filters) for filters in first_filters(AlexNetPair(("cpu", "cpu"), **arguments))] == [48, 48]
    assert [len(filters) for filters in first_filters(AlexNet("one_column", **arguments))] == [96]
    assert [len(filters) for filters in first_filters(ResNet(8, variant="cifar"))] == [16]
    assert first_filters(GoogLeNet(stem="small"))[0].shape == (64, 3, 3, 3)
    assert list(selectivity_by_column(first_filters(two))) == [
        "color_selectivity",
        "color_selectivity_column_1",
        "color_selectivity_column_2",
    ]


def test_a_picture_shows_zero_as_gray_and_each_filter_in_its_place() -> None:
    filters = torch.zeros(4, 3, 2, 2)
    filters[3, 0] = 0.01
    picture = filter_grid(filters)
    left, top = picture.width // 4, picture.height // 4
    assert picture.getpixel((left, top)) == (127, 127, 127)
    assert picture.getpixel((3 * left, 3 * top)) == (255, 127, 127)
    assert [filters_in_a_row(count) for count in (1, 5, 16, 48, 64, 96)] == [1, 3, 4, 8, 8, 12]
    assert filter_grid(torch.randn(5, 1, 3, 3)).size == filter_grid(torch.randn(5, 3, 3, 3)).size


@pytest.mark.parametrize(("channels", "values"), [(3, 2), (1, 0)])
def test_a_run_is_drawn_and_logged(channels: int, values: int, tmp_path: Path) -> None:
    _, rows = fit(tiny_net(in_channels=channels), FirstLayerFilters(), folder=tmp_path)
    logged = rows.values("train/color_selectivity")
    assert len(logged) == values
    assert all(0 < value < 1 for value in logged)
    for name in ("first_layer_filters_at_start", "first_layer_filters"):
        assert Image.open(tmp_path / "pictures" / f"{name}.png").height > 100
    assert not list(tmp_path.rglob("*.part"))


def test_what_has_no_filters_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="FirstLayerFilters looks into an ImageClassifier"):
        fit(NoClassifier(), FirstLayerFilters(), folder=tmp_path)
    with pytest.raises(ValueError, match="Linear has no convolution to show"):
        first_filters(nn.Linear(2, 2))


def test_smoothness_tells_shapes_from_noise() -> None:
    assert filter_smoothness(torch.randn(500, 3, 5, 5)) == pytest.approx(0, abs=0.02)
    assert filter_smoothness(torch.ones(2, 1, 5, 5)) == pytest.approx(1)
    edge = torch.tensor([[-1.0, -1.0, 1.0, 1.0]] * 4).expand(1, 3, 4, 4)
    assert filter_smoothness(edge) == pytest.approx(2 / 3)
    assert filter_smoothness(torch.ones(4, 3, 1, 1)) == 0
