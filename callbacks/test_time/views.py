"""Which views of an image the papers average over at test time: boxes and flips, as pure rules."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

ProtocolName = Literal[
    "flip",
    "translations",
    "ten_crops",
    "ten_crops_of_all",
    "vgg_dense",
    "vgg_crops",
    "vgg_dense_and_crops",
    "googlenet_crops",
    "resnet_dense",
]


@dataclass(frozen=True)
class View:
    """One way to look at an image.

    Positions are fractions: 0 is as far up or left as possible, 0.5 the middle, 1 as far down or right as possible.

    Attributes:
        side: Shorter side that the whole image is resized to; None for the image as the data set hands it out.
        square: Where along the longer side a square is cut first; None for the whole image.
        position: Row and column of a window of `size` pixels in what is left; None for all of it.
        size: Height and width of the view; without a position, all is resized to it; None keeps all as it is.
        shift: Pixels by which the window moves down and right, over the border.
        flip: Whether the view is mirrored.
        weight: Share of the view in the average.
    """

    side: int | None = None
    square: float | None = None
    position: tuple[float, float] | None = None
    size: int | None = None
    shift: tuple[int, int] = (0, 0)
    flip: bool = False
    weight: float = 1.0

    def window(self, height: int, width: int) -> tuple[int, int, int, int]:
        """Top, left, height and width of what is cut out of an image, before it is resized or mirrored."""
        top = left = 0
        if self.square is not None:
            length = min(height, width)
            top, left = _offset(self.square, height - length), _offset(self.square, width - length)
            height = width = length
        if self.position is not None and self.size is not None:
            row, column = self.position
            top += _offset(row, height - self.size)
            left += _offset(column, width - self.size)
            height = width = self.size
        return top + self.shift[0], left + self.shift[1], height, width

    @property
    def resized(self) -> bool:
        """Whether what is cut out is then resized to `size`."""
        return self.position is None and self.size is not None


@dataclass(frozen=True)
class Protocol:
    """Views that belong together.

    Attributes:
        source: Where the protocol is from.
        views: The views, not mirrored; `views_of` adds the side of the image and the size of what is cut out.
        sides: Shorter sides of the paper; empty if images are taken as they are.
        any_size: Whether the network must take whole images of any size.
    """

    source: str
    views: Sequence[View]
    sides: tuple[int, ...] = ()
    any_size: bool = False


MIDDLE = (0.5, 0.5)
FIVE_POSITIONS = ((0.0, 0.0), (0.0, 1.0), (1.0, 0.0), (1.0, 1.0), MIDDLE)
FIVE_STEPS = (0.0, 0.25, 0.5, 0.75, 1.0)
WHOLE_IMAGE = (View(),)
TRANSLATIONS = (View(weight=2), View(shift=(-1, -1)), View(shift=(1, 1)))
FIVE_CROPS = tuple(View(position=position) for position in FIVE_POSITIONS)
FIVE_CROPS_OF_THE_SQUARE = tuple(replace(crop, square=0.5) for crop in FIVE_CROPS)
GRID = tuple(View(position=(row, column)) for row in FIVE_STEPS for column in FIVE_STEPS)
WHOLE_IMAGE_AND_GRID = (View(weight=len(GRID)), *GRID)  # as much for the one as for the other together
# Of each square, its corners and middle, and the square itself made smaller.
THREE_SQUARES = tuple(
    View(square=square, position=position) for square in (0.0, 0.5, 1.0) for position in (*FIVE_POSITIONS, None)
)


def central_crop(size: int, side: int | None) -> View:
    """The one view of an ordinary evaluation: the central crop of the resized image, or the image as it is."""
    return View() if side is None else View(side, position=MIDDLE, size=size)


PROTOCOLS: dict[ProtocolName, Protocol] = {
    "flip": Protocol("the image and its mirror image", WHOLE_IMAGE),
    "translations": Protocol(
        "KellerJordan/cifar10-airbench, airbench94.py, tta_level 2: half of the weight where the image is, a quarter "
        "for one pixel up and left, a quarter for one pixel down and right",
        TRANSLATIONS,
    ),
    "ten_crops": Protocol("Krizhevsky et al. 2012, §2 and §4.1", FIVE_CROPS_OF_THE_SQUARE, (256,)),
    "ten_crops_of_all": Protocol("facebook/fb.resnet.torch, TenCrop; torchvision's TenCrop", FIVE_CROPS, (256,)),
    "vgg_dense": Protocol("Simonyan and Zisserman 2014, §3.2 and §4.2", WHOLE_IMAGE, (256, 384, 512), any_size=True),
    "vgg_crops": Protocol("Simonyan and Zisserman 2014, §3.2", GRID, (256, 384, 512)),
    "vgg_dense_and_crops": Protocol(
        "Simonyan and Zisserman 2014, §4.3", WHOLE_IMAGE_AND_GRID, (256, 384, 512), any_size=True
    ),
    "googlenet_crops": Protocol("Szegedy et al. 2014, §7", THREE_SQUARES, (256, 288, 320, 352)),
    "resnet_dense": Protocol("He et al. 2015, §3.4", WHOLE_IMAGE, (224, 256, 384, 480, 640), any_size=True),
}


def views_of(protocol: ProtocolName, size: int, sides: Sequence[int] | None = None, flips: bool = True) -> list[View]:
    """The views of a protocol; their weights add up to 1.

    Side by side, and for each side first the views as they are, then their mirror images.

    Args:
        protocol: Name of the protocol.
        size: Height and width of a crop in pixels: what the network was trained on.
        sides: Shorter sides of the resized images; by default the paper's.
        flips: Whether mirror images are among the views.

    Raises:
        ValueError: The protocol does not go with these arguments.
    """
    rule = PROTOCOLS[protocol]
    if protocol == "flip" and not flips:
        raise ValueError("The protocol flip without flips is no augmentation: set flips to true, or leave it out.")
    if sides and not rule.sides:
        raise ValueError(f"The protocol {protocol} takes images as they are: leave sides out.")
    if sides is not None and (len(set(sides)) < len(sides) or (rule.sides and not sides)):
        raise ValueError(f"sides must be one or more different lengths in pixels, not {list(sides)}.")
    views: list[View] = []
    for side in sides or rule.sides or (None,):
        if side is not None and side < size:
            raise ValueError(
                f"A shorter side of {side} pixels is too short for a network made for {size}x{size}: "
                f"give sides of {size} or more."
            )
        as_they_are = [
            replace(view, side=side, size=None if (view.square, view.position) == (None, None) else size)
            for view in rule.views
        ]
        views += [*as_they_are, *(replace(view, flip=True) for view in as_they_are if flips)]
    total = sum(view.weight for view in views)
    return [replace(view, weight=view.weight / total) for view in views]


def _offset(position: float, room: int) -> int:
    """The middle is rounded as torchvision's center_crop does: half to even."""
    return round(position * room)
