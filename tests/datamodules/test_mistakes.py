"""What users get wrong about data ends the command with one line that names the remedy."""

import gzip
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from torchvision import datasets

Complaint = Callable[..., str]


@pytest.fixture
def complaint(run_main: Callable[..., None], capsys: pytest.CaptureFixture[str]) -> Complaint:
    """What `fit` prints on stderr for a data set and its options, after `error: `."""

    def run(data: str, *words: object) -> str:
        configs = ["--config", f"configs/data/{data}.yaml", "--config", "configs/model/resnet20.yaml"]
        trainer = ["--trainer.accelerator", "cpu", "--trainer.fast_dev_run", "1"]
        with pytest.raises(SystemExit) as exit_info:
            run_main("fit", *configs, *trainer, *words)
        assert exit_info.value.code == 2
        (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
        return line.removeprefix("error: ")

    return run


@pytest.mark.parametrize(
    ("option", "answer"),
    [
        ("--data.val_size=1497", "val_size=1497 leaves none of the 1497 training images to train on: hold out fewer"),
        ("--data.batch_size=1201", "A global batch of 1201 images on each of 1 process(es) is larger than the 1200"),
        ("--data.batch_size=0", "batch_size=0 is too small: --data.batch_size must be at least 1."),
        ("--data.storage=gpu", "data.storage must be cpu or device, not gpu"),
    ],
)
def test_option_that_does_not_fit(option: str, answer: str, complaint: Complaint) -> None:
    assert complaint("digits", option).startswith(answer)


def test_no_folder_and_no_network(tmp_path: Path, complaint: Complaint, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.CIFAR10, "url", "http://127.0.0.1:9/cifar-10-python.tar.gz")
    answer = complaint("cifar10", "--data.root", tmp_path / "data")
    assert answer.startswith("Could not download cifar-10-python.tar.gz (http://127.0.0.1:9/cifar-10-python.tar.gz: ")
    assert answer.endswith(f"or place the file at {tmp_path}/data/cifar-10-python.tar.gz by hand.")


def test_folder_that_is_a_file(tmp_path: Path, complaint: Complaint) -> None:
    (tmp_path / "data").touch()
    assert complaint("mnist", "--data.root", tmp_path / "data").startswith(f"Could not write {tmp_path}/data/MNIST/raw")


def test_copy_with_other_checksums(tmp_path: Path, complaint: Complaint, make_cifar10: Callable[..., Path]) -> None:
    answer = complaint("cifar10", "--data.root", make_cifar10(tmp_path))
    assert answer.startswith(f"{tmp_path}/cifar-10-batches-py/data_batch_1 is not the published file")
    assert "--data.verify=false" in answer


class Command:
    """Pickles as a command to the shell."""

    def __reduce__(self) -> Any:
        return os.system, ("touch executed",)


def test_damaged_and_hostile_files(tmp_path: Path, complaint: Complaint, make_cifar10: Callable[..., Path]) -> None:
    accept = ("--data.verify=false", "--data.root")
    (make_cifar10(tmp_path) / "cifar-10-batches-py" / "data_batch_3").write_bytes(pickle.dumps(Command()))
    answer = complaint("cifar10", *accept, tmp_path)
    assert answer.startswith(
        f"{tmp_path}/cifar-10-batches-py/data_batch_3 is not a CIFAR file (it refers to posix.system)"
    )
    assert not (tmp_path / "executed").exists()

    (tmp_path / "cifar-100-python.tar.gz").write_bytes(b"404 Not Found")
    assert complaint("cifar100", *accept, tmp_path).startswith(f"Could not unpack {tmp_path}/cifar-100-python.tar.gz (")

    folder = tmp_path / "MNIST" / "raw"
    folder.mkdir(parents=True)
    for name, _ in datasets.MNIST.resources:
        (folder / name).write_bytes(gzip.compress(bytes(1000))[:-8])
    answer = complaint("mnist", *accept, tmp_path)
    assert answer.startswith(f"{folder}/train-images-idx3-ubyte.gz is damaged (")
