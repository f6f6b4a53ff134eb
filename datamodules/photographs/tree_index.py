"""Index of a folder tree as ImageFolder reads it: train/n01440764/….JPEG, val/n01440764/….JPEG.

Made once, from the sizes of the files and the headers of the images, and kept in the tree or, if that may not be
written to, in the user's cache. It holds no checksums: for those, prepare a copy.
"""

import hashlib
import io
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import simplejpeg
from filelock import FileLock
from PIL import Image
from tqdm import tqdm

from datamodules.photographs.index import MANIFEST, RECORD, SPLITS, ImageClass, Manifest, SplitEntry
from datamodules.photographs.reader import CACHE, PreparedCopy
from records.files import write_whole

SUFFIXES = (".jpeg", ".jpg", ".png")
HEADER_BYTES = 1 << 16
THREADS = 16  # they wait for the disk


def open_copy(root: str) -> PreparedCopy:
    """Open a prepared copy or a folder tree; of a tree the index is made, which takes minutes, if there is none yet.

    Raises:
        ValueError: There is neither, or the tree is not as it should be.
    """
    tree = Path(root).expanduser()
    if "://" in root or (tree / MANIFEST).exists() or not (tree / "train").is_dir():
        return PreparedCopy(root)
    folder = tree if os.access(tree, os.W_OK) else CACHE / hashlib.sha256(str(tree.resolve()).encode()).hexdigest()
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / "index.lock"):  # the other processes of the host wait for the first
        if not (folder / MANIFEST).exists():
            _write_index(tree, folder)
    return PreparedCopy(root, str(folder))


def _write_index(tree: Path, folder: Path) -> None:
    wnids = sorted(entry.name for entry in os.scandir(tree / "train") if entry.is_dir())
    entries = {}
    for split in SPLITS:
        if not (tree / split).is_dir():
            continue
        others = {entry.name for entry in os.scandir(tree / split) if entry.is_dir()}.symmetric_difference(wnids)
        if others:
            raise ValueError(
                f"The classes of {tree / 'train'} and {tree / split} differ ({', '.join(sorted(others)[:3])}, …): "
                "a folder is missing, or is none of a class."
            )
        records = _records(tree, split, wnids)
        content = io.BytesIO()
        np.save(content, records)
        write_whole(folder / f"{split}.npy", content.getvalue())
        digest = hashlib.sha256(content.getvalue()).hexdigest()
        entries[split] = SplitEntry(len(records), int(records["size"].sum(dtype=np.int64)), digest)
    manifest = Manifest(
        layout="tree",
        classes=tuple(ImageClass(wnid) for wnid in wnids),
        splits=entries,
        source={"tree": str(tree), "checksums": False},
    )
    write_whole(folder / MANIFEST, manifest.to_json())


def _records(tree: Path, split: str, wnids: list[str]) -> npt.NDArray[Any]:
    found: list[tuple[Any, ...]] = []
    with (
        ThreadPoolExecutor(THREADS) as threads,
        tqdm(desc=f"index of {split}", total=len(wnids), unit="class") as progress,
    ):
        for label, wnid in enumerate(wnids):
            files = sorted(_images(tree / split / wnid), key=lambda entry: entry.name)
            if not files:
                raise ValueError(f"{tree / split / wnid} has no image: restore it.")
            for file, (width, height) in zip(files, threads.map(_size, files), strict=True):
                found.append((0, 0, file.stat().st_size, 0, label, width, height, file.name.encode()))
            progress.update()
    records = np.array(found, dtype=RECORD)
    return records[np.argsort(records["name"], kind="stable")]


def _images(folder: Path) -> Iterator[os.DirEntry[str]]:
    return (entry for entry in os.scandir(folder) if entry.name.lower().endswith(SUFFIXES))


def _size(file: os.DirEntry[str]) -> tuple[int, int]:
    """Width and height."""
    try:
        with open(file, "rb") as content:
            height, width, *_ = simplejpeg.decode_jpeg_header(content.read(HEADER_BYTES))
        return int(width), int(height)
    except ValueError:
        pass  # no JPEG, or one with a long header
    try:
        with Image.open(file.path) as image:
            return image.size
    except OSError as error:
        raise ValueError(f"{file.path} is no image ({error}): restore it, or take it out of the folder.") from None
