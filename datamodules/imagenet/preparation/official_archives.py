"""Photographs in the three official archives."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from datamodules.imagenet.preparation.archives import DEVKIT, PUBLISHED, TRAIN, VAL, Members
from datamodules.imagenet.preparation.class_lists import ClassChoice, choose
from datamodules.imagenet.preparation.devkit import read_devkit
from datamodules.imagenet.preparation.found_photographs import Originals, labeled
from datamodules.imagenet.preparation.noted_archives import NotedArchives


@dataclass(frozen=True)
class Archives:
    """The three official archives.

    Attributes:
        train: ILSVRC2012_img_train.tar.
        val: ILSVRC2012_img_val.tar.
        devkit: ILSVRC2012_devkit_t12.tar.gz.
    """

    train: Path
    val: Path
    devkit: Path

    def identity(self) -> dict[str, Any]:
        """Names and sizes, which tell whether a begun preparation goes on with the same archives.

        Raises:
            ValueError: An archive is missing.
        """
        files = {"train": (self.train, TRAIN), "val": (self.val, VAL), "devkit": (self.devkit, DEVKIT)}
        for option, (path, official) in files.items():
            if not path.is_file():
                raise ValueError(
                    f"{path} is missing: download {official} from image-net.org (it asks for an account) and name it "
                    f"with --{option}, or its folder with --archives."
                )
        return {option: {"file": path.name, "bytes": path.stat().st_size} for option, (path, _) in files.items()}

    def find(self, choice: ClassChoice, notes: Path, *, verify: bool) -> Originals:
        """Find the photographs.

        Args:
            choice: Which classes.
            notes: Folder that keeps what one pass over an archive gave.
            verify: Whether the archives must have the published MD5.

        Raises:
            ValueError: An archive is damaged or another one, or they do not belong together.
        """
        noted = NotedArchives(notes, verify)
        devkit_md5 = noted.check(self.devkit, PUBLISHED[DEVKIT])
        devkit = read_devkit(self.devkit)
        chosen = choose(choice, [entry.wnid for entry in devkit.classes])
        # the small one first: what does not fit is said before 138 GB are read
        val, val_md5 = noted.members(self.val, PUBLISHED[VAL], of_classes=False)
        if len(val) != len(devkit.val_wnids):
            raise ValueError(
                f"{self.val} holds {len(val)} photographs, but {self.devkit.name} has labels for "
                f"{len(devkit.val_wnids)}: name archives that belong together, complete."
            )
        val = val[np.argsort(val["name"])]
        val["wnid"] = devkit.val_wnids
        train, train_md5 = noted.members(self.train, PUBLISHED[TRAIN], of_classes=True)
        _check_classes(self.train, train, [entry.wnid for entry in devkit.classes], self.devkit.name)
        identity = self.identity()
        for option, md5 in (("train", train_md5), ("val", val_md5), ("devkit", devkit_md5)):
            identity[option]["md5"] = md5
        return Originals(
            classes=tuple(entry for entry in devkit.classes if entry.wnid in chosen),
            images={"train": _of_classes(train, chosen), "val": _of_classes(val, chosen)},
            places={"train": self.train, "val": self.val},
            source=identity,
            verified=verify,
        )


def _check_classes(path: Path, members: Members, wnids: list[str], devkit: str) -> None:
    found = {wnid.decode() for wnid in np.unique(members["wnid"])}
    missing, unknown = sorted(set(wnids) - found), sorted(found - set(wnids))
    if missing or unknown:
        first = f"no photograph of {missing[0]}" if missing else f"{unknown[0]}"
        raise ValueError(
            f"{path} holds {first} ({len(missing)} classes missing, {len(unknown)} unknown to {devkit}): "
            "name archives that belong together, complete."
        )


def _of_classes(members: Members, wnids: tuple[str, ...]) -> npt.NDArray[Any]:
    chosen = members[np.isin(members["wnid"], np.array(wnids, "S9"))]
    return labeled(chosen[np.argsort(chosen["name"])], wnids)
