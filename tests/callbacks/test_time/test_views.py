"""Every protocol has exactly the views of its paper, against enumerations by hand."""

from collections import Counter
from typing import Any

import pytest
import torch
from torchvision.transforms import functional as F

from callbacks.test_time.view_averaging import cut
from callbacks.test_time.views import PROTOCOLS, ProtocolName, View, central_crop, views_of

LANDSCAPE = (256, 320)
PORTRAIT = (384, 256)


def windows(protocol: ProtocolName, shape: tuple[int, int], **arguments: Any) -> list[tuple[int, int, int, int, bool]]:
    return [(*view.window(*shape), view.flip) for view in views_of(protocol, 224, **arguments)]


@pytest.mark.parametrize(
    ("protocol", "count"),
    [
        ("flip", 2),
        ("translations", 6),
        ("ten_crops", 10),
        ("ten_crops_of_all", 10),
        ("vgg_dense", 6),
        ("vgg_crops", 150),
        ("vgg_dense_and_crops", 156),
        ("googlenet_crops", 144),
        ("resnet_dense", 10),
    ],
)
def test_number_of_views_and_weights(protocol: ProtocolName, count: int) -> None:
    views = views_of(protocol, 224)
    assert len(views) == len(set(views)) == count
    assert sum(view.weight for view in views) == pytest.approx(1)
    halved = views_of(protocol, 224, flips=False) if protocol != "flip" else [View()]
    assert len(halved) == count // 2
    assert not any(view.flip for view in halved)
    assert {view.side for view in views} == set(PROTOCOLS[protocol].sides or (None,))


def test_alexnet_ten_crops() -> None:
    # Krizhevsky 2012, §4.1: "the four corner patches and the center patch as well as their horizontal reflections"
    # of what §2 leaves of an image, "the central 256 × 256 patch".
    corners = [(0, 32), (0, 64), (32, 32), (32, 64), (16, 48)]
    assert windows("ten_crops", LANDSCAPE) == [
        (top, left, 224, 224, flip) for flip in (False, True) for top, left in corners
    ]
    assert [left for _, left, *_ in windows("ten_crops", (256, 341))[:5]] == [42, 74, 42, 74, 58]
    assert [top for top, *_ in windows("ten_crops", (341, 256))[:5]] == [42, 42, 74, 74, 58]


@pytest.mark.parametrize("shape", [(256, 256), (256, 341), (341, 256), (256, 500), (257, 256)])
def test_ten_crops_are_those_of_torchvision(shape: tuple[int, int]) -> None:
    """Of the whole image, and after its CenterCrop of the central square."""
    image = torch.arange(shape[0] * shape[1]).view(1, *shape)
    for protocol, cropped in (("ten_crops", F.center_crop(image, [256, 256])), ("ten_crops_of_all", image)):
        # Its TenCrop crops the mirror image, which is the same but for half a pixel of a middle.
        crops = F.five_crop(cropped, [224, 224])  # type: ignore[arg-type]
        expected = [*crops, *(crop.flip(-1) for crop in crops)]
        found = [cut(image[None], view)[0] for view in views_of(protocol, 224)]  # type: ignore[arg-type]
        for one, other in zip(found, expected, strict=True):
            assert torch.equal(one, other)


def test_vgg_grid() -> None:
    # Simonyan 2014, §3.2: "50 crops per scale (5 x 5 regular grid with 2 flips)"
    expected = set()
    for top in (0, 8, 16, 24, 32):
        for left in (0, 24, 48, 72, 96):
            expected |= {(top, left, 224, 224, False), (top, left, 224, 224, True)}
    found = windows("vgg_crops", LANDSCAPE, sides=[256])
    assert len(found) == 50
    assert set(found) == expected


def test_vgg_dense_and_crops_average_both_posteriors() -> None:
    views = views_of("vgg_dense_and_crops", 224)
    assert sum(view.weight for view in views if view.size is None) == pytest.approx(0.5)
    assert Counter(view.side for view in views) == {256: 52, 384: 52, 512: 52}


@pytest.mark.parametrize("shape", [LANDSCAPE, PORTRAIT])
def test_googlenet_144_crops(shape: tuple[int, int]) -> None:
    # Szegedy 2014, §7: of 4 scales, 3 squares, 6 views each, and their mirror images: 4 x 3 x 6 x 2
    height, width = shape
    expected = []
    for step in (0, 1, 2):
        down, right = step * (height - 256) // 2, step * (width - 256) // 2
        small = [(0, 0), (0, 32), (32, 0), (32, 32), (16, 16)]
        expected += [(down + top, right + left, 224, 224) for top, left in small]
        expected.append((down, right, 256, 256))
    at_256 = [view for view in views_of("googlenet_crops", 224) if view.side == 256]
    assert len(at_256) == 36
    for flip in (False, True):
        assert [tuple(view.window(*shape)) for view in at_256 if view.flip == flip] == expected
    assert [view.resized for view in at_256 if not view.flip] == 3 * [False, False, False, False, False, True]


def test_whole_images() -> None:
    views = views_of("resnet_dense", 224)
    assert [(view.side, view.flip) for view in views] == [
        (side, flip) for side in (224, 256, 384, 480, 640) for flip in (False, True)
    ]
    assert all(tuple(view.window(300, 500)) == (0, 0, 300, 500) and not view.resized for view in views)


def test_translations_of_airbench() -> None:
    # airbench94.py: padded by one pixel, windows [0:32, 0:32] and [2:34, 2:34]; half of the weight on the image itself
    found = {(view.window(32, 32)[:2], view.flip): view.weight for view in views_of("translations", 32)}
    assert found == {
        ((0, 0), False): 0.25,
        ((0, 0), True): 0.25,
        ((-1, -1), False): 0.125,
        ((-1, -1), True): 0.125,
        ((1, 1), False): 0.125,
        ((1, 1), True): 0.125,
    }


@pytest.mark.parametrize("shape", [(256, 256), (256, 341), (391, 256)])
def test_central_crop_is_torchvisions(shape: tuple[int, int]) -> None:
    import torch
    from torchvision.transforms.functional import center_crop

    image = torch.arange(shape[0] * shape[1]).view(1, *shape)
    top, left, height, width = central_crop(224, 256).window(*shape)
    assert torch.equal(image[:, top : top + height, left : left + width], center_crop(image, [224, 224]))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"protocol": "flip", "flips": False}, "set flips to true"),
        ({"protocol": "translations", "sides": [36]}, "leave sides out"),
        ({"protocol": "ten_crops", "sides": [200]}, "give sides of 224 or more"),
        ({"protocol": "ten_crops", "sides": [256, 256]}, "one or more different lengths"),
        ({"protocol": "vgg_dense", "sides": []}, "one or more different lengths"),
    ],
)
def test_arguments_that_do_not_go_together(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        views_of(size=224, **arguments)
