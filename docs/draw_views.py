"""Pictures of views and augmentation.

python -m docs.draw_views docs/pictures [--photograph FILE]

Everything shown is what the data path itself draws, for the first epochs of one sample.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from sklearn.datasets import load_sample_image
from torch import Tensor

from datamodules.augmentation import normalize
from datamodules.counter_random import CounterRandom
from datamodules.photographs.augmentation import Reading, add_color_noise, erase, mix
from datamodules.photographs.trivial_augment import random_operations, trivial_augment
from datamodules.photographs.views import (
    CentralCrop,
    CentralSquareCrop,
    EvaluationView,
    FixedTenCrops,
    RandomResizedCrop,
    ScaledCrop,
    TrainingView,
    WholeImage,
)

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
SEED, SIZE = 0, 224
SHOWN = 176  # pixels that a view has in the picture
GAP = 14
INK, GRAY, PAPER = "#202428", "#5f6670", "#ffffff"
ZFNET_EPOCHS = (0, 1, 2, 4)  # in which the windows differ
NOISY = (1, 4)  # samples whose noise has about its standard deviation
COLORS = ("#ffb000", "#ff4fa3", "#26c6ff", "#b8f000")


class Cell(NamedTuple):
    """A picture with a line below it, and a frame if it has a color."""

    picture: Image.Image
    caption: str
    color: str | None = None


class Row(NamedTuple):
    """A line of text above a number of cells."""

    title: str
    source: str
    cells: Sequence[Cell]


def drawn(rows: Sequence[Row]) -> Image.Image:
    """All rows below each other."""
    heights = [SHOWN + 78] * len(rows)
    width = max(sum(cell.picture.width + GAP for cell in row.cells) for row in rows) + GAP
    whole = Image.new("RGB", (width, sum(heights) + GAP), PAPER)
    draw = ImageDraw.Draw(whole)
    title_font, source_font, caption_font = (ImageFont.load_default(size) for size in (18, 13, 12))
    top = GAP
    for row, height in zip(rows, heights, strict=True):
        draw.text((GAP, top), row.title, fill=INK, font=title_font)
        draw.text((GAP + draw.textlength(row.title, title_font) + 10, top + 4), row.source, fill=GRAY, font=source_font)
        left = GAP
        for cell in row.cells:
            place = (left, top + 28)
            whole.paste(cell.picture, place)
            if cell.color:
                edges = (place[0], place[1], place[0] + cell.picture.width - 1, place[1] + cell.picture.height - 1)
                draw.rectangle(edges, outline=cell.color, width=3)
            draw.text((left, top + 28 + SHOWN + 4), cell.caption, fill=INK, font=caption_font)
            left += cell.picture.width + GAP
        top += height
    return whole


def training_row(title: str, source: str, photograph: Image.Image, view: TrainingView, epochs: Sequence[int]) -> Row:
    """The photograph with a rectangle for each epoch, and what the network sees then."""
    width, height = np.array([photograph.width]), np.array([photograph.height])
    boxes, cells = [], []
    for epoch, color in zip(epochs, COLORS, strict=True):
        (box,), (flip,) = view.views(width, height, _random([0], epoch), SIZE)
        seen = _cut(photograph, box, (SIZE, SIZE))
        if flip:
            seen = seen.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        caption = _described(view, box, photograph) + (", mirrored" if flip else "")
        cells.append(Cell(seen.resize((SHOWN, SHOWN), Image.Resampling.LANCZOS), caption, color))
        boxes.append(box)
    return Row(title, source, [Cell(_with_boxes(photograph, boxes), _size(photograph)), *cells])


def evaluation_row(photograph: Image.Image) -> Row:
    """The photograph with the rectangles of evaluation, and what the network sees."""
    width, height = np.array([photograph.width]), np.array([photograph.height])
    views: dict[str, EvaluationView] = {
        "central crop": CentralCrop(256, SIZE),
        "central square": CentralCrop(256, 256),
        "whole": WholeImage(256),
    }
    boxes, cells = [], []
    for (name, view), color in zip(views.items(), COLORS, strict=False):
        (box,), ((rows, columns),) = view.boxes(width, height), view.sizes(width, height)
        seen = _cut(photograph, box, (int(columns), int(rows)))
        # All at the same scale: that of the shorter side of 256 pixels.
        shown = (SHOWN * seen.width // 256, SHOWN * seen.height // 256)
        cells.append(Cell(seen.resize(shown, Image.Resampling.LANCZOS), f"{name}, {columns} x {rows}", color))
        boxes.append(box)
    return Row("Evaluation", "shorter side 256", [Cell(_with_boxes(photograph, boxes), _size(photograph)), *cells])


def view_rows(photograph: Image.Image) -> list[Row]:
    """Where the papers look."""
    return [
        training_row(
            "AlexNet",
            "random window of the central square, 256 x 256 (Krizhevsky et al. 2012)",
            photograph,
            CentralSquareCrop(),
            range(4),
        ),
        training_row(
            "ZFNet",
            "corners and center of the same square (Zeiler and Fergus 2013)",
            photograph,
            FixedTenCrops(),
            ZFNET_EPOCHS,
        ),
        training_row(
            "VGG",
            "shorter side S of 256 to 512, random window (Simonyan and Zisserman 2014)",
            photograph,
            ScaledCrop((256, 512)),
            range(4),
        ),
        training_row(
            "GoogLeNet",
            "8 to 100 % of the area, aspect 3/4 to 4/3 (Szegedy et al. 2014)",
            photograph,
            RandomResizedCrop(),
            range(4),
        ),
        training_row(
            "ResNet",
            "shorter side S of 256 to 480, random window (He et al. 2015)",
            photograph,
            ScaledCrop((256, 480)),
            range(4, 8),
        ),
        evaluation_row(photograph),
    ]


def augmentation_rows(photograph: Image.Image, partner: Image.Image) -> list[Row]:
    """What is done to the pixels of a view, shown on central crops."""
    image, other = (torch.from_numpy(np.array(_central(one))).permute(2, 0, 1) for one in (photograph, partner))
    before = Cell(_shown(image), "before")
    return [
        Row(
            "Color noise",
            "two draws in both readings; change of the mean red, green and blue (Krizhevsky et al. 2012)",
            [before, *_noisy_cells(image)],
        ),
        Row(
            "Random erasing, mixup, CutMix",
            "(Zhong et al. 2017, Zhang et al. 2018, Yun et al. 2019)",
            [before, *_erased_cells(image), *_mixed_cells(image, other)],
        ),
        Row(
            "TrivialAugment",
            "one operation of 14, at one strength of 31 (arXiv:2103.10158)",
            [before, *_operated_cells(image)],
        ),
    ]


def _noisy_cells(image: Tensor) -> list[Cell]:
    readings: tuple[Reading, ...] = ("eigenvalue", "standard_deviation")
    mean = 255 * torch.tensor(MEAN)[:, None, None].expand_as(image)
    cells = []
    for index in NOISY:
        for reading in readings:
            images = torch.stack((image.float(), mean))
            noisy, moved = add_color_noise(images, _random([index] * 2), reading=reading, mean=MEAN)
            red, green, blue = (moved - mean)[:, 0, 0].tolist()
            cells.append(Cell(_shown(noisy), f"{reading.replace('_', ' ')}: {red:+.0f} {green:+.0f} {blue:+.0f}"))
    return cells


def _erased_cells(image: Tensor) -> list[Cell]:
    normalized = normalize(image[None], MEAN, STD)
    return [
        Cell(_shown_normalized(erase(normalized, _random([index]), probability=1)[0]), "erased") for index in (0, 3)
    ]


def _mixed_cells(image: Tensor, other: Tensor) -> list[Cell]:
    cells = []
    batch, labels = normalize(torch.stack((other, image) * 16), MEAN, STD), torch.tensor([0, 1] * 16)
    for name, alphas in (("mixup", {"mixup_alpha": 0.2}), ("CutMix", {"cutmix_alpha": 1.0})):
        mixed, targets = mix(batch, labels, _random(range(32)), num_classes=2, **alphas)
        # Most shares of mixup are near 0 or 1: of 16, the one that shows most.
        row = 1 + 2 * int((targets[1::2, 1] - 0.6).abs().argmin())
        cells.append(Cell(_shown_normalized(mixed[row]), f"{name}: {targets[row, 1]:.0%} and {targets[row, 0]:.0%}"))
    return cells


def _operated_cells(image: Tensor) -> list[Cell]:
    random = _random(range(14))
    names: dict[str, Cell] = {}
    results = trivial_augment(image.expand(14, -1, -1, -1), random)
    for result, (name, strength) in zip(results, random_operations(random), strict=True):
        if name != "Identity":
            names.setdefault(name, Cell(_shown(result), f"{name} {strength:.2g}" if strength else name))
    return list(names.values())[:4]


def _random(indices: Sequence[int], epoch: int = 0) -> CounterRandom:
    return CounterRandom(SEED, epoch, torch.tensor(indices))


def _described(view: TrainingView, box: np.ndarray, photograph: Image.Image) -> str:
    left, top, width, height = box
    if isinstance(view, RandomResizedCrop):
        share = width * height / (photograph.width * photograph.height)
        return f"{share:.0%}, aspect {width / height:.2f}"
    side = round(min(photograph.size) * SIZE / height)
    if isinstance(view, ScaledCrop):
        return f"S = {side}"
    (square,) = CentralCrop(side, side).boxes(np.array([photograph.width]), np.array([photograph.height]))
    return f"offset {round((left - square[0]) * SIZE / width)}, {round((top - square[1]) * SIZE / height)}"


def _cut(photograph: Image.Image, box: np.ndarray, size: tuple[int, int]) -> Image.Image:
    left, top, width, height = box.tolist()
    corners = (left, top, min(left + width, photograph.width), min(top + height, photograph.height))
    return photograph.resize(size, Image.Resampling.BILINEAR, box=corners)


def _with_boxes(photograph: Image.Image, boxes: Sequence[np.ndarray]) -> Image.Image:
    scale = SHOWN / photograph.height
    # Drawn twice as large and made smaller, which smooths the lines.
    picture = photograph.resize((round(2 * photograph.width * scale), 2 * SHOWN), Image.Resampling.LANCZOS)
    draw = ImageDraw.Draw(picture)
    for line, colors in ((9, ["#303030"] * len(boxes)), (5, COLORS)):
        for box, color in zip(boxes, colors, strict=False):
            left, top, width, height = box * 2 * scale
            out = line // 2
            right, bottom = min(left + width + out, picture.width - 1), min(top + height + out, picture.height - 1)
            draw.rectangle((max(left - out, 0), max(top - out, 0), right, bottom), outline=color, width=line)
    return picture.resize((picture.width // 2, SHOWN), Image.Resampling.LANCZOS)


def _size(photograph: Image.Image) -> str:
    return f"photograph, {photograph.width} x {photograph.height}"


def _central(photograph: Image.Image) -> Image.Image:
    (box,) = CentralCrop(256, SIZE).boxes(np.array([photograph.width]), np.array([photograph.height]))
    return _cut(photograph, box, (SIZE, SIZE))


def _shown(image: Tensor) -> Image.Image:
    pixels = image.clamp(0, 255).round().to(torch.uint8).permute(1, 2, 0).numpy()
    return Image.fromarray(pixels).resize((SHOWN, SHOWN), Image.Resampling.LANCZOS)


def _shown_normalized(image: Tensor) -> Image.Image:
    mean, std = (torch.tensor(values)[:, None, None] for values in (MEAN, STD))
    return _shown(255 * (image * std + mean))


def main(command: Sequence[str] | None = None) -> None:
    """Writes imagenet_views.jpg and imagenet_augmentation.jpg."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="where the two pictures are written to")
    parser.add_argument("--photograph", type=Path, help="in landscape format; by default one that scikit-learn has")
    arguments = parser.parse_args(command)
    flower = Image.fromarray(load_sample_image("flower.jpg"))
    photograph = Image.fromarray(load_sample_image("china.jpg"))
    if arguments.photograph:
        photograph = Image.open(arguments.photograph).convert("RGB")
    arguments.folder.mkdir(parents=True, exist_ok=True)
    for name, rows in (("views", view_rows(photograph)), ("augmentation", augmentation_rows(photograph, flower))):
        drawn(rows).save(arguments.folder / f"imagenet_{name}.jpg", quality=85, subsampling=0, optimize=True)


if __name__ == "__main__":
    main()
