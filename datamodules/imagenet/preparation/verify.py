"""Verifying a prepared copy: every file and every image against what was written down when it was prepared."""

import hashlib
import mmap
import os
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from datamodules.download import Checksum
from datamodules.imagenet.preparation.workers import run_in_processes
from datamodules.photographs.index import Manifest, Shard
from datamodules.photographs.reader import PreparedCopy


@dataclass(frozen=True)
class _Part:
    """A shard, or a class of a tree, and what its images should be."""

    folder: Path
    shard: Shard | None
    records: npt.NDArray[Any]


def verify(root: Path, *, workers: int = 1) -> list[str]:
    """Compare a prepared copy with its manifest and its index; returns a line for each thing that differs.

    Raises:
        ValueError: There is no prepared copy, or one without checksums.
    """
    manifest = PreparedCopy(str(root)).manifest
    if not manifest.source.get("checksums", True):
        raise ValueError(f"{root} is a tree that was indexed without checksums: prepare a copy of it to have them.")
    differences: list[str] = []
    parts: list[_Part] = []
    for split, entry in manifest.splits.items():
        path, checksum = root / f"{split}.npy", Checksum("sha256", entry.index_sha256)
        try:
            if checksum.matches(checksum.of(path)):
                parts += _parts(root, split, manifest, np.load(path))
            else:
                differences.append(f"{path}: another index than that of the manifest")
        except OSError as error:
            differences.append(f"{path}: cannot be read ({error})")
    images = sum(len(part.records) for part in parts)
    with tqdm(desc="images", total=images, unit="") as progress:
        for lines in run_in_processes(parts, _differences, workers=workers, progress=progress):
            differences += lines
    return differences


def _parts(root: Path, split: str, manifest: Manifest, records: npt.NDArray[Any]) -> list[_Part]:
    if manifest.layout == "tree":
        folders = [(label, root / split / entry.wnid) for label, entry in enumerate(manifest.classes)]
        return [_Part(folder, None, records[records["label"] == label]) for label, folder in folders]
    shards = enumerate(manifest.splits[split].shards)
    return [_Part(root, shard, records[records["shard"] == number]) for number, shard in shards]


def _differences(part: _Part, after_each: Callable[[], None]) -> list[str]:
    if part.shard is None:
        return [
            line
            for record in part.records
            for line in _of_file(part.folder / os.fsdecode(record["name"]), record, after_each)
        ]
    path = part.folder / part.shard.file
    try:
        if path.stat().st_size != part.shard.bytes:
            return [f"{path}: {path.stat().st_size:,} bytes instead of {part.shard.bytes:,}"]
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            differs = hashlib.sha256(content).hexdigest() != part.shard.sha256
            lines = [f"{path}: SHA-256 differs"] if differs else []
            for record in part.records:
                start, size = int(record["offset"]), int(record["size"])
                if zlib.crc32(content[start : start + size]) != record["crc32"]:
                    lines.append(f"{path}: {os.fsdecode(record['name'])} has changed")
                after_each()
            return lines
    except OSError as error:
        return [f"{path}: cannot be read ({error})"]


def _of_file(path: Path, record: Any, after_each: Callable[[], None]) -> list[str]:
    try:
        same = zlib.crc32(path.read_bytes()) == record["crc32"]
    except OSError as error:
        return [f"{path}: cannot be read ({error})"]
    after_each()
    return [] if same else [f"{path}: has changed"]
