"""Boxes follow from class activation maps, come back to the photograph, and are judged; nothing else changes."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from lightning.pytorch import LightningDataModule, Trainer
from PIL import Image
from scipy import ndimage
from torch import Tensor, nn
from torch.utils.data import DataLoader

from callbacks import ObjectLocalization, TestTimeAugmentation
from callbacks.evaluation.localization import box_of_map, enlarged, in_photograph, in_view, maps_of_classes
from datamodules.imagenet import ImageNet
from datamodules.imagenet.bounding_boxes import Boxes
from lightning_modules import NIN, VGG, AlexNet, GoogLeNet, ResNet
from lightning_modules.classifier import ImageClassifier, one_view
from tests.callbacks.tiny_runs import Batch, tiny_net
from tests.datamodules.photographs.made_photographs import write_tree

SIDE, CLASSES, VIEW = 32, 7, (10.0, 5.0, 128.0, 64.0)
OBJECT = (8, 12, 24, 20)  # edges in the view


class ColorNet(ImageClassifier):
    """Sees nothing but the brightness of blocks of 4x4 pixels in each channel."""

    architecture = "ColorNet"

    def __init__(self) -> None:
        super().__init__(num_classes=CLASSES, image_size=SIDE)
        self.head = nn.Linear(3, CLASSES)
        with torch.no_grad():
            self.head.weight.copy_(
                torch.tensor([[1.0, 0, 0], [0, 1, 0], [0, 0, 1], *[[-0.1 * row] * 3 for row in range(4)]])
            )
            self.head.bias.zero_()

    def forward(self, images: Tensor) -> Tensor:
        return self.logits_of_maps(self.last_maps(images))

    def last_maps(self, images: Tensor) -> Tensor:
        return F.avg_pool2d(images, 4)

    def logits_of_maps(self, maps: Tensor) -> Tensor:
        return self.head(maps.mean((2, 3)))

    def map_weights(self) -> Tensor:
        return self.head.weight


class Shown(NamedTuple):
    name: str
    width: int
    height: int
    view: tuple[float, float, float, float]


class Rectangles(LightningDataModule):
    """Bright rectangles in the color of their class, two batches of three and a filler, and boxes for them."""

    class_names = tuple("abcdefg")

    def __init__(self, labels: tuple[int, ...] = (0, 1, 2, 0, 1, 2), truth: Mapping[str, Boxes] | None = None) -> None:
        super().__init__()
        self.labels = labels
        left, top, right, bottom = in_photograph(OBJECT, (SIDE, SIDE), VIEW)
        corners = np.array([[0, 0, 1, 1], [left, top, right, bottom]]).round().astype(np.int32)
        half = Boxes(corners[1:] * 2 + [0, 0, 1, 1], 400, 200)  # of a photograph twice as large
        own = {f"image_{place}": Boxes(corners, 200, 100) if place % 2 else half for place in range(6)}
        self.truth = own if truth is None else truth

    def batches(self) -> DataLoader[Batch]:
        images = torch.zeros(8, 3, SIDE, SIDE)
        left, top, right, bottom = OBJECT
        for place in range(6):
            images[place, place % 3, top:bottom, left:right] = 1
        labels = torch.tensor([*self.labels, -1, -1])
        rows = ([0, 1, 2, 6], [3, 4, 5, 7])
        return DataLoader([Batch(images[row], labels[row], torch.tensor(row)) for row in rows], batch_size=None)

    val_dataloader = test_dataloader = batches

    def photographs(self, indices: Tensor) -> list[Shown]:
        return [Shown(f"image_{place}.JPEG", 200, 100, VIEW) for place in indices.tolist()]

    def bounding_boxes(self, path: Path) -> Mapping[str, Boxes]:
        return self.truth


def run(network: Any, data: Any, *callbacks: Any, folder: Path, stage: str = "test") -> dict[str, float]:
    trainer = Trainer(
        accelerator="cpu",
        callbacks=list(callbacks),
        default_root_dir=folder,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
    )
    return getattr(trainer, stage)(network, datamodule=data, verbose=False)[0]


@pytest.mark.parametrize(
    "network",
    [
        lambda: ResNet(8, "cifar"),
        lambda: ResNet(18, stem="small", num_classes=10),
        lambda: NIN("cifar10", initialization="kaiming"),
        lambda: GoogLeNet("batch_norm", auxiliary=False, stem="small", num_classes=10),
    ],
)
def test_logits_are_the_averages_of_the_class_maps(network: Any) -> None:
    torch.manual_seed(0)
    network = network().eval()
    images = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        maps, weights, logits = network.last_maps(images), network.map_weights(), network(images)
        each = [maps_of_classes(maps, weights, torch.tensor([label] * 2)).mean((1, 2)) for label in range(10)]
    linear = [layer for layer in network.modules() if isinstance(layer, nn.Linear)]
    bias = linear[-1].bias if linear else 0
    assert maps.shape[-1] > 1
    assert weights.shape == (10, maps.shape[1])
    torch.testing.assert_close(torch.stack(each, 1) + bias, logits)


@pytest.mark.parametrize(
    "network",
    [
        lambda: AlexNet(stem="small", fc_width=8),
        lambda: VGG("A", image_size=32, fc_width=8, stem="small"),
        lambda: NIN("cifar10", head="fc"),
        tiny_net,
    ],
)
def test_other_networks_are_refused(network: Any, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="has no maps whose averages give its logits.*use NIN"):
        run(network(), Rectangles(), ObjectLocalization("boxes"), folder=tmp_path)


def test_a_map_is_enlarged_bilinearly() -> None:
    small = torch.randn(1, 1, 7, 5)
    expected = F.interpolate(small, (224, 160), mode="bilinear")[0, 0]
    torch.testing.assert_close(torch.from_numpy(enlarged(small[0, 0].numpy(), 224, 160)), expected)


def test_the_box_is_around_the_largest_region() -> None:
    generator = np.random.default_rng(0)
    for _ in range(20):
        activation_map = enlarged(generator.normal(size=(7, 7)).astype(np.float32), 40, 50)
        labels, _ = ndimage.label(activation_map > 0.2 * activation_map.max(), np.ones((3, 3)))
        largest = 1 + int(np.bincount(labels.ravel())[1:].argmax())
        rows, columns = ndimage.find_objects(labels)[largest - 1]
        assert box_of_map(activation_map, 0.2) == (columns.start, rows.start, columns.stop, rows.stop)


def test_the_threshold_is_a_share_of_the_maximum() -> None:
    activation_map = np.zeros((4, 6), np.float32)
    activation_map[1, 2:5] = [1, 4, 2]
    assert box_of_map(activation_map, 0.2) == (2, 1, 5, 2)
    assert box_of_map(activation_map, 0.25) == (3, 1, 5, 2)  # above, not at
    assert box_of_map(-1 - activation_map, 0.2) == (0, 0, 6, 4)
    for lost in (np.nan, np.inf, 0):
        with np.errstate(invalid="ignore"):
            assert box_of_map(activation_map * np.float32(lost), 0.2) == (0, 0, 6, 4)


def test_boxes_come_back_to_the_photograph() -> None:
    box = in_photograph((8, 12, 24, 20), (32, 32), (10, 5, 128, 64))
    assert box == [42, 29, 105, 44]  # a pixel of the view is 4x2 of the photograph
    assert in_view(box, (32, 32), (10, 5, 128, 64)) == [8, 12, 24, 20]


@pytest.mark.parametrize("stage", ["validate", "test"])
def test_objects_are_found(stage: str, tmp_path: Path) -> None:
    prefix = {"validate": "val", "test": "test"}[stage]
    network = ColorNet()
    plain = run(network, Rectangles(), folder=tmp_path, stage=stage)
    found = run(network, Rectangles(), ObjectLocalization("boxes", 0.5), folder=tmp_path, stage=stage)
    own = {f"{prefix}/localization_error": 0.0, f"{prefix}/classification_error": 0.0}
    assert found == plain | own
    assert network.test_views is one_view
    assert "last_maps" not in vars(network)
    picture = Image.open(tmp_path / "pictures" / "localization.png").convert("RGB")
    assert picture.width > 6 * 224
    assert {(46, 204, 113), (255, 255, 255)} <= {color for _, color in picture.getcolors(1 << 20)}  # type: ignore[union-attr, misc]


def test_errors_are_counted_by_image(tmp_path: Path) -> None:
    # Class 6 is never among the five; class 3 is, and its map is nowhere positive: its box is the whole view.
    result = run(
        ColorNet(), Rectangles((0, 6, 3, 0, 1, 6)), ObjectLocalization("boxes", 0.5, images=0), folder=tmp_path
    )
    assert result["test/classification_error"] == pytest.approx(2 / 6)
    assert result["test/classification_error"] == pytest.approx(1 - result["test/acc5"])
    assert result["test/localization_error"] == pytest.approx(3 / 6)
    assert not (tmp_path / "pictures").exists()


def test_photographs_of_imagenet(tmp_path: Path) -> None:
    """Where a map says nothing, the box is the view: true boxes that are the views are all found."""
    root = write_tree(tmp_path / "tree", train=1, val=5)
    data = ImageNet(root=str(root), image_size=SIDE, crop_side=SIDE, batch_size=2, eval_batch_size=4)
    data.setup("test")
    for photograph in data.photographs(torch.arange(15)):
        left, top, width, height = photograph.view
        corners = {"xmin": left, "ymin": top, "xmax": left + width - 1, "ymax": top + height - 1}
        words = "".join(f"<{name}>{round(value)}</{name}>" for name, value in corners.items())
        size = f"<size><width>{photograph.width}</width><height>{photograph.height}</height></size>"
        name = Path(photograph.name).with_suffix(".xml")
        content = (
            f"<annotation>{size}<object><name>{name.stem[:9]}</name><bndbox>{words}</bndbox></object></annotation>"
        )
        (tmp_path / name).write_text(content)
    network = ResNet(8, "cifar", num_classes=3)
    nn.init.zeros_(network.head.weight)
    result = run(network, data, ObjectLocalization(str(tmp_path), images=2), folder=tmp_path)
    assert (result["test/classification_error"], result["test/localization_error"]) == (0, 0)

    (tmp_path / "n01440764_3.xml").unlink()
    with pytest.raises(ValueError, match="has no box of n01440764_3: name the boxes"):
        run(network, data, ObjectLocalization(str(tmp_path)), folder=tmp_path)
    assert network.test_views is one_view


def test_what_does_not_go_together_is_refused(tmp_path: Path) -> None:
    for options, message in (({"threshold": 1.0}, "threshold must be"), ({"images": -1}, "images must be 0 or more")):
        with pytest.raises(ValueError, match=message):
            ObjectLocalization("boxes", **options)  # type: ignore[arg-type]

    held_out = Rectangles()
    held_out.val_size = 10  # type: ignore[attr-defined]
    with pytest.raises(ValueError, match="held out with --data.val_size.*use test"):
        run(ColorNet(), held_out, ObjectLocalization("boxes"), folder=tmp_path, stage="validate")

    without = LightningDataModule()
    without.test_dataloader = Rectangles().batches  # type: ignore[method-assign]
    with pytest.raises(ValueError, match="photographs with bounding boxes, which LightningDataModule does not have"):
        run(ColorNet(), without, ObjectLocalization("boxes"), folder=tmp_path)

    both = [ObjectLocalization("boxes"), TestTimeAugmentation("flip")]
    for callbacks in (both, both[::-1]):
        with pytest.raises(ValueError, match="leave TestTimeAugmentation out"):
            run(ColorNet(), Rectangles(), *callbacks, folder=tmp_path)
