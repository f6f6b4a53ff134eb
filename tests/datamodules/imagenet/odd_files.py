"""Files that are not ordinary JPEGs, of every kind that ImageNet has or that one meets instead of it."""

import io
import struct
import zlib

import numpy as np
from PIL import Image

from tests.datamodules.photographs.made_photographs import jpeg, photograph


def png(image: Image.Image) -> bytes:
    content = io.BytesIO()
    image.save(content, "PNG")
    return content.getvalue()


def png_of(pixels: np.ndarray) -> bytes:
    """A PNG of 16 bits, gray (H, W) or RGB (H, W, 3), written by hand, for PIL writes no RGB of 16 bits."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    height, width = pixels.shape[:2]
    header = struct.pack(">IIBBBBB", width, height, 16, 0 if pixels.ndim == 2 else 2, 0, 0, 0)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def with_exif(data: bytes, exif: bytes) -> bytes:
    """A JPEG with such an EXIF segment, whatever is in it."""
    segment = b"Exif\0\0" + exif
    return data[:2] + b"\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment + data[2:]


def claiming(data: bytes, width: int, height: int) -> bytes:
    """A JPEG whose header claims another size."""
    place = data.index(b"\xff\xc0") + 5
    return data[:place] + struct.pack(">HH", height, width) + data[place + 4 :]


ORDINARY = jpeg(photograph(1, (120, 90)))
# one entry of text at an offset behind the end
BAD_EXIF = with_exif(ORDINARY, b"II*\0\x08\0\0\0\x01\0\x0f\x01\x02\0\x20\0\0\0\xff\0\0\0\0\0\0\0")
# rotated by 90 degrees
ROTATED = with_exif(ORDINARY, b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0")
GRAY = jpeg(photograph(2, (120, 90)).convert("L"))
CMYK = jpeg(photograph(3, (120, 90)).convert("CMYK"))
PNG = png(photograph(4, (120, 90)))
RAMP = np.tile(np.linspace(0, 65535, 120).astype(np.uint16), (90, 1))
GRAY_16 = png_of(RAMP)
COLOR_16 = png_of(np.stack([RAMP, RAMP[:, ::-1], RAMP // 2], axis=-1))
HARMLESS = ORDINARY[:-2] + b"\1\2\3\xff\xd9"  # bytes before the end of which libjpeg complains
# what ends a preparation, with a word of the message
BROKEN = {
    "empty": (b"", "no bytes"),
    "truncated": (ORDINARY[: len(ORDINARY) // 2], "truncated"),
    "truncated with an end": (ORDINARY[: len(ORDINARY) // 2] + b"\xff\xd9", "truncated"),
    "truncated png": (PNG[: len(PNG) // 2], "truncated or damaged"),
    "text": (b"<html>not found</html>", "no image"),
    "300 megapixels": (claiming(ORDINARY, 20_000, 15_000), "too large"),
    "120 megapixels": (claiming(ORDINARY, 12_000, 10_000), "too large"),
}
