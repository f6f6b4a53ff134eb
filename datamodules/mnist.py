"""MNIST and Fashion-MNIST: 70,000 gray images of 28x28 pixels, in IDX files."""

import gzip
import hashlib
import math
import zlib
from pathlib import Path
from typing import Any, ClassVar, Literal
from urllib.parse import urljoin

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision import datasets

from datamodules.download import Checksum, download_file, is_published
from datamodules.in_memory import InMemoryDataModule, Split

_MAGIC_UINT8 = b"\x00\x00\x08"


class MNIST(InMemoryDataModule):
    """MNIST: 60,000 training and 10,000 test images of handwritten digits.

    Y. LeCun, L. Bottou, Y. Bengio and P. Haffner, "Gradient-Based Learning Applied to Document Recognition", 1998. The
    mean and standard deviation are those of the 60,000 training images.
    """

    name = "mnist"
    num_classes = 10
    in_channels = 1
    class_names = tuple("0123456789")
    mean = (0.1307,)
    std = (0.3081,)

    official: ClassVar[type[datasets.MNIST]] = datasets.MNIST
    content_sha256: ClassVar[dict[str, str]] = {  # of the unpacked files: whoever packs them anew changes no image
        "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    }

    def __init__(
        self,
        *,
        root: str = "data",
        download: bool = True,
        verify: bool = True,
        image_size: Literal[28, 32] = 28,
        val_size: int = 10000,
        crop_padding: int = 2,
        horizontal_flip: bool = False,
        **kwargs: Any,
    ) -> None:
        """Reads the official IDX files, packed or unpacked, in the folders that torchvision keeps them in.

        Args:
            root: Folder with the four files, either directly or in MNIST/raw (FashionMNIST/raw); downloads go there
                too.
            download: Whether to download missing files (12 MB, Fashion-MNIST 31 MB).
            verify: Whether to refuse files whose unpacked content differs from the published one; if not, summary.json
                records whether it differs.
            image_size: Height and width of the images in pixels: 28, or 32 with two rows or columns of zeros on each
                side.
            val_size: Number of training images, of 60,000, that are held out for validation, which chooses the best
                checkpoint (10,000 in the maxout and GAN papers); 0 validates on the test images, and summary.json says
                so.
            crop_padding: Number of zeros on each side of a training image, before a random crop back to its size.
            horizontal_flip: Whether to mirror half of the training images; a mirrored digit is no digit.
            kwargs: Arguments of every data set in memory.
        """
        super().__init__(val_size=val_size, crop_padding=crop_padding, horizontal_flip=horizontal_flip, **kwargs)
        if image_size not in (28, 32):
            raise ValueError(f"image_size={image_size} is not offered: --data.image_size must be 28 or 32.")
        self.root = Path(root).expanduser()
        self.download = download
        self.verify = verify
        self.image_size = image_size

    @property
    def folder(self) -> Path:
        """Where the files lie."""
        return self.root / self.official.__name__ / "raw"

    def prepare_data(self) -> None:
        """Fetches the files that are missing; Lightning calls this in one process of each node.

        Raises:
            ValueError: A file is missing and may not or cannot be fetched.
        """
        for name, md5 in self.official.resources:
            if self._find(name) is None:
                if not self.download:
                    raise self._missing(name)
                urls = [urljoin(mirror, name) for mirror in self.official.mirrors]
                download_file(urls, self.folder / name, Checksum("md5", md5))

    def read(self) -> tuple[Split, Split, bool]:
        """Reads the four files, unpacking them in memory."""
        arrays, verified = [], True
        for name, _ in self.official.resources:
            path = self._find(name)
            if path is None:
                raise self._missing(name)
            content = _unpacked(path)
            checksum = Checksum("sha256", self.content_sha256[Path(name).stem])
            verified &= is_published(path, checksum, hashlib.sha256(content).hexdigest(), required=self.verify)
            arrays.append(_array(content, path))
        train_images, train_labels, test_images, test_labels = arrays
        return self._split(train_images, train_labels), self._split(test_images, test_labels), verified

    def _find(self, name: str) -> Path | None:
        """Locates a file, packed or unpacked, in torchvision's folder or in `root` itself."""
        packed = (folder / name for folder in (self.folder, self.root))
        candidates = [path for path in packed for path in (path, path.with_suffix(""))]
        return next((path for path in candidates if path.is_file()), None)

    def _missing(self, name: str) -> ValueError:
        return ValueError(
            f"{self.folder} lacks {name}: with --data.root, name the folder that holds the four files or "
            f"{self.official.__name__}/raw, or have the file fetched with --data.download=true."
        )

    def _split(self, images: Tensor, labels: Tensor) -> Split:
        border = (self.image_size - 28) // 2
        return Split(F.pad(images.unsqueeze(1), (border,) * 4), labels.long())


class FashionMNIST(MNIST):
    """Fashion-MNIST: 60,000 training and 10,000 test images of clothes, made to replace MNIST.

    H. Xiao, K. Rasul and R. Vollgraf, "Fashion-MNIST: a Novel Image Dataset for Benchmarking Machine Learning
    Algorithms", 2017. The mean and standard deviation are those of the 60,000 training images.
    """

    name = "fashion_mnist"
    class_names = (
        "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
    )  # fmt: skip
    mean = (0.2860,)
    std = (0.3530,)

    official = datasets.FashionMNIST
    content_sha256: ClassVar[dict[str, str]] = {
        "train-images-idx3-ubyte": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
        "train-labels-idx1-ubyte": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
        "t10k-images-idx3-ubyte": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
        "t10k-labels-idx1-ubyte": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
    }

    def __init__(self, *, horizontal_flip: bool = True, **kwargs: Any) -> None:
        """Reads the official IDX files, packed or unpacked, in the folder that torchvision keeps them in.

        Args:
            horizontal_flip: Whether to mirror half of the training images.
            kwargs: Arguments of MNIST.
        """
        super().__init__(horizontal_flip=horizontal_flip, **kwargs)


def read_idx(path: Path) -> Tensor:
    """Reads a uint8 array.

    Layout: two zero bytes, the type code 8, the number of dimensions as a byte, each size as a big-endian 32-bit
    integer, the values row by row.

    Args:
        path: The file, compressed if its name ends in `.gz`.

    Raises:
        ValueError: The file is damaged or not of this format.
    """
    return _array(_unpacked(path), path)


def _unpacked(path: Path) -> bytes:
    try:
        return gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(f"{path} is damaged ({error}): delete it to download it again.") from None


def _array(content: bytes, path: Path) -> Tensor:
    header = 4 + 4 * content[3] if len(content) > 3 else 4
    shape = [int.from_bytes(content[start : start + 4]) for start in range(4, header, 4)]
    if content[:3] != _MAGIC_UINT8 or not shape or not 0 < math.prod(shape) == len(content) - header:
        raise ValueError(f"{path} is not a whole IDX file of uint8 values: delete it to download it again.")
    # A copy, because torch needs memory that it may write to.
    return torch.frombuffer(bytearray(content[header:]), dtype=torch.uint8).view(shape)
