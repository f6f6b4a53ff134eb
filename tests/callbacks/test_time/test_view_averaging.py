"""Views are cut where their rules say, averaged by their weights, in batches that fit; dense is sliding crops."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from callbacks.test_time.view_averaging import ViewAverage, cut
from callbacks.test_time.views import View, central_crop, views_of
from lightning_modules import VGG


def coordinates(height: int, width: int) -> Tensor:
    """An image whose channels are the row and the column of each pixel. Shape (1, 2, H, W)."""
    grid = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return torch.stack(grid)[None].float()


def scores(images: Tensor) -> Tensor:
    """A network for images of any size, with an answer that depends on where things are. Shape (B, 3)."""
    ramp = torch.linspace(-1, 1, images.shape[-1])
    return 3 * torch.stack([images.mean((1, 2, 3)), (images * ramp).mean((1, 2, 3)), images[:, 0, 0, 0]], 1)


def test_crop_and_mirror_image() -> None:
    image = coordinates(6, 9)
    window = cut(image, View(position=(1.0, 0.5), size=4, flip=True))
    assert torch.equal(window, image[..., 2:6, 2:6].flip(-1))


def test_square_is_made_smaller_and_keeps_its_middle() -> None:
    window = cut(coordinates(8, 12), View(square=1.0, size=4))
    assert window.shape == (1, 2, 4, 4)
    assert window.mean((0, 2, 3)).tolist() == pytest.approx([3.5, 4 + 3.5])


@pytest.mark.parametrize("shift", [(-1, -1), (1, 1)])
def test_shift_over_the_border(shift: tuple[int, int]) -> None:
    image = torch.randn(2, 3, 5, 5)
    black = (-1.0, -2.0, -3.0)
    down, right = shift
    expected = torch.tensor(black).view(1, 3, 1, 1).repeat(2, 1, 5, 5)
    for row in range(5):
        for column in range(5):
            if 0 <= row + down < 5 and 0 <= column + right < 5:
                expected[:, :, row, column] = image[:, :, row + down, column + right]
    assert torch.equal(cut(image, View(shift=shift), black), expected)
    reflected = nn.functional.pad(image, (1, 1, 1, 1), mode="reflect")
    assert torch.equal(cut(image, View(shift=shift)), reflected[..., 1 + down : 6 + down, 1 + right : 6 + right])


@pytest.mark.parametrize("average", ["probabilities", "logits"])
@pytest.mark.parametrize("max_images", [None, 1, 3, 1000])
def test_average_does_not_depend_on_how_views_are_batched(average: str, max_images: int | None) -> None:
    images = torch.randn(5, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    black = (0.0, 0.5, 1.0)
    averaging = ViewAverage(views_of("translations", 8), central_crop(8, None), 8, average, max_images, black)  # type: ignore[arg-type]
    largest = 0

    def network(views: Tensor) -> Tensor:
        nonlocal largest
        largest = max(largest, len(views))
        return scores(views)

    result = averaging(network, images)
    total = torch.zeros(5, 3)
    for shift, weight in (((0, 0), 0.5), ((-1, -1), 0.25), ((1, 1), 0.25)):
        shifted = cut(images, View(shift=shift), black)
        for view in (shifted, shifted.flip(-1)):
            total += weight / 2 * (scores(view).softmax(-1) if average == "probabilities" else scores(view))
    torch.testing.assert_close(result, total if average == "probabilities" else total.softmax(-1))
    torch.testing.assert_close(averaging.single_probabilities, scores(images).softmax(-1))
    assert largest <= (max_images or 5)


def test_whole_images_of_several_sizes() -> None:
    """Each image alone has the same answer as in a batch with others, larger views count by their pixels."""
    generator = torch.Generator().manual_seed(1)
    shapes = {16: [(16, 20), (24, 16), (16, 20)], 20: [(20, 25), (30, 20), (20, 25)]}
    images = {side: [torch.randn(3, *shape, generator=generator) for shape in of] for side, of in shapes.items()}
    pixels = []

    def network(views: Tensor) -> Tensor:
        pixels.append(views[:, 0].numel())
        return scores(views)

    averaging = ViewAverage(views_of("vgg_dense_and_crops", 12, [16, 20]), central_crop(12, 16), 12, max_images=6)
    together = averaging(network, images)
    single = averaging.single_probabilities
    assert max(pixels) <= 6 * 12**2
    for row in range(3):
        alone = averaging(scores, {side: [of[row]] for side, of in images.items()})
        torch.testing.assert_close(together[row], alone[0])
        torch.testing.assert_close(single[row], averaging.single_probabilities[0])
        expected = torch.zeros(3)
        for of in images.values():
            image = of[row]
            for mirrored in (image, image.flip(-1)):
                expected += scores(mirrored[None])[0].softmax(-1) / 8
            rows, columns = ((torch.linspace(0, 1, 5) * (length - 12)).round().int() for length in image.shape[1:])
            for top in rows:
                for left in columns:
                    crop = image[None, :, top : top + 12, left : left + 12]
                    expected += (scores(crop).softmax(-1) + scores(crop.flip(-1)).softmax(-1))[0] / 200
        torch.testing.assert_close(together[row], expected)


def out_of_memory_beyond(limit: int) -> tuple[Callable[[Tensor], Tensor], list[int]]:
    sizes: list[int] = []

    def network(views: Tensor) -> Tensor:
        sizes.append(len(views))
        if len(views) > limit:
            raise torch.OutOfMemoryError
        return scores(views)

    return network, sizes


@pytest.mark.filterwarnings("ignore:Out of memory")
def test_batches_are_halved_when_memory_runs_out() -> None:
    images = torch.randn(16, 3, 8, 8)
    averaging = ViewAverage(views_of("flip", 8), central_crop(8, None), 8)
    expected = averaging(scores, images)
    network, sizes = out_of_memory_beyond(4)
    torch.testing.assert_close(averaging(network, images), expected)
    assert sizes[:3] == [16, 8, 4]
    sizes.clear()
    averaging(network, images)
    assert set(sizes) == {4}
    network, _ = out_of_memory_beyond(0)
    with pytest.raises(ValueError, match="single view of 8x8 pixels does not fit"):
        averaging(network, images)


@torch.no_grad()
@pytest.mark.slow(1)
def test_dense_evaluation_is_the_mean_over_sliding_crops() -> None:
    """VGG's score map (§3.2), where theory says that it must be.

    With zeros around each layer, as VGG has them, a crop sees zeros where the whole image has neighbors, so the two
    differ (the paper, §3.2, counts this in favor of averaging both). Without, they are the same function.
    """
    torch.manual_seed(0)
    network = VGG("A", dense=True, stem="small", fc_width=16, num_classes=5, initialization="kaiming").eval()
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            module.padding = (0, 0)
    size = 150  # leaves 1x1 behind eight convolutions and five poolings
    image = torch.randn(1, 3, size + 32, size + 32)
    crops = [image[..., top : top + size, left : left + size] for top in (0, 32) for left in (0, 32)]

    whole = network(image)
    torch.testing.assert_close(whole, torch.stack([network(crop) for crop in crops]).mean(0), rtol=1e-4, atol=1e-5)
    averaging = ViewAverage([View(size + 32)], central_crop(size, size + 32), size)
    torch.testing.assert_close(averaging(network, {size + 32: [image[0]]}), whole.softmax(-1))
