"""MNIST and Fashion-MNIST from IDX files, packed or not, and what is refused of them."""

import gzip
import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torchvision import datasets

from datamodules import MNIST, FashionMNIST
from datamodules.mnist import read_idx

NAMES = [name.removesuffix(".gz") for name, _ in datasets.MNIST.resources]


def idx(values: np.ndarray) -> bytes:
    header = bytes([0, 0, 8, values.ndim]) + b"".join(size.to_bytes(4) for size in values.shape)
    return header + values.tobytes()


def make(root: Path, kind: str = "MNIST", packed: bool = False) -> Path:
    folder = root / kind / "raw"
    folder.mkdir(parents=True)
    random = np.random.default_rng(0)
    for name in NAMES:
        count = 60 if name.startswith("train") else 20
        shape = (count, 28, 28)
        values = random.integers(0, 256, shape, dtype=np.uint8) if "images" in name else np.arange(count) % 10
        content = idx(values.astype(np.uint8))
        (folder / (f"{name}.gz" if packed else name)).write_bytes(gzip.compress(content) if packed else content)
    return root


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("data_class", [MNIST, FashionMNIST])
def test_files_are_read(data_class: type[MNIST], packed: bool, tmp_path: Path) -> None:
    make(tmp_path, data_class.__name__, packed)
    data = data_class(root=str(tmp_path), verify=False, val_size=20, download=False)
    data.prepare_data()
    data.setup()
    assert data._splits["train"].images.shape == (40, 1, 28, 28)
    assert data.description()["verified"] is False


def test_images_and_labels_are_those_that_torchvision_reads(tmp_path: Path) -> None:
    data = MNIST(root=str(make(tmp_path)), verify=False, val_size=0)
    data.setup()
    for name, split in (("train", data._splits["train"]), ("test", data._splits["test"])):
        theirs = datasets.MNIST(tmp_path, train=name == "train")
        assert torch.equal(split.images[:, 0], theirs.data)
        assert torch.equal(split.labels, theirs.targets)


def test_missing_files_are_fetched_from_the_mirror_that_has_them(
    tmp_path: Path, serve: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    source = make(tmp_path / "source", packed=True) / "MNIST" / "raw"
    contents = {path.name: path.read_bytes() for path in source.iterdir()}
    addresses = [serve(name, content) for name, content in contents.items()]
    good = addresses[0].rpartition("/")[0] + "/"
    monkeypatch.setattr(datasets.MNIST, "mirrors", [f"{good}gone/", good])
    md5 = {name: hashlib.md5(content).hexdigest() for name, content in contents.items()}
    monkeypatch.setattr(datasets.MNIST, "resources", [(name, md5[name]) for name, _ in datasets.MNIST.resources])
    known = {name.removesuffix(".gz"): gzip.decompress(content) for name, content in contents.items()}
    known = {name: hashlib.sha256(content).hexdigest() for name, content in known.items()}
    monkeypatch.setattr(MNIST, "content_sha256", known)
    folder = tmp_path / "data" / "MNIST" / "raw"
    folder.mkdir(parents=True)
    (folder / "train-images-idx3-ubyte.gz.a1b2c3.part").write_bytes(b"what a killed download left")
    data = MNIST(root=str(tmp_path / "data"), val_size=20)
    data.prepare_data()
    data.setup()
    assert data.description()["verified"] is True
    assert {path.name for path in folder.iterdir() if path.suffix == ".gz"} == set(contents)


def test_32_pixels_are_28_with_a_border_of_zeros(tmp_path: Path) -> None:
    make(tmp_path)
    small, large = (MNIST(root=str(tmp_path), verify=False, val_size=0, image_size=size) for size in (28, 32))  # type: ignore[arg-type]
    small.setup()
    large.setup()
    images = large._splits["test"].images
    assert torch.equal(images[:, :, 2:30, 2:30], small._splits["test"].images)
    assert images.sum() == small._splits["test"].images.sum()
    with pytest.raises(ValueError, match="image_size=30 is not offered"):
        MNIST(image_size=30)  # type: ignore[arg-type]


@pytest.mark.parametrize("packed", [False, True])
def test_other_files_are_refused(packed: bool, tmp_path: Path) -> None:
    make(tmp_path, packed=packed)
    data = MNIST(root=str(tmp_path))
    with pytest.raises(ValueError, match="is not the published file"):
        data.setup()


def test_published_packed_files_are_verified(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = make(tmp_path, "FashionMNIST", packed=True) / "FashionMNIST" / "raw"
    contents = {name: gzip.decompress((folder / f"{name}.gz").read_bytes()) for name in NAMES}
    known = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    monkeypatch.setattr(FashionMNIST, "content_sha256", known)
    data = FashionMNIST(root=str(tmp_path), val_size=20)
    data.prepare_data()
    data.setup()
    assert data.description()["verified"] is True


def test_missing_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="lacks train-images-idx3-ubyte.gz: .*--data.root"):
        MNIST(root=str(tmp_path), download=False).prepare_data()


@pytest.mark.parametrize("packed", [False, True])
def test_the_folder_of_the_files_may_be_named_itself(packed: bool, tmp_path: Path) -> None:
    """As Debian's dataset-fashion-mnist lays them out, packed anew: their content is what is verified."""
    folder = make(tmp_path, "FashionMNIST", packed) / "FashionMNIST" / "raw"
    data = FashionMNIST(root=str(folder), download=False, verify=False, val_size=20)
    data.prepare_data()
    data.setup()
    assert data._splits["train"].images.shape == (40, 1, 28, 28)
    with pytest.raises(ValueError, match="train-images-idx3-ubyte.* is not the published file"):
        FashionMNIST(root=str(folder), download=False).setup()


DEBIAN = Path("/usr/share/datasets/fashion-mnist")


@pytest.mark.skipif(not DEBIAN.exists(), reason="needs Debian's package dataset-fashion-mnist")
def test_real_clothes() -> None:
    data = FashionMNIST(root=str(DEBIAN), download=False)
    data.prepare_data()
    data.setup()
    assert data.description()["verified"] is True
    images = torch.cat([data._splits["train"].images, data._splits["val"].images]).float() / 255
    assert (images.mean().item(), images.std().item()) == pytest.approx((*data.mean, *data.std), abs=1e-4)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0\0\x08",
        b"\0\0\x0d\x01\0\0\0\x01x",
        idx(np.zeros((2, 3), np.uint8))[:-1],
        idx(np.zeros(0, np.uint8)),
        b"\0\0\x08\0",
    ],
    ids=["empty", "short", "floats", "truncated", "no values", "no dimensions"],
)
def test_damaged_idx_files_are_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(content)
    (tmp_path / "file.gz").write_bytes(gzip.compress(content)[:-4])
    with pytest.raises(ValueError, match="file is not a whole IDX file"):
        read_idx(tmp_path / "file")
    with pytest.raises(ValueError, match="file.gz is damaged"):
        read_idx(tmp_path / "file.gz")


@pytest.mark.slow(1)
def test_real_digits(shared_data: Path) -> None:
    data = MNIST(root=str(shared_data))
    data.prepare_data()
    data.setup()
    description = data.description()
    assert (description["train_images"], description["val_images"], description["test_images"]) == (50000, 10000, 10000)
    assert (description["selection_split"], description["verified"]) == ("val", True)
    train, val, test = (data._splits[name] for name in ("train", "val", "test"))
    # As published with the files: no class has the same number of images as another.
    in_training = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert (torch.bincount(train.labels) + torch.bincount(val.labels)).tolist() == in_training
    assert torch.bincount(test.labels).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    std, mean = torch.std_mean(torch.cat((train.images, val.images)).float() / 255)
    assert mean.item() == pytest.approx(data.mean[0], abs=5e-5)
    assert std.item() == pytest.approx(data.std[0], abs=5e-5)


def test_real_digits_of_the_sample(sample_data: Path) -> None:
    data = MNIST(root=str(sample_data), verify=False, val_size=50)
    data.prepare_data()
    data.setup()
    description = data.description()
    assert (description["train_images"], description["val_images"], description["test_images"]) == (250, 50, 100)
    assert (description["selection_split"], description["verified"]) == ("val", False)
    train, val, test = (data._splits[name] for name in ("train", "val", "test"))
    assert (torch.bincount(train.labels) + torch.bincount(val.labels)).tolist() == [30] * 10
    assert torch.bincount(test.labels).tolist() == [10] * 10
    std, mean = torch.std_mean(torch.cat((train.images, val.images)).float() / 255)
    assert mean.item() == pytest.approx(data.mean[0], abs=0.1)
    assert std.item() == pytest.approx(data.std[0], abs=0.1)
