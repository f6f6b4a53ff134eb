"""From a published file to the JPEG that a prepared copy holds.

All images of a prepared copy are JPEGs of 8 bits, gray or RGB, that libjpeg-turbo decodes without a warning. What a
file is, its own header says: names lie (n02105855_2933.JPEG is a PNG).
"""

import io
import warnings
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import simplejpeg
from PIL import Image

from datamodules.photographs.decoder import MAX_PIXELS, PIL_FORMATS, BrokenImageError, eight_bits

JPEG = ("JPEG", "MPO")  # the second holds several, of which the first is read
CONVERTED_QUALITY = 95  # of what has to be converted though it is not made smaller


@dataclass(frozen=True)
class Encoding:
    """What is done to ordinary images.

    Attributes:
        shorter_side: Pixels to which the shorter side of larger ones is reduced; None leaves every image as it is.
        quality: Of the JPEGs that are made of the larger ones, 1 to 100.
    """

    shorter_side: int | None = 256
    quality: int = 90

    def in_manifest(self) -> dict[str, Any]:
        """As the manifest says it."""
        if self.shorter_side is None:
            return {"kind": "original"}
        return {"kind": "jpeg", "shorter_side": self.shorter_side, "quality": self.quality}

    def size_of(self, width: int, height: int) -> tuple[int, int] | None:
        """Width and height to which an image is reduced, as torchvision's Resize rounds them; None if it stays."""
        side = self.shorter_side
        if side is None or min(width, height) <= side:
            return None
        return (side, side * height // width) if width <= height else (side * width // height, side)


class Stored(NamedTuple):
    """What a prepared copy holds of an image.

    Attributes:
        data: A JPEG.
        width: Its width.
        height: Its height.
        what: What was odd about the published file; empty for an ordinary one.
        action: kept or converted.
    """

    data: bytes
    width: int
    height: int
    what: str = ""
    action: str = "kept"


def convert(data: bytes, encoding: Encoding) -> Stored:
    """Make of a published file what is stored of it.

    An ordinary JPEG that is not reduced stays byte for byte what it was. EXIF orientation is ignored, as ImageFolder
    ignores it and as the official bounding boxes want it.

    Args:
        data: The published file.
        encoding: What is to be done to ordinary images.

    Raises:
        BrokenImageError: The file is empty, truncated, too large, or no image.
    """
    if not data:
        raise BrokenImageError("it has no bytes")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        image = _open(data)
        odd = [*_oddities(image, data)]
        if _has_bad_exif(image) or (
            "exif" in image.info and any(warning.category is UserWarning for warning in caught)
        ):
            odd.append("exif")
    if image.format in JPEG and image.mode in ("L", "RGB"):
        try:
            return _of_ordinary(data, image, encoding)._replace(what=", ".join(odd))
        except ValueError as error:
            if "remature end" in str(error):
                raise BrokenImageError(f"it is truncated ({error})") from None
            odd.append("damaged")  # PIL decides whether it can be read: most warnings are about harmless bytes
    return _of_odd(image, encoding)._replace(what=", ".join(odd), action="converted")


def _open(data: bytes) -> Image.Image:
    """Read the header only: a few bytes may claim gigabytes of pixels."""
    try:
        image: Image.Image = Image.open(io.BytesIO(data), formats=PIL_FORMATS)
    except Image.DecompressionBombError as error:
        raise BrokenImageError(f"it is too large ({error})") from None
    except Exception:  # a decoder that is fed any bytes may raise anything
        raise BrokenImageError(f"it is no image of a kind that is read here ({', '.join(PIL_FORMATS)})") from None
    if image.width * image.height > MAX_PIXELS:
        raise BrokenImageError(f"it is too large ({image.width} x {image.height} pixels, at most {MAX_PIXELS:,})")
    return image


def _oddities(image: Image.Image, data: bytes) -> list[str]:
    if image.format not in JPEG:
        sixteen_bits = image.format == "PNG" and data[24] == 16  # the header's bit depth
        return [f"16-bit {image.format}".lower() if sixteen_bits else str(image.format).lower()]
    return {"L": ["gray"], "RGB": []}.get(image.mode, [image.mode.lower()])


def _has_bad_exif(image: Image.Image) -> bool:
    try:
        image.getexif()
    except Exception:  # a decoder that is fed any bytes may raise anything
        return True
    return False


def _of_ordinary(data: bytes, image: Image.Image, encoding: Encoding) -> Stored:
    """Decode strictly, which finds every truncation; ValueError if libjpeg-turbo has anything to say."""
    colors = "GRAY" if image.mode == "L" else "RGB"
    size = encoding.size_of(*image.size)
    if size is None:
        simplejpeg.decode_jpeg(data, colors, min_height=1, min_width=1, min_factor=8, strict=True)
        return Stored(data, *image.size)
    # twice the size, so that the scaling in the transform costs no sharpness
    pixels = simplejpeg.decode_jpeg(data, colors, min_height=2 * size[1], min_width=2 * size[0], strict=True)
    return Stored(_encoded(_resized(pixels, size), encoding.quality), *size)


def _of_odd(image: Image.Image, encoding: Encoding) -> Stored:
    try:
        pixels = _pixels(image)
    except MemoryError:
        raise
    except Exception as error:  # a decoder that is fed any bytes may raise anything
        raise BrokenImageError(f"it is truncated or damaged ({error})") from None
    size = encoding.size_of(*image.size)
    if size is None:
        return Stored(_encoded(pixels, CONVERTED_QUALITY), *image.size)
    return Stored(_encoded(_resized(pixels, size), encoding.quality), *size)


def _pixels(image: Image.Image) -> npt.NDArray[np.uint8]:
    image.load()
    if image.mode.startswith("I"):  # 16 bits gray
        image = eight_bits(image)
    return np.asarray(image if image.mode == "L" and image.format in JPEG else image.convert("RGB"))


def _resized(pixels: npt.NDArray[np.uint8], size: tuple[int, int]) -> npt.NDArray[np.uint8]:
    image = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
    return np.asarray(image.resize(size, Image.Resampling.LANCZOS))


def _encoded(pixels: npt.NDArray[np.uint8], quality: int) -> bytes:
    gray = pixels.ndim == 2
    rows = np.ascontiguousarray(pixels[..., None] if gray else pixels)
    subsampling = "Gray" if gray else "420"
    encoded: bytes = simplejpeg.encode_jpeg(rows, quality, "GRAY" if gray else "RGB", subsampling, fastdct=False)
    return encoded
