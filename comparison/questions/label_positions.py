"""Labels beside points so that none hides another, a point or an interval, where that can be had."""

from collections.abc import Sequence
from typing import Literal

CHARACTER_WIDTH = 6.4
LINE_HEIGHT = 15.0
POINT_RADIUS = 6.0
Box = tuple[float, float, float, float]  # left, top, right, bottom
LabelPosition = tuple[Literal["left", "right", "center"], int, int]  # alignment, offset to the right, offset downwards

# Alignment and offset in pixels, the best-looking first.
BESIDE: tuple[LabelPosition, ...] = tuple(
    (align, dx if align == "left" else -dx, dy)
    for dy, dx in ((0, 11), (-13, 8), (13, 8), (-24, 8), (24, 8))
    for align in ("left", "right")
)
POSITIONS: tuple[LabelPosition, ...] = (*BESIDE, ("center", 0, -24), ("center", 0, 24))


def position_labels(
    points: Sequence[tuple[float, float]], labels: Sequence[str], lines: Sequence[Box], size: tuple[float, float]
) -> list[LabelPosition | None]:
    """Choose a position for each label: one of `POSITIONS`, or None where it would hide another label.

    Args:
        points: Where the points lie, in pixels from the top left.
        labels: The texts, in the order in which they may choose.
        lines: Boxes (left, top, right, bottom) of what else is drawn and had better not be covered.
        size: Width and height of the plot area in pixels.
    """
    discs = [(x - POINT_RADIUS, y - POINT_RADIUS, x + POINT_RADIUS, y + POINT_RADIUS) for x, y in points]
    marks = [*discs, *lines]
    taken: list[Box] = []
    positions: list[LabelPosition | None] = []
    for (x, y), label in zip(points, labels, strict=True):
        best, fewest = None, float("inf")
        for position in POSITIONS:
            box = _label_box(x, y, label, position)
            if any(_overlap(box, other) for other in taken) or not _inside(box, size):
                continue
            hidden = sum(_overlap(box, mark) for mark in marks)
            if hidden < fewest:
                best, fewest = position, hidden
        positions.append(best)
        if best is not None:
            taken.append(_label_box(x, y, label, best))
    return positions


def _label_box(x: float, y: float, label: str, position: LabelPosition) -> Box:
    align, dx, dy = position
    width = CHARACTER_WIDTH * len(label)
    left = x + dx - {"left": 0.0, "center": width / 2, "right": width}[align]
    return left, y + dy - LINE_HEIGHT / 2, left + width, y + dy + LINE_HEIGHT / 2


def _overlap(one: Box, other: Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def _inside(box: Box, size: tuple[float, float]) -> bool:
    # The margins around the plot area leave a label a little room.
    width, height = size
    return box[0] >= -LINE_HEIGHT and box[2] <= width + LINE_HEIGHT and box[1] >= -LINE_HEIGHT and box[3] <= height
