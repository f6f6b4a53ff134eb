"""ImageNet's classes, photographs and bounding boxes as a data set."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from datamodules.imagenet.bounding_boxes import Boxes, read_bounding_boxes
from datamodules.photographs import PhotographDataModule


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
    # Of the training photographs (facebook/fb.resnet.torch, datasets/imagenet.lua). These deviations are means of those
    # of single photographs; that of all pixels is a fifth larger.
    mean = (0.485, 0.456, 0.406)
    std = (0.229, 0.224, 0.225)

    def __init__(self, *, root: str = "data/imagenet", **kwargs: Any) -> None:
        super().__init__(root=root, **kwargs)

    def bounding_boxes(self, path: Path) -> Mapping[str, Boxes]:
        """True boxes from an official archive or a folder, by the name of the photograph without its ending.

        Raises:
            ValueError: They cannot be read.
        """
        return read_bounding_boxes(path)
