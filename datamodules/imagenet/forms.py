"""The forms in which people have ImageNet, told apart by names alone; no photograph is opened.

    ROOT/train/n01440764/….JPEG, ROOT/val/n01440764/….JPEG      as ImageFolder reads it; fastai's Imagenette
    ROOT/ILSVRC/Data/CLS-LOC/{train,val}                        Kaggle: LOC_val_solution.csv in ROOT has val's labels
    ROOT/val/ILSVRC2012_val_00000001.JPEG                       the official archive, unpacked; the devkit has labels
    ROOT/train/n01440764/images, ROOT/val/images                Tiny ImageNet: val/val_annotations.txt has the labels
    ROOT/val/ILSVRC2012_val_00000001_n01751747.JPEG, train/…    Hugging Face's archives, unpacked
    ROOT/data/train-00000-of-00294.parquet, validation-…        Hugging Face's files of bytes and labels
    ROOT/ILSVRC2012_img_train.tar, …                            the official archives

The first is read as it is. `python -m datamodules.imagenet prepare` reads the others, but for archives to be unpacked.
"""

import os
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

from datamodules.photographs.folder import SPLIT_FOLDERS
from datamodules.photographs.index import SPLITS

TRAIN, VAL, DEVKIT = "ILSVRC2012_img_train.tar", "ILSVRC2012_img_val.tar", "ILSVRC2012_devkit_t12.tar.gz"
KAGGLE = "ILSVRC/Data/CLS-LOC"
KAGGLE_LABELS, TINY_LABELS = "LOC_val_solution.csv", "val_annotations.txt"
LABELED = re.compile(rb"(?P<name>(?P<own>n\d{8})_\d+|ILSVRC2012_val_\d{8})(?:_(?P<label>n\d{8}))?(?P<suffix>\.\w+)")

_PLACES = ("", KAGGLE, "Data/CLS-LOC", "CLS-LOC", "data")
_PARQUET = {"train": r"train", "val": r"val(id|idation)?"}
_NO_CLASS = re.compile(r"images|(train|val)_images(_\d+)?")
_VAL_NAME = re.compile(r"(ILSVRC2012_val_\d{8}(_n\d{8})?|val_\d+)\.\w+")
_PACKED = re.compile(r".*\.(zip|tgz|tar|tar\.gz|tar\.bz2|tar\.xz)")
_PACKED_SPLIT = re.compile(r"(train|val)_images(_\d+)?\.tar(\.gz)?")
_PACKED_CLASS = re.compile(r"n\d{8}\.tar")
_LOOKED_AT = 100  # names of a folder; those of a form are all alike


def split_folders(root: Path) -> dict[str, Path] | None:
    """The folders of train and val, at the root or where Kaggle has them; None if they are not there."""
    for place in _PLACES:
        found = {
            split: root / place / os.fsdecode(name)
            for split in SPLITS
            for name in SPLIT_FOLDERS[split]
            if (root / place / os.fsdecode(name)).is_dir()
        }
        if len(found) == len(SPLITS):
            return found
    return None


def is_flat(classes: list[bytes]) -> bool:
    """Whether the folders of a split are none of classes."""
    return all(_NO_CLASS.fullmatch(os.fsdecode(name)) for name in classes)


def parquet_files(root: Path) -> dict[str, list[Path]]:
    """Hugging Face's files of train and val; a split is named by the file or by its folder."""
    found: dict[str, list[Path]] = {}
    for folder in (root, root / "data", root / "default"):
        for split, name in _PARQUET.items():
            of_files = [path for path in folder.glob("*.parquet") if re.match(rf"{name}[-.]", path.name)]
            of_folders = [path for path in folder.glob("*/*.parquet") if re.fullmatch(name, path.parent.name)]
            if of_files or of_folders:
                found.setdefault(split, []).extend(sorted(of_files or of_folders))
    return found


def not_to_be_read(root: Path) -> str | None:
    """What is to be done with archives at `root` before anything can be read; None if there are none."""
    if root.is_file():
        return f"{root} is a file: unpack it, and name the folder." if _PACKED.fullmatch(root.name) else None
    quoted = shlex.quote(str(root))
    folder = root / "data" if any(_names(root / "data", _PACKED_SPLIT)) else root
    if any(_names(folder, _PACKED_SPLIT)):
        unpack = "; ".join(
            f"mkdir -p {quoted}/{split} && for file in {shlex.quote(str(folder))}/{split}_images*.tar*; do "
            f'tar -xf "$file" -C {quoted}/{split}; done'
            for split in SPLITS
        )
        return f"{folder} holds Hugging Face's archives, which cannot be read in any order: unpack them ({unpack})."
    if (root / TRAIN).is_file() or (root / VAL).is_file():
        return (
            f"{root} holds the official archives: prepare a copy with `python -m datamodules.imagenet prepare DEST "
            f"--archives {quoted}`."
        )
    train = (split_folders(root) or {}).get("train", root / "train")
    train = train if train.is_dir() else root
    if any(_names(train, _PACKED_CLASS)):
        place = shlex.quote(str(train))
        return (
            f'{train} holds an archive for each class: unpack them (cd {place} && for file in n*.tar; do mkdir "'
            '${file%.tar}" && tar -xf "$file" -C "${file%.tar}" && rm "$file"; done).'
        )
    return None


def not_read_as_it_is(root: Path) -> str | None:
    """What a data set says of a folder that has ImageNet in another form; None of any other folder."""
    if not root.is_dir():
        return not_to_be_read(root)
    if sentence := not_to_be_read(root):
        return sentence
    folders = split_folders(root)
    if folders is None:
        what = "Hugging Face's parquet files" if set(_PARQUET) <= parquet_files(root).keys() else None
    elif (folders["val"] / TINY_LABELS).is_file():
        what = "Tiny ImageNet, whose validation photographs have no folders of classes"
    elif any(_names(folders["val"], _VAL_NAME)):
        what = "validation photographs without folders of classes"
    elif folders["train"].parent != root and (root / KAGGLE).is_dir():
        return f"{root} holds Kaggle's ImageNet: name {folders['train'].parent}."
    else:
        what = None
    tree = shlex.quote(str(root))
    prepare = f"`python -m datamodules.imagenet prepare DEST --tree {tree}`"
    return f"{root} holds {what}: make a copy with {prepare}, and name DEST (--data.root)." if what else None


def _names(folder: Path, pattern: re.Pattern[str]) -> Iterator[str]:
    """Names of that pattern among the first files of a folder."""
    if not folder.is_dir():
        return
    with os.scandir(folder) as entries:
        for _, entry in zip(range(_LOOKED_AT), entries, strict=False):
            if pattern.fullmatch(entry.name):
                yield entry.name
