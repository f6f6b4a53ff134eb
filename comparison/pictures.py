"""Pictures of runs inside the page, small enough each, and not too many bytes in all."""

import base64
import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from records.files import read_bytes

BYTES_IN_PAGE = 3_000_000
BYTES_OF_A_PICTURE = 200_000
BYTES_OF_A_PART = 12_000
LONGEST_SIDE = 960
LARGEST_FILE = 64 * 2**20
MOST_PIXELS = 40_000_000
BYTES_OF_A_PNG = 40_000
WEBP_QUALITIES = (80, 60, 40)


class Embedded(NamedTuple):
    """A picture as the address that an `img` has, and its size in pixels."""

    address: str
    width: int
    height: int


class PictureBudget:
    """Embeds pictures until the page is full; from then on, there are none.

    Args:
        most: Bytes of all pictures together, before they are written as text, which takes a third more.
    """

    def __init__(self, most: int = BYTES_IN_PAGE) -> None:
        self.left = most

    def embed(self, path: Path) -> Embedded | None:
        """A whole picture, reduced if need be; None if the page is full.

        Raises:
            ValueError: It cannot be read.
        """
        with _opened(path) as picture:
            picture.thumbnail((LONGEST_SIDE, LONGEST_SIDE), Image.Resampling.LANCZOS)
            return self._embed(picture, BYTES_OF_A_PICTURE)

    def embed_parts(self, path: Path, boxes: list[tuple[int, int, int, int]]) -> list[Embedded | None]:
        """Parts of a picture; None for those that the page is too full for.

        Args:
            path: The picture.
            boxes: Left, top, right and bottom edge of each part.

        Raises:
            ValueError: The picture cannot be read, or a part is not inside it.
        """
        with _opened(path) as picture:
            for left, top, right, bottom in boxes:
                if not (0 <= left < right <= picture.width and 0 <= top < bottom <= picture.height):
                    raise ValueError(f"{path.name} is not the picture that the run's numbers speak of")
            return [self._embed(picture.crop(box), BYTES_OF_A_PART) for box in boxes]

    def _embed(self, picture: Image.Image, most: int) -> Embedded | None:
        kind, data = _encoded(picture, most)
        if len(data) > self.left:
            return None
        self.left -= len(data)
        return Embedded(f"data:image/{kind};base64,{base64.b64encode(data).decode()}", *picture.size)


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    content = io.BytesIO(read_bytes(path, LARGEST_FILE))
    try:
        with warnings.catch_warnings(action="ignore", category=Image.DecompressionBombWarning):
            file = Image.open(content)
        few = file.width * file.height <= MOST_PIXELS
        picture = file.convert("RGB") if few else None
    except Exception as error:  # of Pillow, of many kinds
        raise ValueError(f"{path.name} cannot be read") from error
    if picture is None:
        raise ValueError(f"{path.name} has more than {MOST_PIXELS:,} pixels")
    yield picture


def _encoded(picture: Image.Image, most: int) -> tuple[str, bytes]:
    """As PNG if that is small, or as the best WebP that is small enough, at half the size if none is."""
    data = _saved(picture, "png", optimize=True)
    if len(data) <= min(most, BYTES_OF_A_PNG):
        return "png", data
    for quality in WEBP_QUALITIES:
        data = _saved(picture, "webp", quality=quality)
        if len(data) <= most:
            return "webp", data
    return _encoded(picture.reduce(2), most)


def _saved(picture: Image.Image, kind: str, **options: bool | int) -> bytes:
    file = io.BytesIO()
    picture.save(file, format=kind, **options)
    return file.getvalue()
