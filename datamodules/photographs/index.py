"""What a prepared copy of photographs holds: its manifest, and an index of its images that is mapped, not loaded.

    ROOT/manifest.json       format, layout, classes in the order of their labels, counts, hashes, what was odd
    ROOT/train.npy val.npy   one `RECORD` for each image, in the order of their names
    ROOT/train/shard-00000.tar …     layout "shards": plain tar files of IMAGE.jpg, as WebDataset has them
    ROOT/train/n01440764/….JPEG …    layout "tree": a folder for each class, as ImageFolder has them

The index is an array file: all processes of a host share its pages, and opening it takes milliseconds whatever its
length. It says where each image lies in its shard, so any order of images can be read.
"""

import hashlib
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import TypeAdapter, ValidationError

from records.files import whole_file

FORMAT = 1
MANIFEST = "manifest.json"
SPLITS = ("train", "val")
RECORD = np.dtype(
    [
        ("shard", "<u4"),  # number of the file under the split's "shards"; 0 in a tree
        ("offset", "<u8"),  # first byte of the image in it; 0 in a tree
        ("size", "<u4"),  # bytes
        ("crc32", "<u4"),  # of these bytes, as zlib counts it
        ("label", "<i4"),  # number of the class in the manifest
        ("width", "<u4"),  # pixels
        ("height", "<u4"),
        ("name", "S32"),  # name of the published file, such as n01440764_10026.JPEG; in a tree, longer if need be
    ]
)


def record_dtype(longest: int) -> np.dtype[Any]:
    """`RECORD` with room for names of so many bytes; numpy would cut off what is longer without a word."""
    return np.dtype([*RECORD.descr[:-1], ("name", f"S{max(longest, RECORD['name'].itemsize)}")])


@dataclass(frozen=True)
class ImageClass:
    """A class: its WordNet id, such as n01440764, and its words, such as tench; none where the source has none."""

    wnid: str
    names: tuple[str, ...] = ()


@dataclass(frozen=True)
class Shard:
    """One file of a split: its path from the root, with forward slashes, and what it holds; the SHA-256 is of all."""

    file: str
    images: int
    bytes: int
    sha256: str


@dataclass(frozen=True)
class SplitEntry:
    """What the manifest says of a split: its images, their bytes in all, and its files, of which a tree has none."""

    images: int
    bytes: int
    index_sha256: str
    shards: tuple[Shard, ...] = ()


@dataclass(frozen=True)
class Odd:
    """An image that was not an ordinary JPEG.

    Attributes:
        name: Of the published file.
        what: png, cmyk, gray, exif, truncated, …
        action: What was done: kept, converted, left out.
    """

    split: str
    name: str
    what: str
    action: str


@dataclass(frozen=True)
class Manifest:
    """What a prepared copy is.

    Attributes:
        layout: shards or tree.
        classes: In the order of their labels.
        encoding: What was done to the images: {"kind": "original"}, or {"kind": "jpeg", "shorter_side": 256,
            "quality": 90}.
        source: Where they are from: archives with their MD5, or the path of a tree; the options of the preparation.
        verified: Whether they come from archives with the published MD5, or from files made of them.
    """

    layout: str
    classes: tuple[ImageClass, ...]
    splits: dict[str, SplitEntry]
    encoding: dict[str, Any] = field(default_factory=lambda: {"kind": "original"})
    source: dict[str, Any] = field(default_factory=dict)
    verified: bool = False
    odd: tuple[Odd, ...] = ()
    format: int = FORMAT

    def to_json(self) -> str:
        """The file's content."""
        return json.dumps(asdict(self), indent=1) + "\n"


def write_index(root: Path, split: str, records: npt.NDArray[Any], shards: tuple[Shard, ...] = ()) -> SplitEntry:
    """Write the index of a split, one `RECORD` for each image, and return what the manifest is to say of the split."""
    with whole_file(root / f"{split}.npy") as file:
        np.save(file, records)
        file.seek(0)
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return SplitEntry(len(records), int(records["size"].sum(dtype=np.int64)), digest, shards)


def manifest_from_json(text: str, where: str) -> Manifest:
    """Read a manifest, called `where` in messages.

    Raises:
        ValueError: It is not a manifest of this format.
    """
    try:
        content = json.loads(text)
        if content["format"] != FORMAT:
            raise ValueError(
                f"{where} has format {content['format']}, this version of the project reads {FORMAT}: prepare it again."
            )
        return TypeAdapter(Manifest).validate_python(content)
    except (KeyError, TypeError, json.JSONDecodeError) as error:
        problem = repr(error)
    except ValidationError as error:
        first = error.errors()[0]
        problem = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
    raise ValueError(f"{where} is not the manifest of a prepared data set ({problem}): prepare it again.")
