"""The units of a preparation: shards, or classes of a tree. A unit is finished and recorded, or done again.

What is in a unit, and in which order, depends on the photographs and the options alone, never on the number of worker
processes; so the result is the same bytes however often it was interrupted.
"""

import io
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from datamodules.imagenet.preparation.conversion import Encoding
from datamodules.photographs.index import Odd, Shard
from records.files import write_json, write_whole

NOTES = ".prepare"
_BYTES_AT_256 = 35_000  # of a photograph at a shorter side of 256 and quality 90; 29,500 on average
_BYTES_IN_TAR = 1_800  # two headers, a label, and padding
_MIN_SHARD_BYTES = 8 << 20
_MAX_SHARDS_OF_SMALL_SETS = 64


@dataclass(frozen=True)
class Unit:
    """What one process does in one go.

    Attributes:
        split: train or val.
        number: Of the unit in its split.
        rows: Places of its photographs in the split.
        images: One `ORIGINAL` for each.
    """

    split: str
    number: int
    rows: npt.NDArray[np.intp]
    images: npt.NDArray[Any]

    @property
    def name(self) -> str:
        """Name of its record."""
        return f"{self.split}-{self.number:05d}"


class Finished(NamedTuple):
    """What is recorded of a finished unit.

    Attributes:
        records: One `RECORD` for each of its photographs; of one that was left out, size is 0.
        shard: Its file; None in a tree.
        odd: Photographs that were not ordinary.
    """

    records: npt.NDArray[Any]
    shard: Shard | None
    odd: tuple[Odd, ...]


def plan_units(split: str, images: npt.NDArray[Any], layout: str, encoding: Encoding, shard_bytes: float) -> list[Unit]:
    """Cut a split into units.

    Shards are contiguous parts of the split in the order of its index, which for training is that of the classes:
    photographs are read in any order, so nothing would be gained by shuffling them here. A small set has shards
    smaller than asked for, so that all processes have work.

    Args:
        split: train or val.
        images: One `ORIGINAL` for each photograph.
        layout: shards or tree.
        encoding: What is done to ordinary images.
        shard_bytes: About how large a shard may be.

    Returns:
        The units.
    """
    if layout == "tree":
        parts = [np.flatnonzero(images["label"] == label) for label in np.unique(images["label"])]
    else:
        ends = np.cumsum(expected_bytes(images, encoding))
        limit = min(shard_bytes, max(float(ends[-1]) / _MAX_SHARDS_OF_SMALL_SETS, _MIN_SHARD_BYTES))
        shard_of_row = ((ends - 1) // limit).astype(int)
        parts = np.split(np.arange(len(images)), np.flatnonzero(np.diff(shard_of_row)) + 1)
    return [Unit(split, number, rows, images[rows]) for number, rows in enumerate(parts)]


def expected_bytes(images: npt.NDArray[Any], encoding: Encoding) -> npt.NDArray[np.int64]:
    """About how much of a disk each photograph will take.

    Args:
        images: One `ORIGINAL` for each photograph.
        encoding: What is done to ordinary images.
    """
    size = images["size"].astype(np.int64)
    if encoding.shorter_side is not None:
        size = np.minimum(size, round(_BYTES_AT_256 * (encoding.shorter_side / 256) ** 2))
    return size + _BYTES_IN_TAR


def record(unit: Unit, facts: Finished, destination: Path) -> None:
    """Record that a unit is finished.

    Args:
        unit: Which.
        facts: What there is to say of it.
        destination: Folder of the prepared copy.
    """
    path = destination / NOTES / unit.name
    content = io.BytesIO()
    np.save(content, facts.records)
    write_whole(path.with_suffix(".npy"), content.getvalue())
    rest = {"shard": facts.shard and asdict(facts.shard), "odd": [asdict(entry) for entry in facts.odd]}
    write_json(path.with_suffix(".json"), rest)


def finished(unit: Unit, destination: Path) -> Finished | None:
    """What is recorded of a unit; None if it is not finished.

    Args:
        unit: Which.
        destination: Folder of the prepared copy.
    """
    path = destination / NOTES / unit.name
    try:
        content = json.loads(path.with_suffix(".json").read_text())
        records = np.load(path.with_suffix(".npy"))
    except (OSError, ValueError):
        return None
    shard = content["shard"] and Shard(**content["shard"])
    return Finished(records, shard, tuple(Odd(**entry) for entry in content["odd"]))
