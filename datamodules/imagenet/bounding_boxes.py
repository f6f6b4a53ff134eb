"""The bounding boxes of ILSVRC's photographs, read from the official archives without unpacking anything.

    ILSVRC2012_bbox_val_v3.tgz        val/ILSVRC2012_val_00000001.xml …
    ILSVRC2012_bbox_train_v2.tar.gz   n01440764/n01440764_10040.xml …, of some photographs of each class

or the same files in a folder. Of either, folders may be called as they like, and a class may be an archive of its own
(n01440764.tar.gz), as those of image-net.org are: only the name of the file counts.

The files are in the format of PASCAL VOC. Both corners of a box belong to it, so its width is xmax - xmin + 1, as in
the development kit's evaluation (compute_overlap.m). Whether the first pixel is 0 or 1 the kit does not say; here it is
0, as in TensorFlow's records (tensorflow/models, process_bounding_boxes.py). What that file knows of the annotations
holds here too: corners may be mixed up, the <filename> inside may be "%s", and an object in a training photograph may
have another class, for which it is left out, or the class in words, for which it is not.
"""

import gzip
import hashlib
import io
import json
import os
import re
import tarfile
import warnings
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from datamodules.photographs.reader import CACHE
from records.files import write_whole

FORMAT = 1
MAX_BYTES = 1 << 20  # of a file; those of the archives have some hundred
MAX_CLASS_BYTES = 64 << 20

_FOLDERS = r"(?:\./)?(?:[\w-]+/)*"
_FILE = re.compile(_FOLDERS + r"(n\d{8}_\d{1,8}|ILSVRC2012_val_\d{8})\.xml", re.ASCII)
_CLASS = re.compile(_FOLDERS + r"n\d{8}\.tar(?:\.gz)?", re.ASCII)
_WNID = re.compile(r"n\d{8}", re.ASCII)
_CHUNK_BYTES = 1 << 20
_GZIP = b"\x1f\x8b"


@dataclass(frozen=True)
class Boxes:
    """The boxes of one photograph.

    Attributes:
        corners: int32; left, top, right and bottom pixel of each box, which belong to it. Shape (M, 4).
        width: Pixels of the photograph that was annotated; the published one may have another size.
        height: Likewise.
    """

    corners: NDArray[np.int32]
    width: int
    height: int

    def scaled_to(self, width: int, height: int) -> NDArray[np.float64]:
        """Corners in a photograph of this size, fractions of pixels; both still belong to the box. Shape (M, 4)."""
        ratio = np.array([width / self.width, height / self.height] * 2)
        beyond = np.array([0, 0, 1, 1])  # the edges of a box are scaled, not the middles of its pixels
        return (self.corners + beyond) * ratio - beyond


def read_bounding_boxes(path: Path, cache: Path = CACHE) -> dict[str, Boxes]:
    """Read the boxes of an archive or a folder; those of an archive are kept, and read once.

    They are sorted by the name of their photograph without its ending, such as n01440764_10040.

    Args:
        path: The archive, or a folder with its files.
        cache: Folder in which they are kept, as long as size and time of the archive stay the same.

    Raises:
        ValueError: It is missing or damaged, or a file of it is not an annotation.
    """
    if path.is_dir():
        return _collect(path, _files_of_folder(path))
    try:
        status = path.stat()
    except OSError as error:
        raise ValueError(
            f"{path} cannot be read ({error.strerror}): name ILSVRC2012_bbox_val_v3.tgz, "
            "ILSVRC2012_bbox_train_v2.tar.gz or a folder with their files."
        ) from None
    key = f"{FORMAT} {path.resolve()} {status.st_size} {status.st_mtime_ns}"
    cached = cache / f"bounding-boxes-{hashlib.sha256(key.encode()).hexdigest()[:32]}.json"
    boxes = _read_cache(cached)
    if boxes is None:
        boxes = _collect(path, _files_of_archive(path))
        _write_cache(boxes, cached)
    return boxes


def annotation(content: bytes, name: str) -> Boxes | None:
    """Boxes in the content of one file; None if there are none of the photograph's class.

    Args:
        content: The file.
        name: Its name without the ending.

    Raises:
        ValueError: It is not an annotation, larger than any, or declares entities, which no annotation does.
    """
    # Without a document type there are no entities, so nothing can be included or multiplied. A zero byte stands in
    # every text of UTF-16, the only coding that the parser reads in which the words would look otherwise.
    if len(content) > MAX_BYTES:
        raise ValueError(f"it has {len(content):,} bytes")
    if b"\0" in content or b"<!doctype" in content.lower() or b"<!entity" in content.lower():
        raise ValueError("it declares a document type")
    root = ElementTree.fromstring(content)
    width, height = (_number(root, f"size/{side}") for side in ("width", "height"))
    if min(width, height) < 1:
        raise ValueError(f"its photograph has {width}x{height} pixels")
    own = name.split("_", maxsplit=1)[0]
    corners = []
    for element in root.iterfind("object"):
        wnid = (element.findtext("name") or "").strip()
        if _WNID.fullmatch(own) and _WNID.fullmatch(wnid) and wnid != own:
            continue
        left, right = sorted(_number(element, f"bndbox/{side}") for side in ("xmin", "xmax"))
        top, bottom = sorted(_number(element, f"bndbox/{side}") for side in ("ymin", "ymax"))
        corners.append((left, top, right, bottom))
    return Boxes(np.array(corners, np.int32), width, height) if corners else None


def _number(element: ElementTree.Element, path: str) -> int:
    text = element.findtext(path)
    if text is None:
        raise ValueError(f"it has no {path}")
    if not re.fullmatch(r"\s*-?\d{1,6}\s*", text, re.ASCII):
        raise ValueError(f"its {path} is {text[:20]!r}")
    return int(text)


def _collect(path: Path, files: Iterable[tuple[str, bytes]]) -> dict[str, Boxes]:
    found: dict[str, Boxes] = {}
    for where, content in tqdm(files, desc=path.name, unit=" files", disable=None, leave=False):
        name = Path(where).stem
        try:
            boxes = annotation(content, name)
        except (ElementTree.ParseError, ValueError, LookupError) as error:  # LookupError: an unknown coding
            raise ValueError(
                f"{where} of {path} is not an annotation of PASCAL VOC ({error}): restore the official file."
            ) from None
        if boxes is not None:
            found.setdefault(name, boxes)
    if not found:
        raise ValueError(
            f"{path} holds no bounding boxes: name ILSVRC2012_bbox_val_v3.tgz, ILSVRC2012_bbox_train_v2.tar.gz or a "
            "folder with their files."
        )
    return dict(sorted(found.items()))


def _files_of_folder(path: Path) -> Iterator[tuple[str, bytes]]:
    """Name and content of each annotation; other files, such as a readme, are left alone."""
    for folder, _, names in os.walk(path):
        for name in sorted(names):
            file = Path(folder) / name
            try:
                if _FILE.fullmatch(name):
                    with file.open("rb") as opened:
                        yield str(file.relative_to(path)), opened.read(MAX_BYTES + 1)
                elif _CLASS.fullmatch(name):
                    yield from _files_of_archive(file)
            except OSError as error:
                raise ValueError(f"{file} cannot be read ({error.strerror}): restore it.") from None


def _files_of_archive(path: Path) -> Iterator[tuple[str, bytes]]:
    try:
        with path.open("rb") as file:
            yield from _files_of_tar(file, inner=False)
    except (OSError, EOFError, tarfile.TarError, zlib.error) as error:
        raise ValueError(f"{path} cannot be read as an archive ({error}): download it again.") from None
    except _OfficialArchiveError as error:
        raise ValueError(f"{path} {error}: name an official archive, downloaded completely.") from None


class _OfficialArchiveError(Exception):
    """What an archive holds that an official one does not."""


def _files_of_tar(file: IO[bytes], inner: bool) -> Iterator[tuple[str, bytes]]:
    """Name and content of each annotation in a tar, compressed or not; no name that is not expected is looked at."""
    compressed = file.read(2) == _GZIP
    file.seek(0)
    stream = cast(IO[bytes], gzip.GzipFile(fileobj=file)) if compressed else file
    with tarfile.open(fileobj=stream, mode="r:") as tar:
        for member in tar:
            if member.isdir():
                continue
            nested = not inner and _CLASS.fullmatch(member.name)
            if not member.isreg() or not (nested or _FILE.fullmatch(member.name)):
                raise _OfficialArchiveError(f"holds {member.name!r}, which no official archive does")
            if member.size > (MAX_CLASS_BYTES if nested else MAX_BYTES):
                raise _OfficialArchiveError(
                    f"holds {member.name} of {member.size:,} bytes, more than any annotation has"
                )
            content = cast(IO[bytes], tar.extractfile(member)).read()
            if nested:
                yield from _files_of_tar(io.BytesIO(content), inner=True)
            else:
                yield member.name, content
        # tarfile takes a damaged header for the end; and gzip compares its checksum where the file ends.
        stream.seek(tar.offset)
        if stream.read(tarfile.BLOCKSIZE).strip(b"\0"):
            raise _OfficialArchiveError(f"is damaged at byte {tar.offset:,}")
        while stream.read(_CHUNK_BYTES):
            pass


def _read_cache(path: Path) -> dict[str, Boxes] | None:
    """Boxes from an earlier time, if there are any that can be read."""
    try:
        content = json.loads(path.read_bytes())
        return {name: Boxes(np.array(corners, np.int32), *size) for name, (corners, *size) in content.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return None


def _write_cache(found: dict[str, Boxes], path: Path) -> None:
    content = {name: (boxes.corners.tolist(), boxes.width, boxes.height) for name, boxes in found.items()}
    try:
        write_whole(path, json.dumps(content), shared=True)  # each process of a run writes it
    except OSError as error:
        warnings.warn(f"The bounding boxes are not kept for the next time ({error}).", stacklevel=2)
