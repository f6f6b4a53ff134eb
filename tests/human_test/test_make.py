import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from sklearn.datasets import load_digits
from torch import Tensor

from datamodules import Digits
from experiment.checkpoints import VerifiedCheckpointIO
from human_test import run_images
from human_test.__main__ import main
from human_test.protocol import masked
from human_test.run_images import held_out_images
from lightning_modules.gan.module import GAN

DATA = {"class_path": "datamodules.Digits", "init_args": {"normalization": "symmetric"}}


@pytest.fixture
def run(tmp_path: Path) -> Path:
    directory = tmp_path / "run"
    (directory / "checkpoints").mkdir(parents=True)
    model = {"class_path": "lightning_modules.GAN", "init_args": {"networks": "dcgan"}}
    (directory / "config.yaml").write_text(yaml.safe_dump({"model": model, "data": DATA}))
    torch.save({}, directory / "checkpoints" / "best-0001.ckpt")
    return directory


class Gray:
    """A generator of gray images."""

    def sample(self, count: int, labels: Tensor | None = None, *, seed: int = 0) -> Tensor:
        return torch.full((count, 1, 32, 32), 0.5) + seed / 1000


@pytest.fixture
def gray(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_images, "read_gan", lambda checkpoint: Gray())


def content_of(page: Path) -> dict:
    found = re.search('<script type="application/json" id="test">(.*?)</script>', page.read_text(encoding="utf-8"))
    assert found
    return json.loads(found[1])


@pytest.mark.usefixtures("gray")
def test_a_page_of_a_run(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["make", str(run), "--images", "10"]) == 0
    page = run / "human_test-0.html"
    printed = capsys.readouterr().out
    content = content_of(page)
    assert printed.splitlines()[-1] == str(page)
    assert f"5 test images of digits and 5 samples of GAN (dcgan): test {content['id']}" in printed
    assert len(content["pictures"]) == 10
    assert (content["width"], content["height"], content["feedback"], content["published"]) == (32, 32, False, None)
    truth = masked(content["key"], content["id"])
    assert truth.count("1") == 5
    generated = {picture for picture, kind in zip(content["pictures"], truth, strict=True) if kind == "0"}
    assert len(generated) == 1  # all gray


@pytest.mark.usefixtures("gray")
def test_the_same_arguments_make_the_same_test(run: Path, tmp_path: Path) -> None:
    pages = {"a": [], "b": [], "c": ["--seed", "1"], "d": ["--feedback"]}
    for name, options in pages.items():
        output = ["--output", str(tmp_path / f"{name}.html")]
        assert main(["make", str(run), "--images", "4", *output, *options]) == 0
    ids = {name: content_of(tmp_path / f"{name}.html")["id"] for name in pages}
    assert ids["a"] == ids["b"]
    assert len(set(ids.values())) == 3


def test_real_images_are_those_of_the_test_split_as_they_are() -> None:
    images = held_out_images({"data": DATA}, 300, seed=0)
    data = Digits()
    data.setup("test")
    expected = torch.cat([batch.images for batch in data.test_dataloader()])
    assert images.dtype == np.uint8
    assert images.shape == (300, 32, 32, 1)
    assert {image.tobytes() for image in images} == {image.numpy().tobytes() for image in expected}
    assert len(load_digits().images) > 300  # it is not all there is
    assert (held_out_images({"data": DATA}, 5, seed=1) != held_out_images({"data": DATA}, 5, seed=2)).any()


def test_samples_are_rounded_like_files(monkeypatch: pytest.MonkeyPatch, run: Path) -> None:
    class Extremes(Gray):
        def sample(self, count: int, labels: Tensor | None = None, *, seed: int = 0) -> Tensor:
            return torch.tensor([-1.0, 1.0, 0.0, 1.1]).view(1, 1, 2, 2)

    monkeypatch.setattr(run_images, "read_gan", lambda checkpoint: Extremes())
    assert run_images.samples_of(run, 1, 0).tolist() == [[[[0], [255]], [[128], [255]]]]


def test_mistakes_are_one_line(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    classifier = tmp_path / "classifier"
    classifier.mkdir()
    (classifier / "config.yaml").write_text(yaml.safe_dump({"model": {"class_path": "x.ResNet"}, "data": DATA}))
    taken = tmp_path / "taken.html"
    taken.touch()
    for command, sentence in {
        f"{run} --images 7": "--images 7 cannot be halved into real and generated ones: give 2, 4, 6 or more.",
        f"{run} --images 0": "--images 0 cannot be halved",
        f"{run} --images 602": "digits has 300 test images: ask for at most 600 with --images.",
        f"{run} --output {taken}": f"{taken} exists: name another file with --output.",
        f"{tmp_path / 'nowhere'}": f"There is no run {tmp_path / 'nowhere'}: give the directory of a GAN's run",
        f"{tmp_path}": f"There is no {tmp_path / 'config.yaml'} that names a GAN and its data",
        f"{classifier}": f"{classifier} holds ResNet, which makes no images: give the run of a GAN.",
        f"{run}": "best-0001.ckpt is no checkpoint of a network of this project",
    }.items():
        assert main(["make", *command.split()]) == 2
        captured = capsys.readouterr()
        assert captured.err.startswith("error: ")
        assert captured.err.count("\n") == 1
        assert sentence in captured.err
    assert not list(run.glob("*.html"))


def test_images_that_are_not_finite_are_refused(monkeypatch: pytest.MonkeyPatch, run: Path) -> None:
    class Broken(Gray):
        def sample(self, count: int, labels: Tensor | None = None, *, seed: int = 0) -> Tensor:
            return torch.full((count, 1, 32, 32), torch.nan)

    monkeypatch.setattr(run_images, "read_gan", lambda checkpoint: Broken())
    with pytest.raises(ValueError, match="not finite: give another checkpoint"):
        run_images.samples_of(run, 2, 0)


def test_without_a_best_checkpoint_the_latest_is_taken(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (run / "checkpoints" / "best-0001.ckpt").unlink()
    with pytest.raises(ValueError, match="has no checkpoint that verifies: name another"):
        run_images.samples_of(run, 2, 0)
    for step in (5, 10):
        checkpoint = {"epoch": 0, "global_step": step}
        VerifiedCheckpointIO().save_checkpoint(checkpoint, run / "checkpoints" / f"last-{step}.ckpt")
    taken = []
    monkeypatch.setattr(run_images, "read_gan", lambda checkpoint: taken.append(checkpoint.name) or Gray())
    run_images.samples_of(run, 2, 0)
    assert taken == ["last-10.ckpt"]


@pytest.mark.slow(1)
def test_samples_of_a_trained_gan(run: Path) -> None:
    torch.manual_seed(0)
    gan = GAN(networks="mlp", ema_decay=0.9, in_channels=1, image_size=32)
    checkpoint = {"hyper_parameters": dict(gan.hparams), "state_dict": gan.state_dict()}
    torch.save(checkpoint, run / "checkpoints" / "best-0001.ckpt")
    images = run_images.samples_of(run, 3, seed=5)
    expected = gan.sample(3, seed=5)
    assert images.shape == (3, 32, 32, 1)
    assert np.abs(images[..., 0] / 127.5 - 1 - expected[:, 0].numpy()).max() < 0.5 / 127.5 + 1e-5
    assert main(["make", str(run), "--images", "4"]) == 0
    checkpoint["state_dict"].pop(next(iter(checkpoint["state_dict"])))
    torch.save(checkpoint, run / "checkpoints" / "best-0001.ckpt")
    with pytest.raises(ValueError, match="does not fit the GAN of its own arguments"):
        run_images.samples_of(run, 3, seed=5)
