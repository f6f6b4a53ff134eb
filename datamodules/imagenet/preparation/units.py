"""The units of a preparation: shards, or classes of a tree. A unit is finished and recorded, or done again.

What is in a unit, and in which order, depends on the photographs and the options alone, never on the number of worker
processes; so the result is the same bytes however often it was interrupted.
"""

import hashlib
import io
import json
import os
import shutil
import tarfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from datamodules.imagenet.preparation.classes import ClassChoice
from datamodules.imagenet.preparation.conversion import Encoding, Stored, convert
from datamodules.imagenet.preparation.originals import errors_of_reading, errors_of_writing_to
from datamodules.imagenet.preparation.parquet import RowReader
from datamodules.photographs.decoder import BrokenImageError
from datamodules.photographs.folder import shown
from datamodules.photographs.index import Odd, Shard, record_dtype
from records.files import PART, whole_file, write_json

LAYOUTS = ("shards", "tree")
NOTES = ".prepare"
_BYTES_AT_256 = 35_000  # of a photograph at a shorter side of 256 and quality 90; 29,500 on average
_BYTES_IN_TAR = 1_800  # two headers, a label, and padding
_MIN_SHARD_BYTES = 8 << 20
_MAX_SHARDS_OF_SMALL_SETS = 64


def all_cores() -> int:
    """Number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass(frozen=True)
class Options:
    """How a copy is prepared.

    Attributes:
        layout: shards or tree.
        encoding: What is done to ordinary images.
        shard_megabytes: About how large a shard may be.
        classes: Which classes.
        verify: Whether archives must have their published MD5.
        skip_broken: Whether a broken image is left out instead of ending the preparation.
        workers: Number of processes.

    Raises:
        ValueError: An option is out of its range.
    """

    layout: str = "shards"
    encoding: Encoding = field(default_factory=Encoding)
    shard_megabytes: float = 256
    classes: ClassChoice = None
    verify: bool = True
    skip_broken: bool = False
    workers: int = field(default_factory=all_cores)

    def __post_init__(self) -> None:
        if self.layout not in LAYOUTS:
            raise ValueError(f"--layout {self.layout}: choose {' or '.join(LAYOUTS)}.")
        side = self.encoding.shorter_side
        if side is not None and side < 1:
            raise ValueError(f"--shorter_side {side}: choose at least 1, or original.")
        if not 1 <= self.encoding.quality <= 100:
            raise ValueError(f"--quality {self.encoding.quality}: choose 1 to 100.")
        if not self.shard_megabytes > 0:
            raise ValueError(f"--shard_megabytes {self.shard_megabytes}: choose more than 0.")
        if self.workers < 1:
            raise ValueError(f"--workers {self.workers}: choose at least 1.")

    def identity(self) -> dict[str, Any]:
        """What must stay the same when a preparation goes on."""
        classes = list(self.classes) if isinstance(self.classes, tuple) else self.classes
        kept = {"layout": self.layout, **self.encoding.in_manifest(), "classes": classes}
        return kept | ({"shard_megabytes": self.shard_megabytes} if self.layout == "shards" else {})


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


def plan_units(split: str, images: npt.NDArray[Any], options: Options) -> list[Unit]:
    """Cut a split into units.

    Shards are contiguous parts of the split in the order of its index, which for training is that of the classes:
    photographs are read in any order, so nothing would be gained by shuffling them here. Those of Parquet files, which
    can be read in no other order, stay in theirs. A small set has shards smaller than asked for, so that all processes
    have work.

    Args:
        split: train or val.
        images: One `ORIGINAL` for each photograph.
        options: How the copy is prepared.
    """
    if options.layout == "tree":
        parts = [np.flatnonzero(images["label"] == label) for label in np.unique(images["label"])]
    else:
        in_parquet = np.char.endswith(images["file"], b".parquet").any()
        order = np.lexsort((images["offset"], images["file"])) if in_parquet else np.arange(len(images))
        ends = np.cumsum(expected_bytes(images[order], options.encoding))
        limit = min(options.shard_megabytes * 2**20, max(float(ends[-1]) / _MAX_SHARDS_OF_SMALL_SETS, _MIN_SHARD_BYTES))
        shard_of_row = ((ends - 1) // limit).astype(int)
        parts = np.split(order, np.flatnonzero(np.diff(shard_of_row)) + 1)
    return [Unit(split, number, rows, images[rows]) for number, rows in enumerate(parts)]


def expected_bytes(images: npt.NDArray[Any], encoding: Encoding) -> npt.NDArray[np.int64]:
    """About how many bytes of a disk each photograph, an `ORIGINAL`, will take. Shape (N,) → (N,)."""
    size = images["size"].astype(np.int64)
    if encoding.shorter_side is not None:
        size = np.minimum(size, round(_BYTES_AT_256 * (encoding.shorter_side / 256) ** 2))
    return size + _BYTES_IN_TAR


@dataclass(frozen=True)
class Job:
    """What is the same for all units; travels to the worker processes.

    Attributes:
        destination: Folder of the prepared copy.
        options: How it is prepared.
        wnids: Classes in the order of their labels.
        locations: For each split, its archive or its folder.
    """

    destination: Path
    options: Options
    wnids: tuple[str, ...]
    locations: dict[str, Path]


def write_unit(job: Job, unit: Unit, after_each: Callable[[], None]) -> None:
    """Convert the photographs of a unit, write them, and record the unit.

    Args:
        job: What is the same for all units.
        unit: What to convert.
        after_each: Called after each photograph; what it raises ends the unit and leaves nothing of it.

    Raises:
        ValueError: A photograph is broken, or the disk is full.
    """
    records = np.zeros(len(unit.images), record_dtype(unit.images["name"].itemsize))
    odd: list[Odd] = []
    shard: Shard | None = None
    with errors_of_writing_to(job.destination):
        converted = _converted(unit, job, records, odd, after_each)
        if job.options.layout == "tree":
            with _part_of_folder(job.destination / unit.split / job.wnids[unit.images["label"][0]]) as folder:
                for row, data in converted:
                    path = folder / os.fsdecode(unit.images["name"][row])
                    path.parent.mkdir(parents=True, exist_ok=True)  # of folders within that of a class
                    path.write_bytes(data)
        else:
            file = f"{unit.split}/shard-{unit.number:05d}.tar"
            with whole_file(job.destination / file) as part:
                _write_shard(part, unit, converted, records)
                size = part.tell()
                part.seek(0)
                digest = hashlib.file_digest(part, "sha256").hexdigest()
                shard = Shard(file, int(np.count_nonzero(records["size"])), size, digest)
        _record(unit, Finished(records, shard, tuple(odd)), job.destination)


def _write_shard(
    part: IO[bytes], unit: Unit, converted: Iterator[tuple[int, bytes]], records: npt.NDArray[Any]
) -> None:
    """Write a plain tar of IMAGE.jpg and IMAGE.cls, as `tar` and WebDataset read it, the same bytes every time."""
    with tarfile.open(fileobj=part, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for row, data in converted:
            records["shard"][row], records["offset"][row] = unit.number, tar.offset + tarfile.BLOCKSIZE
            stem, label = stem_of(unit.images["name"][row]), str(unit.images["label"][row]).encode()
            for name, content in ((f"{stem}.jpg", data), (f"{stem}.cls", label)):
                member = tarfile.TarInfo(name)  # time, owner and group 0: nothing that differs between two preparations
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))


def stem_of(name: bytes) -> str:
    """Name of the members of a shard for a published file, without a suffix: WebDataset cuts at the first dot."""
    text = name.decode()
    return (text.rpartition(".")[0] or text).replace(".", "_")


def finished(unit: Unit, destination: Path) -> Finished | None:
    """What is recorded of a unit in the folder of a prepared copy; None if it is not finished."""
    path = destination / NOTES / unit.name
    try:
        content = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        records = np.load(path.with_suffix(".npy"))
    except (OSError, ValueError):
        return None
    shard = content["shard"] and Shard(**content["shard"])
    return Finished(records, shard, tuple(Odd(**entry) for entry in content["odd"]))


def remove_parts(destination: Path) -> None:
    """Remove what interrupted units left in the folder of a prepared copy."""
    for pattern in (f"*{PART}", f"*/*{PART}"):
        for part in destination.glob(pattern):
            if part.is_dir():
                shutil.rmtree(part)
            else:
                part.unlink()


def _record(unit: Unit, facts: Finished, destination: Path) -> None:
    # The .json comes last: without it, the unit is not finished.
    path = destination / NOTES / unit.name
    with whole_file(path.with_suffix(".npy")) as file:
        np.save(file, facts.records)
    rest = {"shard": facts.shard and asdict(facts.shard), "odd": [asdict(entry) for entry in facts.odd]}
    write_json(path.with_suffix(".json"), rest)


def _converted(
    unit: Unit, job: Job, records: npt.NDArray[Any], odd: list[Odd], after_each: Callable[[], None]
) -> Iterator[tuple[int, bytes]]:
    """Row and bytes of each photograph; fills in all of its record but where it lies."""
    with _reading(job.locations[unit.split]) as read:
        for row, image in enumerate(unit.images):
            name = shown(image["name"])
            try:
                stored: Stored | None = convert(read(image), job.options.encoding)
            except BrokenImageError as error:
                if not job.options.skip_broken:
                    raise ValueError(
                        f"{job.locations[unit.split]}: {job.wnids[image['label']]}/{name} is broken, {error}: restore "
                        "it, or leave such images out with --broken skip."
                    ) from None
                odd.append(Odd(unit.split, name, str(error), "left out"))
                stored = None
            if stored is not None:
                if stored.what:
                    odd.append(Odd(unit.split, name, stored.what, stored.action))
                records[row] = (
                    *(0, 0, len(stored.data), zlib.crc32(stored.data)),
                    *(image["label"], stored.width, stored.height, image["name"]),
                )
                yield row, stored.data
            after_each()


@contextmanager
def _reading(location: Path) -> Iterator[Callable[[Any], bytes]]:
    """Open an archive or a folder, and get a function that reads an `ORIGINAL` of it.

    It raises ValueError if the disk or the network fails, which is no fault of the image.
    """
    if location.is_dir():
        rows = RowReader(location)
        yield lambda image: _read_from(location, os.fsdecode(image["file"]), int(image["offset"]), rows)
        return
    with errors_of_reading(location):
        file = location.open("rb", buffering=0)
    with file:
        yield lambda image: _read_part(location, file.fileno(), int(image["offset"]), int(image["size"]))


def _read_from(folder: Path, file: str, row: int, rows: RowReader) -> bytes:
    if file.endswith(".parquet"):
        return rows.read(file, row)
    with errors_of_reading(folder / file):
        return (folder / file).read_bytes()


def _read_part(path: Path, descriptor: int, offset: int, size: int) -> bytes:
    with errors_of_reading(path):
        data = os.pread(descriptor, size, offset)
    if len(data) != size:
        raise ValueError(f"{path} ends before byte {offset + size:,}: download it again.")
    return data


@contextmanager
def _part_of_folder(folder: Path) -> Iterator[Path]:
    part = folder.with_name(folder.name + PART)
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    try:
        yield part
        if hasattr(os, "sync"):
            os.sync()  # once for a class: a million files one by one would take hours
        shutil.rmtree(folder, ignore_errors=True)  # of an interrupted run that did not come to recording it
        part.replace(folder)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise
