"""Views cut while decoding: the pixels of PIL where promised, close to them elsewhere, errors for the rest."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from datamodules.photographs import decoder
from datamodules.photographs.decoder import BrokenImageError, decode, exact_view, fast_view
from tests.datamodules.photographs.made_photographs import jpeg, photograph


def with_pil(data: bytes, box: tuple[float, float, float, float], size: tuple[int, int]) -> np.ndarray:
    left, top, width, height = box
    image = Image.open(io.BytesIO(data)).convert("RGB")
    return np.asarray(
        image.resize(size[::-1], Image.Resampling.BILINEAR, box=(left, top, left + width, top + height)), int
    )


def fast(data: bytes, box: tuple[float, float, float, float], size: int = 224, mirrored: bool = False) -> np.ndarray:
    into = np.zeros((size, size, 3), np.uint8)
    fast_view(data, box, into, mirrored, Image.open(io.BytesIO(data)).size)
    return into.astype(int)


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0}])
def test_whole_photographs_are_those_of_pil(mode: str, options: dict[str, Any]) -> None:
    data = jpeg(photograph(0).convert(mode), **options)
    assert np.array_equal(decode(data), np.asarray(Image.open(io.BytesIO(data)).convert("RGB")))


def test_a_png_under_another_name_is_read() -> None:
    content = io.BytesIO()
    photograph(0).save(content, "PNG")
    assert np.array_equal(decode(content.getvalue()), np.asarray(photograph(0)))


def test_the_tag_of_orientation_is_ignored() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    assert decode(jpeg(photograph(0), exif=exif)).shape == (240, 320, 3)


@pytest.mark.parametrize("box", [(0, 0, 320, 240), (13.7, 5.2, 201.3, 150.9), (100.5, 0, 219.5, 240), (40, 30, 60, 60)])
@pytest.mark.parametrize("size", [(224, 224), (64, 96)])
def test_exact_views_are_those_of_pil(box: tuple[float, float, float, float], size: tuple[int, int]) -> None:
    data = jpeg(photograph(1))
    difference = np.abs(exact_view(data, box, size) - with_pil(data, box, size))
    assert difference.max() <= 1  # where rounding decides
    assert difference.mean() < 0.2


@pytest.mark.parametrize("size", [(500, 375), (2000, 1500), (120, 90)])
@pytest.mark.parametrize("share", [0.15, 0.6, 1.0])
def test_fast_views_are_close_to_those_of_pil(size: tuple[int, int], share: float) -> None:
    data = jpeg(photograph(2, size))
    width, height = int(size[0] * share), int(size[1] * share)
    box = (size[0] - width, size[1] - height, width, height)
    difference = fast(data, box) - with_pil(data, box, (224, 224))
    assert abs(difference.mean()) < 1
    assert np.abs(difference).mean() < 4
    mirrored = fast(data, box, mirrored=True)
    assert np.array_equal(mirrored, fast(data, box)[:, ::-1])


def test_fast_views_decode_large_photographs_at_a_fraction_of_their_size(monkeypatch: pytest.MonkeyPatch) -> None:
    shapes = []
    plain = decoder.simplejpeg.decode_jpeg

    def noted(*arguments: Any, **options: Any) -> np.ndarray:
        pixels = plain(*arguments, **options)
        shapes.append(pixels.shape[:2])
        return pixels

    monkeypatch.setattr(decoder.simplejpeg, "decode_jpeg", noted)
    data = jpeg(photograph(3, (2000, 1600)))
    for side, expected in ((1600, (400, 500)), (900, (400, 500)), (895, (800, 1000)), (447, (1600, 2000))):
        fast(data, (0, 0, side, side))
        assert shapes.pop() == expected


def test_fast_views_of_one_pixel_and_at_the_border() -> None:
    data = jpeg(photograph(4))
    for box in ((0, 0, 1, 1), (319, 239, 1, 1), (0, 239.2, 320, 0.7)):
        assert fast(data, box, size=8).any()


def sixteen_bits() -> bytes:
    content = io.BytesIO()
    Image.fromarray(np.full((8, 8), 40_000, np.uint16)).save(content, "PNG")
    return content.getvalue()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "empty"),
        (b"no image", "neither JPEG nor PNG"),
        (jpeg(photograph(5))[:-2000], "truncated"),
        (jpeg(photograph(5))[:300], "[Tt]runcated"),
        (sixteen_bits(), "16 bits"),
    ],
)
def test_what_cannot_be_decoded_is_refused(data: bytes, message: str) -> None:
    with pytest.raises(BrokenImageError, match=message):
        decode(data)
    with pytest.raises(BrokenImageError, match=message):
        fast_view(data, (0, 0, 8, 8), np.zeros((8, 8, 3), np.uint8), False, (320, 240))


def test_photographs_of_too_many_pixels_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoder, "MAX_PIXELS", 100 * 100)
    with pytest.raises(BrokenImageError, match="320x240 pixels, more than the 10,000"):
        decode(jpeg(photograph(6)))
    content = io.BytesIO()
    photograph(6).save(content, "PNG")
    with pytest.raises(BrokenImageError, match="320x240 pixels"):
        decode(content.getvalue())


def test_fast_views_of_photographs_differ_by_no_more_than_resampling(real_images: Path) -> None:
    differences, by_bicubic = [], []
    for path in sorted(real_images.glob("imagenet-sample/val/*/*"))[:50]:
        data = path.read_bytes()
        width, height = Image.open(path).size
        box = (width // 8, height // 8, width * 3 // 4, height * 3 // 4)
        expected = with_pil(data, box, (224, 224))
        differences.append(np.abs(fast(data, box) - expected).mean())
        left, top, *_ = box
        image = Image.open(path).convert("RGB").crop((left, top, left + box[2], top + box[3]))
        other = np.asarray(image.resize((224, 224), Image.Resampling.BICUBIC), int)
        by_bicubic.append(np.abs(other - expected).mean())
    assert np.median(differences) < 2 * np.median(by_bicubic)
