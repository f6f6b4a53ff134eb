"""Preparing ImageNet: from the official archives, or a folder, to a copy that is fast to read.

DEST/.prepare/           while it lasts: options, notes on the archives, a record of each finished unit
DEST/train, DEST/val     shards or class folders, each under its name only when it is whole
DEST/train.npy, val.npy  when all units are finished
DEST/manifest.json       last; a folder without it is not a prepared copy
"""

import hashlib
import shutil
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout
from tqdm import tqdm

from datamodules.imagenet.preparation.originals import MAX_NAME_BYTES, Originals, Published, errors_of_writing_to
from datamodules.imagenet.preparation.units import (
    NOTES,
    Job,
    Options,
    Unit,
    expected_bytes,
    finished,
    plan_units,
    remove_parts,
    stem_of,
    write_unit,
)
from datamodules.imagenet.preparation.workers import run_in_processes
from datamodules.photographs.folder import shown
from datamodules.photographs.index import (
    MANIFEST,
    SPLITS,
    Manifest,
    Odd,
    Shard,
    SplitEntry,
    record_dtype,
    write_index,
)
from datamodules.photographs.reader import PreparedCopy
from records.files import UnreadableError, read_json, write_json, write_whole

_SECONDS_FOR_OTHERS = 10  # that a preparation which has just been killed needs to let go


def prepare(destination: Path, published: Published, options: Options) -> Manifest:
    """Prepare a copy in a folder, or go on with one that was begun, and return its manifest.

    Raises:
        ValueError: Something is missing, broken or full, or the folder holds something else.
    """
    identity = {**options.identity(), **published.identity()}
    if (destination / MANIFEST).exists():
        manifest = PreparedCopy(str(destination)).manifest
        _check_same(destination, _identity_in(manifest), identity)
        shutil.rmtree(destination / NOTES, ignore_errors=True)
        return manifest
    notes = destination / NOTES
    if destination.exists() and not (destination.is_dir() and (notes.is_dir() or not any(destination.iterdir()))):
        raise ValueError(
            f"{destination} holds something other than a preparation that was begun: name a new folder, or empty this."
        )
    with errors_of_writing_to(destination):
        notes.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(notes / "lock", timeout=_SECONDS_FOR_OTHERS):
            try:
                manifest = _prepare(destination, published, options, identity)
            except ValueError:
                _remove_if_empty(destination)
                raise
            shutil.rmtree(notes, ignore_errors=True)
            return manifest
    except Timeout:
        raise ValueError(f"{destination} is being prepared by another process: wait for it, or end it.") from None


def _remove_if_empty(destination: Path) -> None:
    """Leave no trace of a preparation that was refused before anything was noted."""
    notes = destination / NOTES
    with suppress(OSError):  # something is in there
        if [path.name for path in notes.iterdir()] == ["lock"]:
            (notes / "lock").unlink()
            notes.rmdir()
            destination.rmdir()


def _prepare(destination: Path, published: Published, options: Options, identity: dict[str, Any]) -> Manifest:
    notes = destination / NOTES
    if (destination / MANIFEST).exists():  # the process that was waited for has done it
        return PreparedCopy(str(destination)).manifest
    remove_parts(destination)
    try:
        begun = read_json(notes / "begun.json")
    except UnreadableError:
        begun = {}
    if begun:  # said before 138 GB are read
        _check_same(destination, begun, {**identity, "photographs": begun["photographs"]})
    originals = published.find(options.classes, notes, verify=options.verify)
    if options.layout == "shards":
        for split in SPLITS:
            _check_names(split, originals)
    digests = {split: hashlib.sha256(images.tobytes()).hexdigest() for split, images in originals.images.items()}
    identity = {**identity, "photographs": digests}
    if begun:
        _check_same(destination, begun, identity)

    units = [unit for split in SPLITS for unit in plan_units(split, originals.images[split], options)]
    # What was recorded by an earlier process is not done again.
    left = [unit for unit in units if finished(unit, destination) is None]
    _check_disk(destination, sum(int(expected_bytes(unit.images, options.encoding).sum()) for unit in left))
    if not begun:  # until here, other options may still be chosen
        with errors_of_writing_to(destination):
            write_json(notes / "begun.json", identity)
    wnids = tuple(entry.wnid for entry in originals.classes)
    job = Job(destination, options, wnids, originals.locations)
    total, still = (sum(len(unit.images) for unit in chosen) for chosen in (units, left))
    with tqdm(desc="photographs", total=total, initial=total - still, unit="") as progress:
        run_in_processes(left, partial(write_unit, job), workers=options.workers, progress=progress)
    with errors_of_writing_to(destination):
        return _finish(destination, originals, options, units)


def _identity_in(manifest: Manifest) -> dict[str, Any]:
    source = {
        name: {key: value for key, value in entry.items() if key != "md5"} if isinstance(entry, dict) else entry
        for name, entry in manifest.source.items()
        if name != "options"
    }
    return {**manifest.source.get("options", {}), **source}


def _check_names(split: str, originals: Originals) -> None:
    for image in originals.images[split]:
        if len(image["name"]) > MAX_NAME_BYTES or not image["name"].isascii():
            path = originals.locations[split] / shown(image["file"])
            raise ValueError(
                f"{path} is no file with a name of at most {MAX_NAME_BYTES} plain characters, as a shard holds: rename "
                "it, choose --layout tree, or read the folder as it is (--data ImageFolder --data.root FOLDER)."
            )
    stems = np.char.upper(originals.images[split]["name"].astype(str))
    unique, counts = np.unique([stem_of(stem.encode()) for stem in stems], return_counts=True)
    if (counts > 1).any():
        raise ValueError(
            f"{originals.locations[split]} has {counts.max()} images named {unique[counts.argmax()]}, but for class "
            "and suffix: rename them, for example with the class before the name."
        )


def _check_same(destination: Path, begun: dict[str, Any], asked: dict[str, Any]) -> None:
    """Other options, or photographs that have changed, would give a copy that is partly the one, partly the other."""
    if begun == asked:
        return
    different = [name for name in {**begun, **asked} if begun.get(name) != asked.get(name)]
    values = ", ".join(f"{name} {begun.get(name)} → {asked.get(name)}" for name in different if name != "photographs")
    raise ValueError(
        f"{destination} was begun with other options ({values or 'the photographs have changed'}): repeat the first "
        "command, or name a new folder."
    )


def _check_disk(destination: Path, needed: int) -> None:
    free = shutil.disk_usage(destination).free
    if needed > free:
        raise ValueError(
            f"{destination} needs about {needed / 1e9:,.1f} GB, and its disk has {free / 1e9:,.1f} GB free: free some "
            "space, name a folder elsewhere, or choose a lower --shorter_side or fewer --classes."
        )


def _finish(destination: Path, originals: Originals, options: Options, units: list[Unit]) -> Manifest:
    entries: dict[str, SplitEntry] = {}
    odd: list[Odd] = []
    for split in SPLITS:
        images = originals.images[split]
        records = np.zeros(len(images), record_dtype(images["name"].itemsize))
        shards: list[Shard] = []
        for unit in units:
            if unit.split != split:
                continue
            unit_done = finished(unit, destination)
            assert unit_done is not None
            records[unit.rows] = unit_done.records
            shards += [unit_done.shard] if unit_done.shard is not None else []
            odd += unit_done.odd
        entries[split] = write_index(destination, split, records[records["size"] > 0], tuple(shards))
    manifest = Manifest(
        layout=options.layout,
        classes=originals.classes,
        splits=entries,
        encoding=options.encoding.in_manifest(),
        source={**originals.source, "options": options.identity()},
        verified=originals.verified,
        odd=tuple(sorted(odd, key=lambda entry: (SPLITS.index(entry.split), entry.name))),
    )
    write_whole(destination / MANIFEST, manifest.to_json())
    return manifest
