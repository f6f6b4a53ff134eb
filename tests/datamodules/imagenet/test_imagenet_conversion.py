"""From a published file to the JPEG that is stored: ordinary ones untouched, odd ones right, broken ones refused."""

import io

import numpy as np
import pytest
import simplejpeg
from PIL import Image

from datamodules.imagenet.preparation.conversion import Encoding, convert
from datamodules.photographs.decoder import BrokenImageError
from tests.datamodules.imagenet import odd_files
from tests.datamodules.photographs.made_photographs import jpeg, photograph

ORIGINAL = Encoding(shorter_side=None)


def pixels(data: bytes) -> np.ndarray:
    return simplejpeg.decode_jpeg(data, "RGB", strict=True).astype(int)


def by_pil(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"), int)


@pytest.mark.parametrize("encoding", [ORIGINAL, Encoding(90), Encoding(500)])
def test_an_ordinary_photograph_that_is_not_reduced_keeps_its_bytes(encoding: Encoding) -> None:
    stored = convert(odd_files.ORDINARY, encoding)
    assert stored == (odd_files.ORDINARY, 120, 90, "", "kept")


@pytest.mark.parametrize(("size", "reduced"), [((500, 375), (85, 64)), ((375, 500), (64, 85)), ((300, 300), (64, 64))])
def test_a_larger_photograph_is_reduced_as_pil_reduces_it(size: tuple[int, int], reduced: tuple[int, int]) -> None:
    image = photograph(0, size)
    stored = convert(jpeg(image), Encoding(64, quality=95))
    assert stored[1:] == (*reduced, "", "kept")
    wanted = np.asarray(image.resize(reduced, Image.Resampling.LANCZOS), int)
    assert np.abs(pixels(stored.data) - wanted).mean() < 6  # of 255; the smooth test images have noise in their colors
    assert pixels(stored.data).shape == wanted.shape


def test_quality_is_that_of_the_jpeg() -> None:
    data = jpeg(photograph(0, (500, 375)))
    sizes = [len(convert(data, Encoding(128, quality)).data) for quality in (50, 90, 98)]
    assert sizes == sorted(sizes)
    assert sizes[0] < sizes[2] / 2


@pytest.mark.parametrize(
    ("data", "what", "action"),
    [
        (odd_files.GRAY, "gray", "kept"),
        (odd_files.BAD_EXIF, "exif", "kept"),
        (odd_files.ROTATED, "", "kept"),
        (odd_files.CMYK, "cmyk", "converted"),
        (odd_files.PNG, "png", "converted"),
        (odd_files.GRAY_16, "16-bit png", "converted"),
        (odd_files.COLOR_16, "16-bit png", "converted"),
        (odd_files.HARMLESS, "damaged", "converted"),
    ],
)
@pytest.mark.parametrize("encoding", [ORIGINAL, Encoding(45, 95)])
def test_an_odd_file_is_named_and_its_pixels_are_right(data: bytes, what: str, action: str, encoding: Encoding) -> None:
    stored = convert(data, encoding)
    assert (stored.what, stored.action) == (what, action)
    if what == "16-bit png":
        wanted = np.repeat(odd_files.RAMP[..., None] / 257, 3, axis=2)
        if data is odd_files.COLOR_16:
            wanted = np.stack([wanted[..., 0], wanted[:, ::-1, 0], wanted[..., 0] / 2], axis=-1)
    else:
        wanted = by_pil(data)
    if encoding is not ORIGINAL:
        reduced = Image.fromarray(np.round(wanted).astype(np.uint8)).resize((60, 45), Image.Resampling.LANCZOS)
        wanted = np.asarray(reduced, int)
    found = pixels(stored.data)
    assert found.shape == wanted.shape == (stored.height, stored.width, 3)
    assert np.abs(found - wanted).mean() < 6  # of 255; the smooth test images have noise in their colors


def test_a_gray_photograph_stays_gray_when_it_is_reduced() -> None:
    stored = convert(odd_files.GRAY, Encoding(45))
    assert Image.open(io.BytesIO(stored.data)).mode == "L"


@pytest.mark.parametrize("case", odd_files.BROKEN)
@pytest.mark.parametrize("encoding", [ORIGINAL, Encoding(45)])
def test_a_broken_file_is_refused(case: str, encoding: Encoding) -> None:
    data, word = odd_files.BROKEN[case]
    with pytest.raises(BrokenImageError, match=word):
        convert(data, encoding)
