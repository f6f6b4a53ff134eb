"""Handwritten digits that need no download."""

import hashlib
from typing import Any

import torch
import torch.nn.functional as F

from datamodules.in_memory import InMemoryDataModule, Split, hold_out

_TEST_SIZE = 300
_TEST_SEED = 0
# Of the pixels, 0 to 16, and the labels, each as one byte: what scikit-learn has shipped so far.
_SHA256 = "87ff0c9e40dc7e2c0e34e7257799c2e3f3aec1a016363bb11cad869ec428a826"


class Digits(InMemoryDataModule):
    """Digits: the 1,797 real 8x8 handwritten digits inside scikit-learn, enlarged to 32x32.

    1,200 to train, 297 to validate, 300 to test, by permutations that never change.
    E. Alpaydin and C. Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine Learning Repository, 1998.
    """

    name = "digits"
    num_classes = 10
    in_channels = 1
    image_size = 32
    class_names = tuple("0123456789")
    mean = (0.3061,)  # computed on the 1,200 training images
    std = (0.3243,)

    def __init__(
        self, *, val_size: int = 297, crop_padding: int = 2, horizontal_flip: bool = False, **kwargs: Any
    ) -> None:
        """Takes no folder: the images come with scikit-learn.

        Args:
            val_size: Number of training images, of 1,497, that are held out for validation, which chooses the best
                checkpoint; 0 validates on the test images, and summary.json says so.
            crop_padding: Number of zeros on each side of a training image, before a random crop back to 32x32 pixels.
            horizontal_flip: Whether to mirror half of the training images; a mirrored digit is no digit.
            kwargs: Arguments of every data set in memory.
        """
        super().__init__(val_size=val_size, crop_padding=crop_padding, horizontal_flip=horizontal_flip, **kwargs)

    def read(self) -> tuple[Split, Split, bool]:
        """Reads all 1,797 digits, enlarges them and sets 300 aside for the test."""
        from sklearn.datasets import load_digits  # noqa: PLC0415  slow to import

        digits = load_digits()
        small = torch.from_numpy(digits.images).float()  # (1797, 8, 8), 0 to 16
        labels = torch.from_numpy(digits.target).long()
        content = small.to(torch.uint8).numpy().tobytes() + labels.to(torch.uint8).numpy().tobytes()
        verified = hashlib.sha256(content).hexdigest() == _SHA256

        large = F.interpolate(small[:, None], size=(32, 32), mode="bilinear")
        images = (large * (255 / 16)).round().to(torch.uint8)
        train, test = hold_out(Split(images, labels), _TEST_SIZE, _TEST_SEED)
        return train, test, verified
