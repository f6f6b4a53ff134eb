"""Boxes of the official archives are read whatever their layout, once, and nothing else is taken for one."""

import gzip
import io
import os
import tarfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest

from datamodules.imagenet import bounding_boxes
from datamodules.imagenet.bounding_boxes import MAX_BYTES, Boxes, annotation, read_bounding_boxes

VAL, TRAIN = "ILSVRC2012_val_00000001", "n01440764_10040"


def xml(*boxes: tuple[str, int, int, int, int], size: tuple[int, int] = (500, 375)) -> bytes:
    """A file as ILSVRC has them."""
    objects = "".join(
        f"<object><name>{name}</name><pose>Unspecified</pose><truncated>0</truncated><difficult>0</difficult><bndbox>"
        f"<xmin>{left}</xmin><ymin>{top}</ymin><xmax>{right}</xmax><ymax>{bottom}</ymax></bndbox></object>"
        for name, left, top, right, bottom in boxes
    )
    width, height = size
    return (
        "<annotation><folder>val</folder><filename>%s</filename><source><database>ILSVRC_2012</database></source><size>"
        f"<width>{width}</width><height>{height}</height><depth>3</depth></size><segmented>0</segmented>{objects}"
        "</annotation>"
    ).encode()


def tar(files: Iterable[tuple[str, bytes]], compressed: bool = True) -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz" if compressed else "w") as archive:
        folder = tarfile.TarInfo("val")
        folder.type = tarfile.DIRTYPE
        archive.addfile(folder)
        for name, data in files:
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return content.getvalue()


def write(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


ONE = xml(("n01440764", 10, 20, 109, 219))
TWO = xml(("n01440764", 0, 0, 499, 374), ("n01440764", 3, 4, 5, 6))


def archive_of_folders(root: Path) -> Path:
    return write(root / "a.tar.gz", tar([(f"val/{VAL}.xml", ONE), (f"./n01440764/{TRAIN}.xml", TWO)]))


def uncompressed_archive(root: Path) -> Path:
    return write(root / "a.tar", tar([(f"{VAL}.xml", ONE), (f"{TRAIN}.xml", TWO)], compressed=False))


def archive_of_archives(root: Path) -> Path:
    inner = tar([(f"Annotation/n01440764/{TRAIN}.xml", TWO)])
    return write(root / "a.tar.gz", tar([("n01440764.tar.gz", inner), (f"{VAL}.xml", ONE)]))


def folder(root: Path) -> Path:
    write(root / "boxes" / "val" / f"{VAL}.xml", ONE)
    write(root / "boxes" / "train" / "n01440764.tar.gz", tar([(f"{TRAIN}.xml", TWO)]))
    write(root / "boxes" / "readme.txt", b"not a box")
    return root / "boxes"


@pytest.mark.parametrize("layout", [archive_of_folders, uncompressed_archive, archive_of_archives, folder])
def test_every_layout_gives_the_same(layout, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    boxes = read_bounding_boxes(layout(tmp_path), tmp_path / "cache")
    assert list(boxes) == [VAL, TRAIN]
    assert boxes[VAL].corners.tolist() == [[10, 20, 109, 219]]
    assert boxes[TRAIN].corners.tolist() == [[0, 0, 499, 374], [3, 4, 5, 6]]
    assert (boxes[VAL].width, boxes[VAL].height) == (500, 375)
    assert "n01440764_1" not in boxes
    assert "n01440764_100400000000000" not in boxes


def test_a_photograph_of_another_size_is_covered_to_the_same_share() -> None:
    boxes = Boxes(np.array([[0, 0, 499, 374], [100, 75, 299, 224]], np.int32), 500, 375)
    assert boxes.scaled_to(500, 375).tolist() == boxes.corners.tolist()
    assert boxes.scaled_to(250, 750).tolist() == [[0, 0, 249, 749], [50, 150, 149, 449]]


def test_annotations_are_taken_as_they_are_meant() -> None:
    of_two = xml(("n01440764", 9, 8, 1, 2), ("n09999999", 1, 1, 2, 2), ("Scottish_deerhound", 5, 5, 6, 6))
    read = annotation(of_two, TRAIN)
    assert read is not None
    assert read.corners.tolist() == [[1, 2, 9, 8], [5, 5, 6, 6]]
    val = annotation(of_two, VAL)
    assert val is not None
    assert len(val.corners) == 3
    assert annotation(xml(), VAL) is None
    assert annotation(xml(("n09999999", 1, 1, 2, 2)), TRAIN) is None


BOMB = b'<!DOCTYPE a [<!ENTITY x "y"><!ENTITY z "&x;&x;">]><annotation>&z;</annotation>'


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "no element found"),
        (ONE[:-20], "no element found|unclosed token"),
        (b"<annotation/>", "no size/width"),
        (ONE.replace(b"<xmax>109</xmax>", b""), "no bndbox/xmax"),
        (ONE.replace(b"109", b"1e9"), "xmax is '1e9'"),
        (ONE.replace(b"109", b"9999999"), "xmax is"),
        (xml(("n01440764", 1, 1, 2, 2), size=(0, 375)), "0x375 pixels"),
        (BOMB, "document type"),
        (BOMB.decode().encode("utf-16"), "document type"),
        (ONE + b" " * MAX_BYTES, "bytes"),
        (b"<?xml version='1.0' encoding='nonsense'?>" + ONE, "encoding"),
    ],
)
def test_a_broken_file_is_named(content: bytes, reason: str, tmp_path: Path) -> None:
    write(tmp_path / "val" / f"{VAL}.xml", content)
    with pytest.raises(ValueError, match=rf"{VAL}.xml of .* is not an annotation of PASCAL VOC \(.*({reason})"):
        read_bounding_boxes(tmp_path)


@pytest.mark.parametrize(
    "name", ["../n01440764_1.xml", "/n01440764_1.xml", "val/evil.xml", "n01440764_1.xml.py", "val"]
)
def test_unexpected_members_are_refused(name: str, tmp_path: Path) -> None:
    archive = write(tmp_path / "a.tgz", tar([(f"{VAL}.xml", ONE), (name, ONE)]))
    with pytest.raises(ValueError, match=r"a\.tgz holds '.*', which no official archive does: name an official"):
        read_bounding_boxes(archive, tmp_path / "cache")
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a.tgz"]


def test_damaged_archives_are_refused(tmp_path: Path) -> None:
    files = [(f"n01440764/n01440764_{number}.xml", ONE) for number in range(200)]
    plain, packed = tar(files, compressed=False), tar(files)
    flipped = bytearray(gzip.compress(plain, compresslevel=0))
    flipped[len(flipped) // 2] ^= 1  # in the middle of a file, which stays readable or not
    second_header = bytearray(plain)
    second_header[512 + 1024 * 3] ^= 1
    damaged = {
        "short.tgz": packed[:-100],
        "flipped.tgz": bytes(flipped),
        "header.tar": bytes(second_header),
        "no.tgz": b"",
    }
    for name, content in damaged.items():
        with pytest.raises(ValueError, match=rf"{name}.*(download it again|completely|restore)"):
            read_bounding_boxes(write(tmp_path / name, content), tmp_path / "cache")
    large = write(tmp_path / "large.tgz", tar([(f"{VAL}.xml", bytes(MAX_BYTES + 1))]))
    with pytest.raises(ValueError, match="bytes, more than any annotation has"):
        read_bounding_boxes(large, tmp_path / "cache")
    for missing, reason in (("none.tgz", "No such file"), ("empty", "holds no bounding boxes")):
        (tmp_path / "empty").mkdir(exist_ok=True)
        with pytest.raises(ValueError, match=rf"{missing}.*{reason}.*ILSVRC2012_bbox_val_v3.tgz"):
            read_bounding_boxes(tmp_path / missing, tmp_path / "cache")


def test_an_archive_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive, cache = archive_of_folders(tmp_path), tmp_path / "cache"
    first = read_bounding_boxes(archive, cache)
    with monkeypatch.context() as patch:
        patch.setattr(bounding_boxes, "annotation", lambda *_: pytest.fail("read again"))
        again = read_bounding_boxes(archive, cache)
    assert list(first) == list(again)
    for name, boxes in first.items():
        assert np.array_equal(boxes.corners, again[name].corners)
        assert (boxes.width, boxes.height) == (again[name].width, again[name].height)
    (kept,) = cache.iterdir()

    kept.write_bytes(kept.read_bytes()[:100])  # a kept file that is damaged is made again
    assert list(read_bounding_boxes(archive, cache)) == [VAL, TRAIN]

    write(archive, tar([(f"val/{VAL}.xml", TWO)]))  # another archive of the same name
    os.utime(archive, ns=(1, 1))
    assert len(read_bounding_boxes(archive, cache)[VAL].corners) == 2


def test_boxes_need_no_cache(tmp_path: Path) -> None:
    blocked = write(tmp_path / "cache", b"a file where the folder would be")
    with pytest.warns(UserWarning, match="not kept"):
        assert len(read_bounding_boxes(archive_of_folders(tmp_path), blocked)) == 2
