"""The published photographs, found and not yet read."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from datamodules.photographs.index import ImageClass

ORIGINAL = np.dtype([("name", "S32"), ("label", "<i4"), ("offset", "<u8"), ("size", "<u8")])


@dataclass(frozen=True)
class Originals:
    """Photographs that have been found, and their classes.

    Attributes:
        classes: In the order of their labels.
        images: For each split, one `ORIGINAL` for each photograph, in the order of the index.
        places: For each split, its archive or its folder.
        source: What the manifest says of them.
        verified: Whether they are from the published archives, as their MD5 says.
    """

    classes: tuple[ImageClass, ...]
    images: dict[str, npt.NDArray[Any]]
    places: dict[str, Path]
    source: dict[str, Any]
    verified: bool


def labeled(members: npt.NDArray[Any], wnids: tuple[str, ...]) -> npt.NDArray[Any]:
    """Give photographs their labels.

    Args:
        members: With wnid, name, offset and size.
        wnids: Classes in the order of their labels.

    Returns:
        One `ORIGINAL` for each.
    """
    images = np.zeros(len(members), ORIGINAL)
    for name in ("name", "offset", "size"):
        images[name] = members[name]
    images["label"] = np.searchsorted(np.array(wnids), members["wnid"].astype(str))
    return images


@contextmanager
def reading(place: Path, wnids: tuple[str, ...]) -> Iterator[Callable[[Any], bytes]]:
    """Open an archive or a folder, and get a function that reads an `ORIGINAL` of it.

    Args:
        place: The archive or the folder.
        wnids: Classes in the order of their labels.

    Yields:
        The function. It raises ValueError if the disk or the network fails, which is no fault of the image.
    """
    if place.is_dir():
        yield lambda image: _read_file(place / wnids[image["label"]] / image["name"].decode())
        return
    with _errors_of_reading(place):
        file = place.open("rb", buffering=0)
    with file:
        yield lambda image: _read_part(place, file.fileno(), int(image["offset"]), int(image["size"]))


def _read_file(path: Path) -> bytes:
    with _errors_of_reading(path):
        return path.read_bytes()


def _read_part(path: Path, descriptor: int, offset: int, size: int) -> bytes:
    with _errors_of_reading(path):
        data = os.pread(descriptor, size, offset)
    if len(data) != size:
        raise ValueError(f"{path} ends before byte {offset + size:,}: download it again.")
    return data


@contextmanager
def _errors_of_reading(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ValueError(f"{path} cannot be read ({error}): restore it, and give the same command again.") from None
