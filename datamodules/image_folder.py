"""Anybody's pictures as a data set: a folder with a folder for each class."""

import hashlib
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities import rank_zero_info

from datamodules.image_data_module import ImageDataModule, divide
from datamodules.imagenet.forms import not_read_as_it_is
from datamodules.photographs import PhotographDataModule
from datamodules.photographs.folder import shown, some
from datamodules.photographs.opened_folder import OpenedFolder
from datamodules.photographs.reader import PreparedCopy
from datamodules.photographs.source import PhotographSource

LONGEST_NAME = 64  # W&B takes no longer tag
LEAST_BATCHES = 8  # of an epoch, where a batch would be larger than the set


class ImageFolder(PhotographDataModule):
    """Pictures in a folder for each class, read as torchvision's ImageFolder reads them.

    FOLDER/CLASS/…, of which a part is held out for validation, or FOLDER/train/CLASS/… with val/ (or valid/) and test/
    as far as they are there. Without test/, `test` measures on the validation images. A folder of images without
    classes does for a GAN. What `python -m datamodules.imagenet prepare --tree` has made of a folder is read, too.

    Args:
        root: Folder of the pictures.
        name: Name of the data set in runs and tables; null for the name of the folder.
        val_fraction: Share of each class that is held out for validation, chosen by split_seed, if the folder has no
            val/; 1 holds out all pictures, for an evaluation.
        val_size: Number of training images that are held out for validation, in place of val_fraction or of val/.
        batch_size: Number of images in a training batch on each device; a set with fewer images gets smaller batches.
        kwargs: Arguments of every data set of photographs.

    Raises:
        ValueError: An argument is out of its range, or the folder holds no images or classes that do not fit together.
    """

    def __init__(
        self,
        *,
        root: str,
        name: str | None = None,
        val_fraction: float = 0.2,
        val_size: int = 0,
        batch_size: int = 32,
        **kwargs: Any,
    ) -> None:
        if not 0 < val_fraction <= 1:
            raise ValueError(f"val_fraction={val_fraction} must be a share above 0, at most 1, such as 0.2.")
        self.name = _name_of(root, name)
        super().__init__(root=root, val_size=val_size, batch_size=batch_size, **kwargs)
        self.val_fraction = float(val_fraction)

    def open_copy(self, root: str) -> PreparedCopy | OpenedFolder:
        """Open a folder, and say what is left out of it; ImageNet in a form of its own would be taken for else."""
        if "://" not in root and (sentence := not_read_as_it_is(Path(root).expanduser())):
            raise ValueError(sentence)
        copy = super().open_copy(root)
        if isinstance(copy, OpenedFolder) and copy.folder.left_out.counts:
            rank_zero_info(f"Left out of {root}: {copy.folder.left_out}.")
        return copy

    def open_splits(self) -> Mapping[str, PhotographSource]:
        """Open each split that is there, and hold out validation images if there are none, or if asked to."""
        self._verified = self.copy.manifest.verified or None  # nobody has published checksums of own pictures
        found = {name: self.open_split(name) for name in self.copy.manifest.splits}
        train, val, test = (found.get(name) for name in ("train", "val", "test"))
        if train is not None and (self.val_size or val is None):
            if self.val_size >= train.size:
                divide(train.size, self.val_size, self.split_seed)  # refuses it
            train, held_out = self._divided(train)
            val, test = held_out, test or val or held_out
        splits = {"train": train, "val": val or test, "test": test or val}
        opened = {name: source for name, source in splits.items() if source is not None and source.size}
        if "val" not in opened:
            raise ValueError(
                f"{self.root} has too few images to hold some out for validation: add some, or a folder val of others."
            )
        if "train" in opened:
            self.check_classes_present(opened["train"])
        return opened

    def setup(self, stage: str | None = None) -> None:
        """Open and divide the images, once; make batches small enough for a small set."""
        if not self._splits:
            self._splits = self.open_splits()
            size = self._splits["train"].size // self._rank_and_world_size()[1] if "train" in self._splits else 0
            if 0 < size < self.batch_size:
                # Of more than one image, for batch normalization, where there are so many.
                fitting = 2 ** int(math.log2(max(1, size // LEAST_BATCHES)))
                asked, self.batch_size = self.batch_size, max(min(2, size), fitting)
                rank_zero_info(
                    f"Batches have {self.batch_size} images, not {asked}: {self.name} has "
                    f"{self._splits['train'].size} training images."
                )
        super().setup(stage)

    def state_dict(self) -> dict[str, Any]:
        """What fixes the training batches and the meaning of the labels, for a checkpoint."""
        state = super().state_dict()
        if state and isinstance(self.copy, OpenedFolder):
            state |= {"folder": self.copy.identity("train")}
        return {**state, "class_names": list(self.class_names)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Refuse to go on with other images, and to evaluate with classes that have other labels.

        Raises:
            ValueError: The folder holds other training images or classes than it did.
        """
        trained = state_dict.get("class_names", list(self.class_names))
        if trained != list(self.class_names):
            missing, new = (some(sorted(set(one) - set(other))) for one, other in self._orders(trained))
            raise ValueError(
                f"The network was trained on other classes than {self.root} has (missing: {missing or 'none'}; new: "
                f"{new or 'none'}), so its labels would mean other classes: name the folder that it was trained on."
            )
        if self.trainer is not None and self.trainer.state.fn == TrainerFn.FITTING:
            self._check_same_images(state_dict)
        super().load_state_dict(state_dict)

    def description(self) -> dict[str, Any]:
        """Describe the data for a run's record."""
        left_out = dict(self.copy.folder.left_out.counts) if isinstance(self.copy, OpenedFolder) else {}
        return {
            **super().description(),
            "class_names": list(self.class_names),
            "selection_split": "test" if self._splits["val"] is self._splits["test"] else "val",
            "left_out": left_out,
        }

    def _orders(self, trained: list[str]) -> tuple[tuple[list[str], list[str]], ...]:
        own = list(self.class_names)
        return (trained, own), (own, trained)

    def _check_same_images(self, state: Mapping[str, Any]) -> None:
        if "folder" not in state or not isinstance(self.copy, OpenedFolder):
            return
        if state["folder"] == self.copy.identity("train"):
            return
        changes = self.copy.changes_since("train", state["folder"])
        what = str(changes) if changes is not None else f"{state['images']} images were trained on"
        raise ValueError(
            f"{self.root} has changed since this run began ({what}), and its images would come in another order: put "
            "the folder back as it was, or start a new run from the weights (--model.weights)."
        )

    def _divided(self, train: PhotographSource) -> tuple[PhotographSource, PhotographSource]:
        """Training images without those held out, and these: of each class its share, chosen by their names.

        So an image stays in its split when others come or go.
        """
        rows = np.arange(train.size) if train.rows is None else train.rows
        records = train.split.records[rows]
        folders = [b"%d/%s/" % (self.split_seed, os.fsencode(name)) for name in self.class_names]
        names = zip(records["label"].tolist(), records["name"].tolist(), strict=True)
        digests = [hashlib.blake2b(folders[label] + name, digest_size=8).digest() for label, name in names]
        keys = np.frombuffer(b"".join(digests), ">u8")
        chosen = held_out(records["label"], keys, self.val_size or self.val_fraction)
        is_chosen = np.zeros(len(rows), bool)
        is_chosen[chosen] = True
        return self._source(train.split, rows[~is_chosen]), self._source(train.split, rows[is_chosen])


def held_out(labels: np.ndarray, keys: np.ndarray, share: float) -> np.ndarray:
    """Places of the images that are held out, in no order.

    Args:
        labels: Classes of all images. Shape (N,).
        keys: Random numbers of theirs, by which they are chosen. Shape (N,).
        share: Below 1, that of each class, of which one image at least is held out and one is not, if there are two; 1
            for all; a number of images, to which each class contributes in proportion.
    """
    order = np.lexsort((keys, labels))  # class by class, at random within each
    counts = np.bincount(labels)
    count = counts[labels[order]]
    place = np.arange(len(labels)) - (counts.cumsum() - counts)[labels[order]]
    if isinstance(share, int):
        return order[np.lexsort((keys[order], (place + 0.5) / count))[:share]]
    quota = count if share == 1 else np.clip(np.rint(count * share), np.minimum(1, count - 1), count - 1)
    return order[place < quota]


def _name_of(root: str, name: str | None) -> str:
    """What to call a folder in runs and tables; never what another data set is called."""
    text = shown(
        name or os.path.basename(root.rstrip("/") if "://" in root else os.path.abspath(os.path.expanduser(root)))
    )
    text = " ".join(text.split())[:LONGEST_NAME].strip() or "pictures"
    return f"{text[: LONGEST_NAME - 7]} folder" if text.lower() in _names_of_others(ImageDataModule) else text


def _names_of_others(data_class: type) -> set[str]:
    own = {str(data_class.__dict__["name"]).lower()} if "name" in data_class.__dict__ else set[str]()
    return own.union(*map(_names_of_others, data_class.__subclasses__()))
