"""Which rectangle of a photograph is what the network sees, in the recipes of the papers.

A view is one rectangle of the photograph, resized to what the network takes and perhaps mirrored. "Resize, then crop"
differs from "crop, then resize" only in what the filter sees across the border of the crop, so nothing needs to be
decoded or resized that is not shown.

    view               paper                                   photograph resized to    of it
    CentralSquareCrop  AlexNet (Krizhevsky et al. 2012, §4.1)  256                      a window in its central square
    FixedTenCrops      ZFNet (Zeiler and Fergus 2013, §3)      256                      corner or center of that square
    ScaledCrop         VGG (Simonyan and Zisserman 2014, §3.1) S, or S ∈ [256, 512]     a window
                       ResNet (He et al. 2015, §3.4)           S ∈ [256, 480]           a window
    RandomResizedCrop  GoogLeNet (Szegedy et al. 2014, §6)     –                        8 to 100 % of its area,
                                                                                        aspect 3/4 to 4/3
    CentralCrop        evaluation                              256                      the central window
    WholeImage         dense evaluation                        any                      all of it

"Resized to S" means its shorter side. The longer side is cut to whole pixels and the middle rounded half to even, as
torchvision's Resize and CenterCrop do; the authors' tool rounds otherwise, by up to a pixel (akrizhevsky/cuda-convnet2,
make-data/pyext/src/pyext.cpp). Windows lie on whole pixels of the resized photograph, which are fractions of pixels of
the stored one.

Boxes are left, top, width and height, in pixels of the photograph as it is stored, at whatever size that is. One with
fewer pixels than the view is enlarged: the view then has no more detail than what is stored, as with S = 512 of a copy
whose shorter side is 256.

All is computed for a whole batch at once, as a pure function of (seed, epoch, sample index), with no state.
"""

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from datamodules.counter_random import CounterRandom, Stream
from datamodules.photographs.augmentation import check_ranges, first_fitting, random_sides

Integers = NDArray[np.integer[Any]]
Boxes = NDArray[np.float64]


class Views(NamedTuple):
    """What is seen of each photograph of a batch.

    Attributes:
        boxes: float64; left, top, width and height, in pixels of the stored photograph. Shape (B, 4).
        flips: bool; whether the view is mirrored. Shape (B,).
    """

    boxes: Boxes
    flips: NDArray[np.bool_]


class TrainingView(Protocol):
    """A rule for the views that a network is trained on."""

    def views(self, widths: Integers, heights: Integers, random: CounterRandom, size: int) -> Views:
        """Chooses a rectangle of each photograph, as a pure function of (seed, epoch, index).

        Args:
            widths: Widths of the stored photographs, in pixels. Shape (B,).
            heights: Their heights. Shape (B,).
            random: Random numbers of the samples, of whatever repetition (`augmentation_keys`).
            size: Height and width, in pixels, that the rectangle will be resized to.

        Raises:
            ValueError: The rule has no views of this size. An empty batch asks for that, too.
        """


class EvaluationView(Protocol):
    """A rule for the views that a network is evaluated on."""

    def boxes(self, widths: Integers, heights: Integers) -> Boxes:
        """Left, top, width and height of each rectangle, in pixels of the stored photograph. Shape (B,) → (B, 4)."""

    def sizes(self, widths: Integers, heights: Integers) -> NDArray[np.int64]:
        """Height and width, in pixels, that each rectangle is to be resized to. Shape (B,) → (B, 2)."""


@dataclass(frozen=True)
class CentralSquareCrop:
    """Random window of the central square (Krizhevsky et al. 2012, §4.1).

    The paper counts 2,048 = 32 · 32 · 2 pairs of an offset and a flip for 224 of 256 pixels. Which 32 of the 33 offsets
    it does not say; here the first ones. The authors' code draws from all 33, so 2,178 pairs
    (akrizhevsky/cuda-convnet2, DecoderThread::crop: `rand_r(&_rseed) % (border_size_x + 1)`). In their code of 2012, 32
    consecutive images share an offset and a flip (computerhistory/AlexNet-Source-Code); here each has its own.

    Args:
        square: Side of the square, in pixels, that the photograph's central square is resized to.
        offsets: paper: as many offsets as pixels are left over, 32; code: one more, 33.

    Raises:
        ValueError: An argument is out of its range.
    """

    square: int = 256
    offsets: Literal["paper", "code"] = "paper"

    def __post_init__(self) -> None:
        if self.offsets not in ("paper", "code"):
            raise ValueError(f"CentralSquareCrop: offsets={self.offsets!r} must be paper (32) or code (33).")

    def views(self, widths: Integers, heights: Integers, random: CounterRandom, size: int) -> Views:  # noqa: D102
        positions = self.square - size + (self.offsets == "code")
        _check_window("CentralSquareCrop", size, self.square - (self.offsets == "paper"))
        left, top = (random.integers(positions, stream).numpy() for stream in (Stream.CROP_X, Stream.CROP_Y))
        boxes = _Resized(widths, heights, self.square).in_square(left, top, size)
        return Views(boxes, random.booleans(Stream.FLIP).numpy())


@dataclass(frozen=True)
class FixedTenCrops:
    """A corner or the center of the central square (Zeiler and Fergus 2013, §3): with flips, ten views.

    Args:
        square: Side of the square, in pixels, that the photograph's central square is resized to.
    """

    square: int = 256

    def views(self, widths: Integers, heights: Integers, random: CounterRandom, size: int) -> Views:  # noqa: D102
        _check_window("FixedTenCrops", size, self.square)
        room = self.square - size
        corner = random.integers(5, Stream.FIXED_CROP).numpy()
        left = np.array([0, room, 0, room, _middle(room)])[corner]
        top = np.array([0, 0, room, room, _middle(room)])[corner]
        boxes = _Resized(widths, heights, self.square).in_square(left, top, size)
        return Views(boxes, random.booleans(Stream.FLIP).numpy())


@dataclass(frozen=True)
class ScaledCrop:
    """Random window of the photograph, resized to one side or to a random one.

    VGG: S = 256 or S = 384, or "scale jittering" S ∈ [256, 512] (Simonyan and Zisserman 2014, §3.1). ResNet:
    S ∈ [256, 480] (He et al. 2015, §3.4).

    Args:
        sides: Least and largest shorter side of the resized photograph, in pixels; whole numbers, equally likely.

    Raises:
        ValueError: The sides are the wrong way round.
    """

    sides: tuple[int, int] = (256, 256)

    def __post_init__(self) -> None:
        if not 0 < self.sides[0] <= self.sides[1]:
            raise ValueError(f"ScaledCrop: sides={self.sides} must be two lengths in pixels, the shorter first.")

    def views(self, widths: Integers, heights: Integers, random: CounterRandom, size: int) -> Views:  # noqa: D102
        low, high = self.sides
        _check_window("ScaledCrop", size, low)
        side = low + random.integers(high - low + 1, Stream.SHORTER_SIDE).numpy()
        images = _Resized(widths, heights, side)
        left, top = (
            random.integers(torch.from_numpy(length - size + 1), stream).numpy()
            for length, stream in ((images.width, Stream.CROP_X), (images.height, Stream.CROP_Y))
        )
        return Views(images.window(left, top, size), random.booleans(Stream.FLIP).numpy())


@dataclass(frozen=True)
class RandomResizedCrop:
    """Random share of the area in a random shape (Szegedy et al. 2014, §6), as torchvision draws it.

    Of ten rectangles of random area and aspect ratio, the first that fits into the photograph, at a random place; if
    none fits, the center of the photograph, with the nearest aspect ratio allowed. Sides and places are whole pixels.

    Args:
        area: Least and largest share of the photograph's area.
        aspect: Least and largest width divided by height.

    Raises:
        ValueError: A range is the wrong way round or out of bounds.
    """

    area: tuple[float, float] = (0.08, 1.0)
    aspect: tuple[float, float] = (3 / 4, 4 / 3)

    def __post_init__(self) -> None:
        check_ranges("RandomResizedCrop", self.area, self.aspect)

    def views(self, widths: Integers, heights: Integers, random: CounterRandom, size: int) -> Views:  # noqa: D102
        width, height = (torch.from_numpy(np.asarray(lengths).astype(np.int64)) for lengths in (widths, heights))
        streams = Stream.AREA, Stream.ASPECT
        across, down = random_sides((width * height)[:, None], self.area, self.aspect, random, streams, torch.float64)
        fits = (across > 0) & (across <= width[:, None]) & (down > 0) & (down <= height[:, None])
        across, down = (side.long() for side in first_fitting(fits, across, down))
        left = random.integers(width - across + 1, Stream.CROP_X)
        top = random.integers(height - down + 1, Stream.CROP_Y)

        found = fits.any(dim=1)
        if not found.all():
            # Rare: a photograph of 500x333 is one in 35,000 times, one twice as wide as high once in some hundred.
            widest = (height * self.aspect[1]).round().long().minimum(width)
            tallest = (width / self.aspect[0]).round().long().minimum(height)
            across, down = torch.where(found, across, widest), torch.where(found, down, tallest)
            left = torch.where(found, left, (width - widest) // 2)
            top = torch.where(found, top, (height - tallest) // 2)
        boxes = torch.stack((left, top, across, down), dim=1).double().numpy()
        return Views(boxes, random.booleans(Stream.FLIP).numpy())


@dataclass(frozen=True)
class CentralCrop:
    """Central window of the resized photograph: torchvision's Resize(crop_side) and CenterCrop(size).

    Args:
        crop_side: Shorter side of the resized photograph, in pixels.
        size: Height and width of the window, in pixels.

    Raises:
        ValueError: The window is larger than the resized photograph.
    """

    crop_side: int = 256
    size: int = 224

    def __post_init__(self) -> None:
        _check_window("CentralCrop", self.size, self.crop_side)

    def boxes(self, widths: Integers, heights: Integers) -> Boxes:  # noqa: D102
        images = _Resized(widths, heights, self.crop_side)
        return images.window(_middle(images.width - self.size), _middle(images.height - self.size), self.size)

    def sizes(self, widths: Integers, heights: Integers) -> NDArray[np.int64]:  # noqa: D102
        return np.full((len(widths), 2), self.size)


@dataclass(frozen=True)
class WholeImage:
    """The whole photograph, for networks that take any size (Simonyan and Zisserman 2014, §3.2; He et al. 2015, §3.4).

    Args:
        side: Shorter side that it is resized to, in pixels.
    """

    side: int = 256

    def boxes(self, widths: Integers, heights: Integers) -> Boxes:  # noqa: D102
        zeros = np.zeros(len(widths))
        return np.stack((zeros, zeros, widths, heights), axis=1)

    def sizes(self, widths: Integers, heights: Integers) -> NDArray[np.int64]:  # noqa: D102
        images = _Resized(widths, heights, self.side)
        return np.stack((images.height, images.width), axis=1)


class _Resized:
    """Photographs resized to a shorter side; what is cut out of them, in pixels of the stored ones."""

    def __init__(self, widths: Integers, heights: Integers, side: int | Integers) -> None:
        stored = np.stack((widths, heights)).astype(np.int64)  # unsigned widths would wrap around
        self.width, self.height = side * stored // stored.min(axis=0)
        self._pixel = stored / (self.width, self.height)

    def window(self, left: Integers, top: Integers, size: int) -> Boxes:
        across, down = self._pixel
        return np.stack((left * across, top * down, size * across, size * down), axis=1)

    def in_square(self, left: Integers, top: Integers, size: int) -> Boxes:
        """A window of the central square."""
        square = np.minimum(self.width, self.height)
        return self.window(left + _middle(self.width - square), top + _middle(self.height - square), size)


def _middle(room: Any) -> Any:
    """Where the middle begins, half to even as torchvision's center_crop."""
    return np.rint(np.asarray(room) / 2).astype(np.int64)


def _check_window(view: str, size: int, side: int) -> None:
    if not 0 < size <= side:
        raise ValueError(
            f"{view}: a window of {size} pixels must lie within {side}: resize photographs to a longer side."
        )
