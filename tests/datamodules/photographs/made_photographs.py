"""Photographs that tests make: smooth, of many sizes, as files in the layouts that ImageNet has."""

import hashlib
import io
import tarfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from datamodules.photographs.index import MANIFEST, RECORD, ImageClass, Manifest, Shard, SplitEntry

WNIDS = ("n01440764", "n01443537", "n01484850")
SIZES = ((320, 240), (240, 300), (260, 260), (500, 375), (64, 48))


def photograph(seed: int, size: tuple[int, int] = (320, 240)) -> Image.Image:
    """Colors that change slowly, with some noise."""
    random = np.random.default_rng(seed)
    coarse = Image.fromarray(random.integers(0, 256, (8, 8, 3), np.uint8)).resize(size, Image.Resampling.BICUBIC)
    noise = random.integers(-8, 9, (size[1], size[0], 3))
    return Image.fromarray(np.clip(np.asarray(coarse, int) + noise, 0, 255).astype(np.uint8))


def jpeg(image: Image.Image, **options: Any) -> bytes:
    """The file of an image."""
    content = io.BytesIO()
    image.save(content, "JPEG", quality=90, **options)
    return content.getvalue()


def files_of(split: str, each: int) -> dict[tuple[str, str], bytes]:
    """`each` photographs of every class, by class and name."""
    return {
        (wnid, f"{wnid}_{number}.JPEG"): jpeg(photograph(100 * label + number + len(split), SIZES[number % len(SIZES)]))
        for label, wnid in enumerate(WNIDS)
        for number in range(each)
    }


def write_tree(root: Path, train: int = 8, val: int = 3) -> Path:
    """A folder as ImageFolder reads it."""
    for split, each in (("train", train), ("val", val)):
        for (wnid, name), content in files_of(split, each).items():
            (root / split / wnid).mkdir(parents=True, exist_ok=True)
            (root / split / wnid / name).write_bytes(content)
    return root


def write_shards(root: Path, train: int = 8, val: int = 3, in_a_shard: int = 5) -> Path:
    """A prepared copy, written independently of the project's own preparation."""
    splits = {}
    for split, each in (("train", train), ("val", val)):
        files = list(files_of(split, each).items())
        records = np.zeros(len(files), RECORD)
        shards = []
        (root / split).mkdir(parents=True)
        for number, start in enumerate(range(0, len(files), in_a_shard)):
            content = io.BytesIO()
            with tarfile.open(fileobj=content, mode="w") as tar:
                for row, ((wnid, name), data) in enumerate(files[start : start + in_a_shard], start=start):
                    member = tarfile.TarInfo(name.replace(".JPEG", ".jpg"))
                    member.size = len(data)
                    place = content.tell() + 512
                    tar.addfile(member, io.BytesIO(data))
                    width, height = Image.open(io.BytesIO(data)).size
                    label = WNIDS.index(wnid)
                    records[row] = (number, place, len(data), zlib.crc32(data), label, width, height, name.encode())
            file = f"{split}/shard-{number:05d}.tar"
            (root / file).write_bytes(content.getvalue())
            digest = hashlib.sha256(content.getvalue()).hexdigest()
            shards.append(Shard(file, min(in_a_shard, len(files) - start), len(content.getvalue()), digest))
        index = io.BytesIO()
        np.save(index, records)
        (root / f"{split}.npy").write_bytes(index.getvalue())
        size = int(records["size"].sum())
        splits[split] = SplitEntry(len(files), size, hashlib.sha256(index.getvalue()).hexdigest(), tuple(shards))
    classes = tuple(ImageClass(wnid, (f"word {label}",)) for label, wnid in enumerate(WNIDS))
    (root / MANIFEST).write_text(Manifest("shards", classes, splits).to_json())
    return root
