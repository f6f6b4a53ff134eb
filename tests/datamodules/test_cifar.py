"""CIFAR-10 and CIFAR-100 from the official layouts, and what is refused of them."""

import hashlib
import pickle
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torchvision import datasets

from datamodules import CIFAR10, CIFAR100
from datamodules.download import Checksum

MakeCIFAR10 = Callable[..., Path]


def ready(root: Path, **arguments: object) -> CIFAR10:
    data = CIFAR10(root=str(root), **{"download": False, "verify": False, "val_size": 40, **arguments})  # type: ignore[arg-type]
    data.prepare_data()
    data.setup()
    return data


def test_python_2_and_python_3_pickles_give_the_same_images(tmp_path: Path, make_cifar10: MakeCIFAR10) -> None:
    old = ready(make_cifar10(tmp_path / "old"))
    new = ready(make_cifar10(tmp_path / "new", lambda content: pickle.dumps(content, protocol=4)))
    for split in ("train", "val", "test"):
        assert torch.equal(old._splits[split].images, new._splits[split].images)
    assert old._splits["train"].images.shape == (60, 3, 32, 32)
    assert old.description()["verified"] is False


def test_images_and_labels_are_those_that_torchvision_reads(
    tmp_path: Path, make_cifar10: MakeCIFAR10, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = ready(make_cifar10(tmp_path), val_size=0)
    monkeypatch.setattr("torchvision.datasets.cifar.check_integrity", lambda *_: True)
    for name, split in (("train", data._splits["train"]), ("test", data._splits["test"])):
        theirs = datasets.CIFAR10(tmp_path, train=name == "train")
        assert np.array_equal(split.images.permute(0, 2, 3, 1).numpy(), theirs.data)
        assert split.labels.tolist() == theirs.targets


def test_other_checksums_are_refused_unless_accepted(tmp_path: Path, make_cifar10: MakeCIFAR10) -> None:
    with pytest.raises(ValueError, match=r"data_batch_1 is not the published file \(md5 .*--data.verify=false"):
        ready(make_cifar10(tmp_path), verify=True)


def test_published_checksums_are_verified(
    tmp_path: Path, make_cifar10: MakeCIFAR10, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_cifar10(tmp_path) / "cifar-10-batches-py"
    md5 = {path.name: hashlib.md5(path.read_bytes()).hexdigest() for path in folder.iterdir()}
    for listing in ("train_list", "test_list"):
        names = [[name, md5[name]] for name, _ in getattr(datasets.CIFAR10, listing)]
        monkeypatch.setattr(datasets.CIFAR10, listing, names)
    monkeypatch.setattr(datasets.CIFAR10, "meta", {**datasets.CIFAR10.meta, "md5": md5["batches.meta"]})
    assert ready(tmp_path, verify=True).description()["verified"] is True


def pack(source: Path, archive: Path) -> Path:
    """Pack a folder of images as the official archive is packed."""
    archive.parent.mkdir(exist_ok=True)
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(source / "cifar-10-batches-py", "cifar-10-batches-py")
    return archive


def test_archive_is_verified_and_unpacked(
    tmp_path: Path, make_cifar10: MakeCIFAR10, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = pack(make_cifar10(tmp_path / "source"), tmp_path / "data" / "cifar-10-python.tar.gz")
    with pytest.raises(ValueError, match=r"cifar-10-python.tar.gz is not the published file \(sha256"):
        ready(tmp_path / "data", verify=True)
    assert sorted(path.name for path in archive.parent.iterdir()) == [archive.name]
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    monkeypatch.setattr(CIFAR10, "archive_checksum", Checksum("sha256", digest))
    assert ready(tmp_path / "data").description()["train_images"] == 60
    assert sorted(path.name for path in archive.parent.iterdir()) == ["cifar-10-batches-py", archive.name]


def test_archive_is_fetched_when_there_is_none(
    tmp_path: Path, make_cifar10: MakeCIFAR10, serve: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    content = pack(make_cifar10(tmp_path / "source"), tmp_path / "packed.tar.gz").read_bytes()
    monkeypatch.setattr(datasets.CIFAR10, "url", serve("cifar-10-python.tar.gz", content))
    with pytest.raises(ValueError, match="Could not download cifar-10-python.tar.gz .*sha256 is"):
        ready(tmp_path / "data", download=True)
    monkeypatch.setattr(CIFAR10, "archive_checksum", Checksum("sha256", hashlib.sha256(content).hexdigest()))
    data = ready(tmp_path / "data", download=True)
    assert data.description()["test_images"] == 20
    assert sorted(path.name for path in data.root.iterdir()) == ["cifar-10-batches-py", "cifar-10-python.tar.gz"]


def test_what_killed_jobs_left_is_not_read(tmp_path: Path, make_cifar10: MakeCIFAR10) -> None:
    source = make_cifar10(tmp_path / "source")
    pack(source, tmp_path / "data" / "cifar-10-python.tar.gz.x7_kd1.part")
    (source / "cifar-10-batches-py").rename(tmp_path / "data" / "cifar-10-batches-py.q2w8e.part")
    with pytest.raises(ValueError, match="has neither"):
        ready(tmp_path / "data")


@pytest.mark.parametrize("damage", ["nothing", "cut", "no archive", "compressed data"])
def test_damaged_archive_is_refused(damage: str, tmp_path: Path, make_cifar10: MakeCIFAR10) -> None:
    archive = pack(make_cifar10(tmp_path / "source"), tmp_path / "data" / "cifar-10-python.tar.gz")
    content = archive.read_bytes()
    damaged = {
        "nothing": b"",
        "cut": content[: len(content) // 2],
        "no archive": b"404 Not Found",
        "compressed data": content[:100_000] + bytes(1000) + content[101_000:],
    }
    archive.write_bytes(damaged[damage])
    with pytest.raises(
        ValueError,
        match=r"^Could not unpack .*cifar-10-python.tar.gz \(.*or delete the archive to download it again.$",
    ):
        ready(tmp_path / "data")
    assert list(archive.parent.iterdir()) == [archive]


def test_archive_that_climbs_out_of_its_folder_is_refused(tmp_path: Path) -> None:
    archive = tmp_path / "data" / "cifar-10-python.tar.gz"
    archive.parent.mkdir()
    (tmp_path / "payload").touch()
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(tmp_path / "payload", "../escaped")
        tar.add(tmp_path / "payload", "cifar-10-batches-py/../../escaped")
    with pytest.raises(ValueError, match="Could not unpack .*it lacks cifar-10-batches-py/batches.meta, "):
        ready(tmp_path / "data")
    assert not (tmp_path / "escaped").exists()


def test_tampered_batch_does_not_run(
    tmp_path: Path, make_cifar10: MakeCIFAR10, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    make_cifar10(tmp_path)
    (tmp_path / "cifar-10-batches-py" / "data_batch_2").write_bytes(b"cos\nsystem\n(S'touch executed'\ntR.")
    with pytest.raises(ValueError, match=r"data_batch_2 is not a CIFAR file \(it refers to os.system\)"):
        ready(tmp_path)
    assert not (tmp_path / "executed").exists()


def test_missing_files_are_named(tmp_path: Path, make_cifar10: MakeCIFAR10) -> None:
    with pytest.raises(ValueError, match="has neither cifar-10-batches-py nor cifar-10-python.tar.gz: .*--data.root"):
        ready(tmp_path)
    (make_cifar10(tmp_path) / "cifar-10-batches-py" / "data_batch_4").unlink()
    with pytest.raises(ValueError, match="lacks data_batch_4"):
        ready(tmp_path)


@pytest.mark.parametrize(
    "content",
    [
        {"labels": [0] * 20},
        {"data": np.zeros((20, 3072), np.uint8)},
        {"data": np.zeros((20, 3071), np.uint8), "labels": [0] * 20},
        {"data": np.zeros((20, 3072), np.uint8), "labels": [0] * 19},
        {"data": np.zeros((20, 3072), np.uint8), "labels": [0.5] * 20},
        {"data": [0] * 20, "labels": [0] * 20},
    ],
    ids=["no images", "no labels", "columns", "fewer labels", "fractions", "no matrix"],
)
def test_file_that_lacks_images_or_labels_is_refused(
    content: object, tmp_path: Path, make_cifar10: MakeCIFAR10
) -> None:
    make_cifar10(tmp_path)
    (tmp_path / "cifar-10-batches-py" / "data_batch_5").write_bytes(pickle.dumps(content, protocol=4))
    with pytest.raises(ValueError, match="data_batch_5 does not hold rows of 3072 pixels"):
        ready(tmp_path)


def test_cifar100_has_its_own_labels(tmp_path: Path) -> None:
    folder = tmp_path / "cifar-100-python"
    folder.mkdir()
    for name, count in (("train", 200), ("test", 100)):
        labels = [index % 100 for index in range(count)]
        content = {"data": np.zeros((count, 3072), np.uint8), "fine_labels": labels, "coarse_labels": [0] * count}
        (folder / name).write_bytes(pickle.dumps(content, protocol=4))
    (folder / "meta").write_bytes(pickle.dumps({"fine_label_names": list(CIFAR100.class_names)}))
    data = CIFAR100(root=str(tmp_path), verify=False, val_size=0)
    data.prepare_data()
    data.setup()
    assert data._splits["train"].labels.max() == 99
    assert len(set(CIFAR100.class_names)) == 100


def test_other_class_names_are_refused(tmp_path: Path, make_cifar10: MakeCIFAR10) -> None:
    make_cifar10(tmp_path)
    meta = tmp_path / "cifar-10-batches-py" / "batches.meta"
    meta.write_bytes(pickle.dumps({"label_names": ["cat", "dog"]}))
    with pytest.raises(ValueError, match="does not name the classes of cifar10"):
        ready(tmp_path)


@pytest.mark.slow(2)
def test_real_photographs(shared_data: Path) -> None:
    data = CIFAR10(root=str(shared_data), verify=False)
    data.prepare_data()
    data.setup()
    description = data.description()
    assert (description["train_images"], description["val_images"], description["test_images"]) == (45000, 5000, 10000)
    assert (description["selection_split"], description["verified"]) == ("val", False)
    train, val, test = (data._splits[name] for name in ("train", "val", "test"))
    assert (torch.bincount(train.labels) + torch.bincount(val.labels)).tolist() == [5000] * 10
    assert torch.bincount(test.labels).tolist() == [1000] * 10
    std, mean = torch.std_mean(torch.cat((train.images, val.images)).float() / 255, dim=(0, 2, 3))
    assert mean.tolist() == pytest.approx(data.mean, abs=3e-4)
    assert std.tolist() == pytest.approx(data.std, abs=2e-3)  # re-encoding took some of the contrast


def test_real_photographs_of_the_sample(sample_data: Path) -> None:
    data = CIFAR10(root=str(sample_data), verify=False, val_size=500)
    data.prepare_data()
    data.setup()
    description = data.description()
    assert (description["train_images"], description["val_images"], description["test_images"]) == (2500, 500, 600)
    assert (description["selection_split"], description["verified"]) == ("val", False)
    train, val, test = (data._splits[name] for name in ("train", "val", "test"))
    assert (torch.bincount(train.labels) + torch.bincount(val.labels)).tolist() == [300] * 10
    assert torch.bincount(test.labels).tolist() == [60] * 10
    std, mean = torch.std_mean(torch.cat((train.images, val.images)).float() / 255, dim=(0, 2, 3))
    assert mean.tolist() == pytest.approx(data.mean, abs=0.15)
    assert std.tolist() == pytest.approx(data.std, abs=0.15)
