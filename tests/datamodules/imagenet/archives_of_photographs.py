"""Archives of the official form, made of any photographs: a tar of tars, a flat tar, and a development kit."""

import io
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from scipy.io import savemat

TRAIN, VAL, DEVKIT = "ILSVRC2012_img_train.tar", "ILSVRC2012_img_val.tar", "ILSVRC2012_devkit_t12.tar.gz"

Files = Mapping[str, bytes]


def tar_of(files: Files, mode: str = "w") -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode=mode, format=tarfile.GNU_FORMAT) as tar:  # type: ignore[call-overload]
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            member.mtime = 1_340_000_000
            tar.addfile(member, io.BytesIO(data))
    return content.getvalue()


def meta_mat(wnids: Sequence[str], counts: Mapping[str, int]) -> bytes:
    """The kit's synsets: the classes in the order of their ids, and behind them an ancestor of all, as there."""
    fields = ("ILSVRC2012_ID", "WNID", "words", "gloss", "num_children", "children", "wordnet_height")
    synsets = np.zeros((len(wnids) + 1, 1), [(name, "O") for name in (*fields, "num_train_images")])
    for row, wnid in enumerate([*wnids, "n00001740"]):
        leaf = wnid in wnids
        children = np.zeros(0) if leaf else np.arange(1.0, len(wnids) + 1)
        words = f"word of {wnid}, second word" if leaf else "entity"
        synsets[row, 0] = (
            *(float(row + 1), wnid, words, f"what {words} means", float(len(children)), children),
            *(0.0 if leaf else 1.0, float(counts.get(wnid, 0))),
        )
    content = io.BytesIO()
    savemat(content, {"synsets": synsets})
    return content.getvalue()


def write_archives(
    folder: Path, train: Mapping[str, Files], val: Sequence[tuple[str, bytes]], ids: Sequence[str]
) -> None:
    """Write the three archives.

    `train` has files by class; `val` has class and content of each photograph; `ids` has the classes in the order of
    the kit's numbers.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / TRAIN).write_bytes(tar_of({f"{wnid}.tar": tar_of(files) for wnid, files in train.items()}))
    names = [f"ILSVRC2012_val_{number:08d}.JPEG" for number in range(1, len(val) + 1)]
    (folder / VAL).write_bytes(tar_of({name: data for name, (_, data) in zip(names, val, strict=True)}))
    labels = "".join(f"{ids.index(wnid) + 1}\n" for wnid, _ in val)
    data = "ILSVRC2012_devkit_t12/data"
    kit = {
        "ILSVRC2012_devkit_t12/readme.txt": b"See data/meta.mat.",
        f"{data}/meta.mat": meta_mat(ids, {wnid: len(files) for wnid, files in train.items()}),
        f"{data}/ILSVRC2012_validation_ground_truth.txt": labels.encode(),
    }
    (folder / DEVKIT).write_bytes(tar_of(kit, "w:gz"))
