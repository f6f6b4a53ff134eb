"""Rectangles of photographs: those of the papers, those of torchvision, and the same whatever batch they are in."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.stats import ks_2samp
from torchvision.transforms import CenterCrop, RandomResizedCrop, Resize

from datamodules.counter_random import CounterRandom
from datamodules.photographs import views
from datamodules.photographs.views import (
    CentralCrop,
    CentralSquareCrop,
    FixedTenCrops,
    ScaledCrop,
    TrainingView,
    Views,
    WholeImage,
)

TRAINING_VIEWS = (CentralSquareCrop(), FixedTenCrops(), ScaledCrop((256, 512)), views.RandomResizedCrop())
SIZES = [(500, 375), (375, 500), (256, 256), (333, 500), (257, 600), (2592, 1944), (97, 61), (640, 100)]


def photograph(width: int, height: int) -> Image.Image:
    """Noise: whatever is read one pixel off shows."""
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8))


def resized(image: Image.Image, box: np.ndarray) -> np.ndarray:
    left, top, width, height = box
    corners = (left, top, min(left + width, image.width), min(top + height, image.height))
    return np.asarray(image.resize((224, 224), Image.Resampling.BILINEAR, box=corners), int)


def seen(view: TrainingView, width: int, height: int, count: int, epoch: int = 0, size: int = 224) -> Views:
    ones = np.ones(count, np.uint32)  # as an index of photographs has them
    return view.views(width * ones, height * ones, CounterRandom(0, epoch, torch.arange(count)), size)


def distinct(drawn: Views) -> int:
    return len(np.unique(np.column_stack((drawn.boxes, drawn.flips)), axis=0))


def test_alexnet_has_as_many_views_as_its_paper_counts_or_its_authors_draw() -> None:
    assert distinct(seen(CentralSquareCrop(offsets="paper"), 256, 256, 60_000)) == 2048 == 32 * 32 * 2
    assert distinct(seen(CentralSquareCrop(offsets="code"), 256, 256, 60_000)) == 2178 == 33 * 33 * 2


def test_zfnet_has_ten_views() -> None:
    drawn = seen(FixedTenCrops(), 256, 256, 1000)
    assert distinct(drawn) == 10
    corners_and_center = {(0, 0), (32, 0), (0, 32), (32, 32), (16, 16)}
    assert {tuple(box) for box in drawn.boxes.tolist()} == {(*place, 224, 224) for place in corners_and_center}


@pytest.mark.parametrize("square", [CentralSquareCrop(), FixedTenCrops()])
def test_squares_are_central(square: TrainingView) -> None:
    boxes = seen(square, 500, 250, 2000).boxes * 256 / 250
    assert boxes[:, 0].min() == pytest.approx(128)
    assert boxes[:, 0].max() == pytest.approx(128 + 32 - isinstance(square, CentralSquareCrop))
    assert boxes[:, 1].min() == 0


def test_shorter_sides_are_all_of_the_range() -> None:
    boxes = seen(ScaledCrop((256, 480)), 500, 375, 20_000).boxes
    sides = 375 * 224 / boxes[:, 3]
    counts = np.bincount(np.rint(sides).astype(int), minlength=481)[256:]
    assert np.allclose(sides, np.rint(sides))
    assert len(counts) == 225
    assert ((counts - 20_000 / 225) ** 2 / (20_000 / 225)).sum() < 224 + 5 * (2 * 224) ** 0.5
    assert (seen(ScaledCrop(), 500, 375, 100).boxes[:, 3] == 224 * 375 / 256).all()


@pytest.mark.parametrize("view", TRAINING_VIEWS, ids=lambda view: type(view).__name__)
@pytest.mark.parametrize(("width", "height"), SIZES)
def test_windows_lie_within_the_photograph(view: TrainingView, width: int, height: int) -> None:
    left, top, across, down = seen(view, width, height, 500).boxes.T
    assert (left >= 0).all()
    assert (top >= 0).all()
    assert (left + across <= width + 1e-9).all()
    assert (top + down <= height + 1e-9).all()
    assert (across > 0).all()
    assert (down > 0).all()


@pytest.mark.parametrize("view", TRAINING_VIEWS, ids=lambda view: type(view).__name__)
def test_a_view_depends_on_seed_epoch_and_sample_alone(view: TrainingView) -> None:
    widths, heights = np.array(SIZES).T
    indices = torch.arange(len(SIZES)) * 1_000_003
    whole = view.views(widths, heights, CounterRandom(3, 2, indices), 224)
    for row in range(len(SIZES)):
        alone = slice(row, row + 1)
        single = view.views(widths[alone], heights[alone], CounterRandom(3, 2, indices[alone]), 224)
        assert (single.boxes == whole.boxes[alone]).all()
        assert (single.flips == whole.flips[alone]).all()
    for seed, epoch in ((3, 1), (4, 2)):
        other = view.views(widths, heights, CounterRandom(seed, epoch, indices), 224)
        assert (other.boxes != whole.boxes).any()


def test_views_stay_what_they_are() -> None:
    """A change here would make runs that were saved before go on with other views."""
    drawn = seen(views.RandomResizedCrop(), 500, 375, 3, epoch=1)
    assert drawn.boxes.tolist() == [[7, 68, 368, 286], [182, 2, 212, 221], [124, 157, 174, 195]]
    assert drawn.flips.tolist() == [True, False, True]


def test_half_of_the_views_are_mirrored() -> None:
    for view in TRAINING_VIEWS:
        assert abs(seen(view, 500, 375, 10_000).flips.mean() - 0.5) < 4 * 0.005


@pytest.mark.parametrize(("width", "height"), [(500, 375), (640, 160), (200, 1000)])
def test_random_resized_crops_are_distributed_as_those_of_torchvision(width: int, height: int) -> None:
    boxes = seen(views.RandomResizedCrop(), width, height, 20_000).boxes
    torch.manual_seed(0)
    image = torch.empty(3, 1, 1).expand(3, height, width)
    drawn = [RandomResizedCrop.get_params(image, [0.08, 1.0], [3 / 4, 4 / 3]) for _ in range(3000)]
    theirs = np.array(drawn)[:, [1, 0, 3, 2]]
    for what in (
        lambda box: box[:, 2] * box[:, 3],
        lambda box: box[:, 2] / box[:, 3],
        lambda box: box[:, 0],
        lambda box: box[:, 1],
        lambda box: box[:, 0] + box[:, 2],
        lambda box: box[:, 1] + box[:, 3],
    ):
        assert ks_2samp(what(boxes), what(theirs)).pvalue > 1e-3


@pytest.mark.parametrize(("width", "height"), [(1000, 10), (10, 1000)])
def test_where_no_rectangle_fits_the_center_is_taken_as_in_torchvision(width: int, height: int) -> None:
    top, left, down, across = RandomResizedCrop.get_params(torch.empty(3, height, width), [0.9, 1.0], [3 / 4, 4 / 3])
    boxes = seen(views.RandomResizedCrop(area=(0.9, 1.0)), width, height, 5).boxes
    assert (boxes == (left, top, across, down)).all()


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_central_crop_is_that_of_torchvision(width: int, height: int) -> None:
    image = photograph(width, height)
    (box,) = CentralCrop(256, 224).boxes(np.array([width]), np.array([height]))
    ours = resized(image, box)
    theirs = np.asarray(CenterCrop(224)(Resize(256)(image)), int)
    assert abs(ours - theirs).max() <= 1  # the last bit of PIL's fixed-point weights


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_whole_image_is_that_of_torchvision(width: int, height: int) -> None:
    resized = Resize(320)(photograph(width, height))
    arguments = np.array([width]), np.array([height])
    assert WholeImage(320).sizes(*arguments).tolist() == [[resized.height, resized.width]]
    assert WholeImage(320).boxes(*arguments).tolist() == [[0, 0, width, height]]


def test_central_square_is_the_whole_of_the_shorter_side() -> None:
    arguments = np.array([500, 250, 300]), np.array([250, 500, 300])
    boxes = CentralCrop(256, 256).boxes(*arguments)
    assert boxes == pytest.approx(np.array([[125, 0, 250, 250], [0, 125, 250, 250], [0, 0, 300, 300]]))
    assert CentralCrop(256, 256).sizes(*arguments).tolist() == [[256, 256]] * 3


def test_central_crops_of_real_photographs_are_those_of_torchvision(real_images: Path) -> None:
    files = sorted(real_images.glob("imagenet-sample/val/*/*.JPEG"))[:40]
    assert files
    for file in files:
        with Image.open(file) as opened:
            image = opened.convert("RGB")
        (box,) = CentralCrop(256, 224).boxes(np.array([image.width]), np.array([image.height]))
        theirs = np.asarray(CenterCrop(224)(Resize(256)(image)), int)
        assert abs(resized(image, box) - theirs).max() <= 1


def test_a_scaled_crop_is_a_window_of_the_resized_photograph() -> None:
    image = photograph(500, 333)
    (box,) = seen(ScaledCrop((300, 300)), 500, 333, 1).boxes
    left, top = round(box[0] * 450 / 500), round(box[1] * 300 / 333)
    ours = resized(image, box)
    theirs = np.asarray(Resize(300)(image).crop((left, top, left + 224, top + 224)), int)
    assert abs(ours - theirs).max() <= 2  # PIL keeps boxes in single precision


@pytest.mark.parametrize("view", TRAINING_VIEWS[:3], ids=lambda view: type(view).__name__)
def test_a_size_that_does_not_fit_is_refused_by_an_empty_batch(view: TrainingView) -> None:
    seen(view, 500, 375, 0)
    with pytest.raises(ValueError, match="a window of 288 pixels must lie within"):
        seen(view, 500, 375, 0, size=288)


def test_arguments_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match="shorter first"):
        ScaledCrop((512, 256))
    with pytest.raises(ValueError, match="paper .* or code"):
        CentralSquareCrop(offsets="both")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="shares of the image"):
        views.RandomResizedCrop(area=(0.0, 1.0))
    with pytest.raises(ValueError, match="positive ratios"):
        views.RandomResizedCrop(aspect=(4 / 3, 3 / 4))
    with pytest.raises(ValueError, match="must lie within 224"):
        CentralCrop(224, 256)
