"""The picture of object localization, on a problem where all boxes are known.

python -m docs.draw_localization docs/pictures

One of scikit-learn's digits, 20 to 36 pixels high, lies on 64x64 pixels among twelve pieces of other digits. ResNet-8
learns the classes and sees no box. Besides the picture it prints the errors for several thresholds, and that of the
best box of one size in the middle. On one core it takes some minutes.
"""

import argparse
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from lightning.pytorch import Trainer, seed_everything
from sklearn.datasets import load_digits
from torch import Tensor
from torch.optim import SGD
from torch.optim.lr_scheduler import CosineAnnealingLR

from callbacks import ObjectLocalization
from callbacks.evaluation.localization import LEAST_OVERLAP, overlaps
from datamodules.imagenet.bounding_boxes import Boxes
from datamodules.in_memory import InMemoryDataModule, Split
from datamodules.photographs.data_module import Photograph
from lightning_modules import ResNet

SIDE = 64
TRAIN, PIECES, EPOCHS = 1_400, 12, 16
THRESHOLDS = (0.1, 0.2, 0.3, 0.5)
DRAWN_AT = 0.2


class DigitsOnCanvases(InMemoryDataModule):
    """Each digit somewhere on a canvas, with its box."""

    name = "digits on canvases"
    num_classes = 10
    in_channels = 1
    image_size = SIDE
    class_names = tuple("0123456789")
    mean = (0.1,)
    std = (0.25,)

    def read(self) -> tuple[Split, Split, bool]:
        """Draws all canvases, the same ones every time."""
        digits = load_digits()
        random = np.random.default_rng(0)
        order = random.permutation(len(digits.target))
        canvases, self.corners = zip(*(canvas_of(digits.images, row, random) for row in order), strict=True)
        images, labels = torch.stack(canvases).unsqueeze(1), torch.from_numpy(digits.target[order]).long()
        return Split(images[:TRAIN], labels[:TRAIN]), Split(images[TRAIN:], labels[TRAIN:]), True

    def photographs(self, indices: Tensor) -> list[Photograph]:
        """A canvas is shown as a whole."""
        return [Photograph(f"{index}.png", SIDE, SIDE, (0, 0, SIDE, SIDE)) for index in indices.tolist()]

    def bounding_boxes(self, path: Path) -> Mapping[str, Boxes]:
        """The boxes of the test canvases."""
        boxes = np.array(self.corners[TRAIN:], np.int32)
        return {str(index): Boxes(corners[None], SIDE, SIDE) for index, corners in enumerate(boxes)}


def canvas_of(images: np.ndarray, row: int, random: np.random.Generator) -> tuple[Tensor, tuple[int, int, int, int]]:
    """A canvas (64, 64), and left, top, right and bottom pixel of its digit."""
    canvas = torch.zeros(SIDE, SIDE)
    for _ in range(PIECES):
        other = enlarged(images[random.integers(len(images))], int(random.integers(20, 37)))
        top, left = (int(random.integers(0, length - 5)) for length in other.shape)
        piece = other[top : top + 6, left : left + 6]
        y, x = (int(random.integers(0, SIDE - length + 1)) for length in piece.shape)
        place = canvas[y : y + piece.shape[0], x : x + piece.shape[1]]
        place.copy_(torch.maximum(place, 0.5 * piece))
    digit = enlarged(images[row], int(random.integers(20, 37)))
    inked_rows, inked_columns = (digit > 0.1).any(1).nonzero(), (digit > 0.1).any(0).nonzero()
    digit = digit[inked_rows.min() : inked_rows.max() + 1, inked_columns.min() : inked_columns.max() + 1]
    height, width = digit.shape
    top, left = (int(random.integers(0, SIDE - length + 1)) for length in digit.shape)
    place = canvas[top : top + height, left : left + width]
    place.copy_(torch.maximum(place, digit))
    return (255 * canvas).round().to(torch.uint8), (left, top, left + width - 1, top + height - 1)


def enlarged(image: np.ndarray, height: int) -> Tensor:
    """A digit of 8x8 pixels at this height and width, from 0 to 1."""
    small = torch.from_numpy(image).float()[None, None] / 16
    return F.interpolate(small, size=(height, height), mode="bilinear")[0, 0]


def central_error(data: DigitsOnCanvases) -> float:
    """Share of the test canvases that the best box of one size in the middle misses."""
    true_boxes = torch.tensor(data.corners[TRAIN:], dtype=torch.float64)
    sizes = [(height, width) for height in range(8, SIDE) for width in range(8, SIDE)]
    middle = torch.tensor(
        [[(SIDE - w) / 2, (SIDE - h) / 2, (SIDE + w) / 2 - 1, (SIDE + h) / 2 - 1] for h, w in sizes],
        dtype=torch.float64,
    )
    return 1 - float((overlaps(middle, true_boxes) > LEAST_OVERLAP).double().mean(1).max())


def main(arguments: Sequence[str] | None = None) -> None:
    """Train, print the errors and draw."""
    parser = argparse.ArgumentParser(prog="python -m docs.draw_localization", description="Draw object localization.")
    parser.add_argument("folder", type=Path, help="folder that the picture is written to")
    parser.add_argument("--epochs", type=int, default=EPOCHS, help="epochs of training; default: %(default)s")
    options = parser.parse_args(arguments)
    options.folder.mkdir(parents=True, exist_ok=True)
    seed_everything(42)
    data = DigitsOnCanvases(batch_size=32)
    network = ResNet(
        8,
        "cifar",
        in_channels=1,
        image_size=SIDE,
        num_classes=10,
        optimizer=lambda parameters: SGD(parameters, lr=0.1, momentum=0.9, weight_decay=1e-4, nesterov=True),
        lr_scheduler=lambda optimizer: CosineAnnealingLR(optimizer, T_max=options.epochs),
    )
    with tempfile.TemporaryDirectory() as folder:
        trainer = partial(Trainer, accelerator="cpu", default_root_dir=folder, logger=False, enable_checkpointing=False)
        trainer(max_epochs=options.epochs, limit_val_batches=0).fit(network, datamodule=data)
        for threshold in THRESHOLDS:
            callback = ObjectLocalization("in the data set", threshold, images=6 if threshold == DRAWN_AT else 0)
            (values,) = trainer(callbacks=[callback]).test(network, datamodule=data, verbose=False)
            print(f"threshold {threshold}: localization error {values['test/localization_error']:.1%}")
        shutil.copy(Path(folder, "pictures", "localization.png"), options.folder / "object_localization.png")
    print(f"the best box in the middle: {central_error(data):.1%}; acc1 {values['test/acc1']:.1%}")


if __name__ == "__main__":
    main()
