"""CIFAR-10 and CIFAR-100: 60,000 color photographs of 32x32 pixels.

A. Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009.
"""

import gzip
import shutil
import tarfile
import tempfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torchvision import datasets

from datamodules.download import Checksum, download_file, verify_files
from datamodules.in_memory import InMemoryDataModule, Split
from datamodules.pickles import read_pickle


class CIFAR10(InMemoryDataModule):
    """CIFAR-10: 50,000 training and 10,000 test photographs of 10 classes.

    A. Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009. The mean and standard deviation are
    those of the 50,000 training images.
    """

    name = "cifar10"
    num_classes = 10
    in_channels = 3
    image_size = 32
    class_names: tuple[str, ...] = (
        "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
    )  # fmt: skip
    mean = (0.4914, 0.4822, 0.4465)
    std = (0.2470, 0.2435, 0.2616)

    official: ClassVar[type[datasets.CIFAR10]] = datasets.CIFAR10
    archive_checksum = Checksum("sha256", "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce")
    labels_key = "labels"

    def __init__(
        self,
        *,
        root: str = "data",
        download: bool = True,
        verify: bool = True,
        val_size: int = 5000,
        crop_padding: int = 4,
        horizontal_flip: bool = True,
        **kwargs: Any,
    ) -> None:
        """Reads the official Python archive, packed or unpacked as torchvision does.

        Args:
            root: Folder with the archive, packed or unpacked; downloads go there too.
            download: Whether to download the archive (170 MB) if root has neither form of it.
            verify: Whether to refuse files whose checksums differ from the published ones; if not, summary.json records
                whether they differ.
            val_size: Number of training images, of 50,000, that are held out for validation, which chooses the best
                checkpoint (5,000 in the ResNet paper); 0 validates on the test images, and summary.json says so.
            crop_padding: Number of zeros on each side of a training image, before a random crop back to 32x32 pixels.
            horizontal_flip: Whether to mirror half of the training images.
            kwargs: Arguments of every data set in memory.
        """
        super().__init__(val_size=val_size, crop_padding=crop_padding, horizontal_flip=horizontal_flip, **kwargs)
        self.root = Path(root).expanduser()
        self.download = download
        self.verify = verify

    @property
    def folder(self) -> Path:
        """What the archive unpacks to."""
        return self.root / str(self.official.base_folder)

    def prepare_data(self) -> None:
        """Fetches and unpacks the archive if needed; Lightning calls this in one process of each node.

        Raises:
            ValueError: There is no archive and none may be fetched, or it is not the published one.
        """
        if self.folder.is_dir():
            return
        archive = self.root / self.official.filename
        if archive.is_file():
            verify_files({archive: self.archive_checksum}, required=self.verify)
        elif self.download:
            download_file([self.official.url], archive, self.archive_checksum)
        else:
            raise ValueError(
                f"{self.root} has neither {self.folder.name} nor {archive.name}: name the folder that has one with "
                "--data.root, or download it with --data.download=true."
            )
        self._unpack(archive)

    def read(self) -> tuple[Split, Split, bool]:
        """Reads the files that the archive unpacks to."""
        train_files, test_files = dict(self.official.train_list), dict(self.official.test_list)
        names_file = self.official.meta["filename"]
        md5 = {**train_files, **test_files, names_file: self.official.meta["md5"]}
        missing = [name for name in md5 if not (self.folder / name).is_file()]
        if missing:
            raise ValueError(
                f"{self.folder} lacks {', '.join(missing)}: delete the folder to unpack it again, "
                "or name another with --data.root."
            )
        checksums = {self.folder / name: Checksum("md5", digest) for name, digest in md5.items()}
        verified = verify_files(checksums, required=self.verify)

        names = read_pickle(self.folder / names_file).get(self.official.meta["key"])
        if not isinstance(names, list) or tuple(names) != self.class_names:
            raise ValueError(
                f"{self.folder / names_file} does not name the classes of {self.name}: check that --data.root holds it."
            )
        return self._read_split(list(train_files)), self._read_split(list(test_files)), verified

    def _read_split(self, names: Sequence[str]) -> Split:
        images: list[np.ndarray[Any, Any]] = []
        labels: list[int] = []
        for name in names:
            content = read_pickle(self.folder / name)
            match content.get("data"), content.get(self.labels_key):
                case (np.ndarray(shape=(count, 3072)) as pixels, list(targets)) if len(targets) == count and all(
                    type(label) is int for label in targets
                ):
                    images.append(pixels.reshape(-1, 3, 32, 32))
                    labels.extend(targets)
                case _:
                    raise ValueError(
                        f"{self.folder / name} does not hold rows of 3072 pixels under 'data' and a label for each "
                        f"under '{self.labels_key}': check that --data.root holds {self.name}."
                    )
        return Split(torch.from_numpy(np.concatenate(images)), torch.tensor(labels))

    def _unpack(self, archive: Path) -> None:
        try:
            with tempfile.TemporaryDirectory(prefix=f"{self.folder.name}.", suffix=".part", dir=self.root) as part:
                with gzip.open(archive) as content, tarfile.open(fileobj=content, mode="r:") as files:
                    self._extract(files, Path(part))
                    while content.read(1 << 20):
                        pass  # the checksum of gzip lies behind the last file, where tarfile does not read
                (Path(part) / self.folder.name).rename(self.folder)
        except (tarfile.TarError, zlib.error, EOFError, OSError) as error:
            if self.folder.is_dir():
                return  # another job on this file system was faster
            raise ValueError(
                f"Could not unpack {archive} ({error}): make sure that its folder has room and may be written to, "
                "or delete the archive to download it again."
            ) from None

    def _extract(self, files: tarfile.TarFile, into: Path) -> None:
        # by name, and not `extractall`: Python 3.11 before 3.11.4 has none that keeps an archive within a folder
        names = [name for name, _ in (*self.official.train_list, *self.official.test_list)]
        missing = {f"{self.folder.name}/{name}" for name in (*names, self.official.meta["filename"])}
        (into / self.folder.name).mkdir()
        for member in files:
            if member.name in missing and (content := files.extractfile(member)):
                with content, (into / member.name).open("wb") as file:
                    shutil.copyfileobj(content, file)
                missing.remove(member.name)
        if missing:
            raise tarfile.TarError(f"it lacks {', '.join(sorted(missing))}")


class CIFAR100(CIFAR10):
    """CIFAR-100: 50,000 training and 10,000 test photographs of 100 classes.

    The 100 fine labels; the 20 coarse ones are not read. A. Krizhevsky, "Learning Multiple Layers of Features from Tiny
    Images", 2009. The mean and standard deviation are those of the 50,000 training images.
    """

    name = "cifar100"
    num_classes = 100
    class_names = (
        "apple", "aquarium_fish", "baby", "bear", "beaver", "bed", "bee", "beetle", "bicycle", "bottle",
        "bowl", "boy", "bridge", "bus", "butterfly", "camel", "can", "castle", "caterpillar", "cattle",
        "chair", "chimpanzee", "clock", "cloud", "cockroach", "couch", "crab", "crocodile", "cup", "dinosaur",
        "dolphin", "elephant", "flatfish", "forest", "fox", "girl", "hamster", "house", "kangaroo",
        "keyboard", "lamp", "lawn_mower", "leopard", "lion", "lizard", "lobster", "man", "maple_tree",
        "motorcycle", "mountain", "mouse", "mushroom", "oak_tree", "orange", "orchid", "otter", "palm_tree",
        "pear", "pickup_truck", "pine_tree", "plain", "plate", "poppy", "porcupine", "possum", "rabbit",
        "raccoon", "ray", "road", "rocket", "rose", "sea", "seal", "shark", "shrew", "skunk", "skyscraper",
        "snail", "snake", "spider", "squirrel", "streetcar", "sunflower", "sweet_pepper", "table", "tank",
        "telephone", "television", "tiger", "tractor", "train", "trout", "tulip", "turtle", "wardrobe",
        "whale", "willow_tree", "wolf", "woman", "worm",
    )  # fmt: skip
    mean = (0.5071, 0.4865, 0.4409)
    std = (0.2673, 0.2564, 0.2762)

    official = datasets.CIFAR100
    archive_checksum = Checksum("sha256", "85cd44d02ba6437773c5bbd22e183051d648de2e7d6b014e1ef29b855ba677a7")
    labels_key = "fine_labels"
