"""The committed real images as the files of CIFAR-10, MNIST and ImageNet."""

import shutil
from pathlib import Path

import numpy as np
from PIL import Image

from tests.datamodules.conftest import python2_pickle

IMAGES = Path(__file__).parent / "sample_images"
NAMES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
PATCHES_OF_A_CLASS = 60  # in each of the six files


def write_cifar10(folder: Path) -> None:
    """Patches of photographs as CIFAR-10's files: each class is one of ten regions of two photographs."""
    regions = []
    for wnid in sorted(path.name for path in (IMAGES / "photographs" / "train").iterdir()):
        for number in (0, 1, 2, 3, 5):
            (path,) = (IMAGES / "photographs" / "train" / wnid).glob(f"*_{number}.JPEG")
            regions.append(np.asarray(Image.open(path)))
    random = np.random.default_rng(0)
    folder.mkdir(parents=True)
    for name in (*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"):
        rows, labels = [], []
        for label in list(range(10)) * PATCHES_OF_A_CLASS:
            region = regions[label]
            top, left = (random.integers(0, size - 31) for size in region.shape[:2])
            rows.append(region[top : top + 32, left : left + 32].transpose(2, 0, 1).reshape(-1))
            labels.append(label)
        content = {"batch_label": name, "labels": labels, "data": np.stack(rows)}
        (folder / name).write_bytes(python2_pickle(content))
    meta = {"num_cases_per_batch": len(labels), "label_names": list(NAMES), "num_vis": 3072}
    (folder / "batches.meta").write_bytes(python2_pickle(meta))


def write_mnist(folder: Path) -> None:
    """300 digits to train and 100 to test as MNIST's four files, not packed."""
    sheet = np.asarray(Image.open(IMAGES / "digits.png"))
    digits = sheet.reshape(10, 28, 40, 28).transpose(2, 0, 1, 3)  # (40, class, height, width)
    folder.mkdir(parents=True)
    for name, part in (("train", digits[:30]), ("t10k", digits[30:])):
        images = part.reshape(-1, 28, 28)
        labels = np.tile(np.arange(10, dtype=np.uint8), len(part))
        for kind, values in (("images", images), ("labels", labels)):
            header = bytes([0, 0, 8, values.ndim]) + b"".join(size.to_bytes(4, "big") for size in values.shape)
            (folder / f"{name}-{kind}-idx{values.ndim}-ubyte").write_bytes(header + values.tobytes())


def write_all(root: Path) -> Path:
    """Folders cifar-10-batches-py, MNIST/raw and imagenet-sample. Returns `root`."""
    write_cifar10(root / "cifar-10-batches-py")
    write_mnist(root / "MNIST" / "raw")
    shutil.copytree(IMAGES / "photographs", root / "imagenet-sample")
    return root
