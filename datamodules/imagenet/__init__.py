"""ImageNet's classes, photographs and bounding boxes as a data set."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from datamodules.imagenet.bounding_boxes import Boxes, read_bounding_boxes
from datamodules.imagenet.forms import not_read_as_it_is
from datamodules.photographs import PhotographDataModule
from datamodules.photographs.index import SPLITS
from datamodules.photographs.opened_folder import OpenedFolder
from datamodules.photographs.reader import PreparedCopy


class ImageNet(PhotographDataModule):
    """ImageNet (ILSVRC 2012): 1,281,167 training and 50,000 validation photographs of 1,000 classes.

    O. Russakovsky et al., "ImageNet Large Scale Visual Recognition Challenge", 2014. Reads a copy that
    `python -m datamodules.imagenet prepare` has made, here or at a URL, or a folder with train/ and val/ as ImageFolder
    reads it. The labels of the test photographs are not public, so `test` measures on the validation photographs.

    Args:
        root: Folder or URL of the prepared copy, or a folder with train/ and val/.
        kwargs: Arguments of every data set of photographs.
    """

    name = "imagenet"
    has_all_classes = True

    def __init__(self, *, root: str = "data/imagenet", **kwargs: Any) -> None:
        super().__init__(root=root, **kwargs)

    def open_copy(self, root: str) -> PreparedCopy | OpenedFolder:
        """Open a prepared copy, or a folder that has all classes in train/ and val/."""
        folder = Path(root).expanduser()
        if "://" not in root:
            if sentence := not_read_as_it_is(folder):
                raise ValueError(sentence)
            if not any((folder / split).is_dir() for split in SPLITS):
                return PreparedCopy(root)
        return super().open_copy(root)

    def bounding_boxes(self, path: Path) -> Mapping[str, Boxes]:
        """True boxes from an official archive or a folder, by the name of the photograph without its ending.

        Raises:
            ValueError: They cannot be read.
        """
        return read_bounding_boxes(path)
