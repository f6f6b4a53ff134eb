"""From the bytes of a photograph to the pixels of a view, decoding no more than that takes.

Two ways, both uint8 and in color:

- exact: what torchvision's Resize and CenterCrop make of a PIL image, with which published accuracies are measured;
  so evaluation is exact here. One pixel value in a thousand differs, by 1 of 255, for PIL holds the corners of what it
  resizes in single precision.
- fast: libjpeg-turbo decodes at 1/2, 1/4 or 1/8 of the size where the view is smaller than that, without smoothing the
  colors; OpenCV halves what is still twice too large and resizes the rest bilinearly. (Its fast transform is left
  alone: for 4 % it makes images darker by 0.8 of 255.)

The EXIF tag of orientation is ignored, as ImageFolder ignores it; ILSVRC's bounding boxes are drawn on such images.
"""

import io
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import cv2
import numpy as np
import numpy.typing as npt
import simplejpeg
from PIL import Image, UnidentifiedImageError

Pixels = npt.NDArray[np.uint8]
Box = tuple[float, float, float, float]
"""A rectangle of a photograph in pixels: left, top, width, height."""

MAX_PIXELS = 100_000_000
PIL_FORMATS = ("JPEG", "PNG", "PPM", "BMP", "TIFF", "WEBP", "GIF")  # others run programs, or hold more than an image
SCALES = (8, 4, 2)
_scratch = threading.local()

cv2.setNumThreads(1)  # images are spread over threads by those who call


class BrokenImageError(ValueError):
    """A file is no complete image of a kind that is read here."""


def decode(data: bytes, min_height: int = 0, min_width: int = 0) -> Pixels:
    """Decode a photograph in color.

    Args:
        data: The file: JPEG of any kind, or whatever PIL reads of `PIL_FORMATS`.
        min_height: Smallest height that will do; 0 for the whole image, exactly as PIL decodes it.
        min_width: Smallest width that will do, likewise.

    Returns:
        Shape (H, W, 3). With smallest sizes given, valid until this thread decodes its next image.

    Raises:
        BrokenImageError: The file cannot be decoded.
    """
    fast = bool(min_height)
    try:
        height, width, colors, _ = simplejpeg.decode_jpeg_header(data)
        _check_size(width, height)
        if colors not in ("CMYK", "YCCK"):
            return simplejpeg.decode_jpeg(
                data,
                fastupsample=fast,
                min_height=min_height,
                min_width=min_width,
                buffer=_buffer(3 * height * width) if fast else None,
            )
    except BrokenImageError:
        raise
    except ValueError:
        pass  # no JPEG, or one that is odd or broken: PIL tells these apart
    return _decode_with_pil(data)


def exact_view(data: bytes, box: Box, size: tuple[int, int]) -> Pixels:
    """The view as PIL would have it; see the module.

    Args:
        data: The file.
        box: Rectangle of the photograph.
        size: Height and width of the view in pixels.

    Returns:
        Shape (*size, 3).

    Raises:
        BrokenImageError: The file cannot be decoded.
    """
    pixels = decode(data)
    left, top, width, height = box
    # PIL copies what it is given: hand over only what it can read, a pixel of the result beyond the box.
    reach_x, reach_y = (max(1.0, side / goal) + 1 for side, goal in ((width, size[1]), (height, size[0])))
    first_row, first_column = max(0, int(top - reach_y)), max(0, int(left - reach_x))
    last_row, last_column = int(top + height + reach_y) + 1, int(left + width + reach_x) + 1
    part = Image.fromarray(pixels[first_row:last_row, first_column:last_column])
    left, top = left - first_column, top - first_row
    within = (left, top, min(left + width, part.width), min(top + height, part.height))
    return np.asarray(part.resize(size[::-1], Image.Resampling.BILINEAR, box=within))


def fast_view(data: bytes, box: Box, into: Pixels, mirrored: bool, stored_size: tuple[int, int]) -> None:
    """Write the view into its place in a batch; see the module.

    Args:
        data: The file.
        box: Rectangle of the photograph, rounded to whole pixels of what is decoded.
        into: Where the view is to be. Shape (H, W, 3).
        mirrored: Whether to mirror it.
        stored_size: Width and height of the photograph.

    Raises:
        BrokenImageError: The file cannot be decoded.
    """
    goal_height, goal_width = into.shape[:2]
    left, top, width, height = box
    scale = next((scale for scale in SCALES if width >= scale * goal_width and height >= scale * goal_height), 1)
    min_width, min_height = (-(-length // scale) for length in stored_size)
    pixels = decode(data, min_height, min_width)
    across, down = pixels.shape[1] / stored_size[0], pixels.shape[0] / stored_size[1]
    first_column, first_row = round(left * across), round(top * down)
    part = pixels[
        first_row : max(first_row + 1, round((top + height) * down)),
        first_column : max(first_column + 1, round((left + width) * across)),
    ]
    while part.shape[0] >= 2 * goal_height and part.shape[1] >= 2 * goal_width:
        halved = (part.shape[1] // 2, part.shape[0] // 2)
        part = np.asarray(cv2.resize(part, halved, interpolation=cv2.INTER_AREA), np.uint8)
    cv2.resize(part, (goal_width, goal_height), dst=into, interpolation=cv2.INTER_LINEAR)
    if mirrored:
        cv2.flip(into, 1, dst=into)


def read_header(data: bytes) -> tuple[int, int, bool]:
    """Width and height of an image, and whether it has 16 bits a channel; 0, 0 if it is none, or has too many pixels.

    Args:
        data: The file, or as much of it as holds the header.
    """
    try:
        height, width, *_ = simplejpeg.decode_jpeg_header(data)
        return (int(width), int(height), False) if width * height <= MAX_PIXELS else (0, 0, False)
    except ValueError:
        pass  # no JPEG, or one with a long header
    try:
        with Image.open(io.BytesIO(data), formats=PIL_FORMATS) as image:
            _check_size(*image.size)
            return *image.size, image.mode.startswith("I")
    except Exception:  # a decoder that is fed any bytes may raise anything
        return 0, 0, False


def eight_bits(image: Image.Image) -> Image.Image:
    """An image of 16 bits a channel with 8; PIL's own conversion would turn all above 255 white."""
    gray = np.clip(np.asarray(image), 0, 65535).astype(np.uint32)
    return Image.fromarray(((gray * 255 + 32767) // 65535).astype(np.uint8))


def with_eight_bits(data: bytes) -> bytes:
    """The file of an image of 16 bits a channel as one with 8.

    Raises:
        BrokenImageError: It cannot be decoded.
    """
    content = io.BytesIO()
    with _opened(data) as image:
        eight_bits(image).save(content, "PPM")
    return content.getvalue()


def _decode_with_pil(data: bytes) -> Pixels:
    with _opened(data) as image:
        if image.mode.startswith("I"):
            raise BrokenImageError("it has 16 bits a channel: prepare the data set, which converts it")
        return np.array(image.convert("RGB"))


@contextmanager
def _opened(data: bytes) -> Iterator[Image.Image]:
    """An image of PIL's, whatever goes wrong with it being a BrokenImageError."""
    try:
        with Image.open(io.BytesIO(data), formats=PIL_FORMATS) as image:
            _check_size(*image.size)
            yield image
    except BrokenImageError:
        raise
    except UnidentifiedImageError:
        others = f", nor {', '.join(PIL_FORMATS[2:])}"
        raise BrokenImageError(f"it is empty, or neither JPEG nor PNG{others}" if data else "it is empty") from None
    except MemoryError:
        raise
    except Exception as error:  # a decoder that is fed any bytes may raise anything
        raise BrokenImageError(str(error) or type(error).__name__) from None


def _check_size(width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise BrokenImageError(f"it has {width}x{height} pixels, more than the {MAX_PIXELS:,} that are read")


def _buffer(size: int) -> Pixels:
    """Memory of this thread that is used again for each image, for fresh pages cost more than decoding into them."""
    buffer: Pixels | None = getattr(_scratch, "buffer", None)
    if buffer is None or len(buffer) < size:
        buffer = _scratch.buffer = np.empty(size, np.uint8)
    return buffer
