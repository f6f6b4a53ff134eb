"""Writing one unit of a preparation, so that all of it is there or nothing."""

import os
import shutil
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from datamodules.imagenet.preparation.conversion import Encoding, Stored, convert
from datamodules.imagenet.preparation.durable_files import PART, errors_of_writing_to, part_of
from datamodules.imagenet.preparation.found_photographs import reading
from datamodules.imagenet.preparation.shard_writer import ShardWriter
from datamodules.imagenet.preparation.units import Finished, Unit, record
from datamodules.photographs.decoder import BrokenImageError
from datamodules.photographs.index import RECORD, Odd, Shard


@dataclass(frozen=True)
class Job:
    """What is the same for all units; travels to the worker processes.

    Attributes:
        destination: Folder of the prepared copy.
        layout: shards or tree.
        encoding: What is done to ordinary images.
        wnids: Classes in the order of their labels.
        places: For each split, its archive or its folder.
        skip_broken: Whether a broken image is left out instead of ending the preparation.
    """

    destination: Path
    layout: str
    encoding: Encoding
    wnids: tuple[str, ...]
    places: dict[str, Path]
    skip_broken: bool = False


def write_unit(unit: Unit, job: Job, after_each: Callable[[], None]) -> None:
    """Convert the photographs of a unit, write them, and record the unit.

    Args:
        unit: Which.
        job: How.
        after_each: Called after each photograph; what it raises ends the unit and leaves nothing of it.

    Raises:
        ValueError: A photograph is broken, or the disk is full.
    """
    records = np.zeros(len(unit.images), RECORD)
    odd: list[Odd] = []
    shard: Shard | None = None
    with errors_of_writing_to(job.destination):
        converted = _converted(unit, job, records, odd, after_each)
        if job.layout == "tree":
            with _part_of_folder(job.destination / unit.split / job.wnids[unit.images["label"][0]]) as folder:
                for row, data in converted:
                    (folder / unit.images["name"][row].decode()).write_bytes(data)
        else:
            file = f"{unit.split}/shard-{unit.number:05d}.tar"
            with part_of(job.destination / file) as part:
                with ShardWriter(part) as writer:
                    for row, data in converted:
                        stem = stem_of(unit.images["name"][row])
                        records["offset"][row] = writer.add(stem, data, int(unit.images["label"][row]))
                        records["shard"][row] = unit.number
                shard = Shard(file, int(np.count_nonzero(records["size"])), writer.bytes, writer.sha256)
        record(unit, Finished(records, shard, tuple(odd)), job.destination)


def stem_of(name: bytes) -> str:
    """Name of the members of a shard for a published file, without a suffix: WebDataset cuts at the first dot."""
    text = name.decode()
    return (text.rpartition(".")[0] or text).replace(".", "_")


def remove_parts(destination: Path) -> None:
    """Remove what interrupted units left.

    Args:
        destination: Folder of the prepared copy.
    """
    for pattern in (f"*{PART}", f"*/*{PART}"):
        for part in destination.glob(pattern):
            if part.is_dir():
                shutil.rmtree(part)
            else:
                part.unlink()


def _converted(
    unit: Unit, job: Job, records: npt.NDArray[Any], odd: list[Odd], after_each: Callable[[], None]
) -> Iterator[tuple[int, bytes]]:
    """Row and bytes of each photograph; fills in all of its record but its place."""
    with reading(job.places[unit.split], job.wnids) as read:
        for row, image in enumerate(unit.images):
            name = image["name"].decode()
            try:
                stored: Stored | None = convert(read(image), job.encoding)
            except BrokenImageError as error:
                if not job.skip_broken:
                    raise ValueError(
                        f"{job.places[unit.split]}: {job.wnids[image['label']]}/{name} is broken, {error}: restore it, "
                        "or leave such images out with --broken skip."
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
def _part_of_folder(folder: Path) -> Iterator[Path]:
    part = folder.with_name(folder.name + PART)
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    try:
        yield part
        _sync()
        shutil.rmtree(folder, ignore_errors=True)  # of an interrupted run that did not come to recording it
        part.replace(folder)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise


def _sync() -> None:
    """Once for a class: a million files one by one would take hours."""
    if hasattr(os, "sync"):
        os.sync()
