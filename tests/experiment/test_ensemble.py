"""An ensemble is the mean of its members' probabilities, on the same images, whatever their architecture."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch import Tensor

from callbacks.test_time.paired_gain import paired_gain
from datamodules import Digits, ImageBatch
from experiment.checkpoints import VerifiedCheckpointIO
from experiment.ensemble import main
from experiment.ensemble_summary import Answers, gain_over_mean, summarize, table
from lightning_modules import VGG, ImageClassifier, ResNet


def write_run(run: Path, network: ImageClassifier, seed: int = 0, **data: Any) -> Path:
    """A run's directory with a best checkpoint of `network`, as a fit on the digits leaves it."""
    checkpoint: dict[str, Any] = {"state_dict": network.state_dict(), "hyper_parameters": dict(network.hparams)}
    checkpoint |= {"epoch": 0, "global_step": 10}
    network.on_save_checkpoint(checkpoint)
    VerifiedCheckpointIO().save_checkpoint(checkpoint, run / "checkpoints" / "best-0000.ckpt")
    config = {
        "seed_everything": seed,
        "model": {"class_path": f"lightning_modules.{type(network).__name__}", "init_args": {}},
        "data": {"class_path": "datamodules.Digits", "init_args": {"eval_batch_size": 100, "val_size": 60, **data}},
    }
    (run / "config.yaml").write_text(yaml.safe_dump(config))
    return run


@pytest.fixture(scope="module")
def networks() -> list[ImageClassifier]:
    torch.manual_seed(0)
    small = [ResNet(8, "cifar", in_channels=1, channels_last=True) for _ in range(2)]
    return [*small, ResNet(14, "cifar", in_channels=1, shortcut="B")]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, networks: list[ImageClassifier]) -> list[Path]:
    folder = tmp_path_factory.mktemp("runs")
    normalizations = ("standard", "mean", "standard")
    return [
        write_run(folder / f"run-{seed}", network, seed, normalization=normalization)
        for seed, (network, normalization) in enumerate(zip(networks, normalizations, strict=True))
    ]


@torch.no_grad()
def expected(networks: list[ImageClassifier], split: str) -> tuple[list[Tensor], Tensor]:
    probabilities = []
    for network, normalization in zip(networks, ("standard", "mean", "standard"), strict=False):
        data = Digits(val_size=60, normalization=normalization)  # type: ignore[arg-type]
        data.setup()
        (batch,) = getattr(data, f"{split}_dataloader")()
        images = data.on_after_batch_transfer(batch, 0).images
        probabilities.append(network.eval()(images).softmax(-1))
    return probabilities, batch.labels


@pytest.mark.parametrize("split", ["test", "val"])
@pytest.mark.slow(4)
def test_members_and_ensemble(
    split: str, runs: list[Path], networks: list[ImageClassifier], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "new" / "ensemble.json"
    words = [*map(str, runs), "--split", split, "--output", str(file), "--accelerator", "cpu"]
    main(words)
    summary = json.loads(file.read_text())
    probabilities, labels = expected(networks, split)
    assert (summary["data"], summary["images"]) == ("digits", 300 if split == "test" else 60)
    for member, own in zip(summary["members"], probabilities, strict=True):
        assert member["acc1"] == pytest.approx(float((own.argmax(1) == labels).double().mean()))
        assert member["acc1_low"] <= member["acc1"] <= member["acc1_high"]
    mean = torch.stack(probabilities).mean(0)
    right = mean.argmax(1) == labels
    assert summary["ensemble"]["acc1"] == pytest.approx(float(right.double().mean()))
    loss = -mean[torch.arange(len(labels)), labels].log().mean()
    assert summary["ensemble"]["loss"] == pytest.approx(float(loss), rel=1e-4)
    assert [member["architecture"] for member in summary["members"]] == ["ResNet-8", "ResNet-8", "ResNet-14 B"]
    output = capsys.readouterr().out
    assert f"digits, {split} split" in output
    assert "ensemble of 3" in output
    assert "Gain over the best member, run-" in output

    with pytest.raises(SystemExit):
        main(words)
    assert "exists: name another file with --output" in capsys.readouterr().err


@pytest.mark.slow(4)
def test_members_average_over_views_too(runs: list[Path], networks: list[ImageClassifier], tmp_path: Path) -> None:
    file = tmp_path / "ensemble.json"
    main([*map(str, runs[::2]), "--protocol", "flip", "--output", str(file), "--accelerator", "cpu"])
    summary = json.loads(file.read_text())
    data = Digits(val_size=60)
    data.setup()
    (batch,) = data.test_dataloader()
    images = data.on_after_batch_transfer(batch, 0).images
    with torch.no_grad():
        network = networks[0].eval()
        own = (network(images).softmax(-1) + network(images.flip(-1)).softmax(-1)) / 2
    assert summary["members"][0]["acc1"] == pytest.approx(float((own.argmax(1) == batch.labels).double().mean()))
    assert summary["views"]["protocol"] == "flip"


@pytest.mark.slow(4)
def test_fully_connected_layers_become_dense_where_the_protocol_wants_whole_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At 32x32, VGG's score map has one position: dense evaluation is that of the image itself."""
    torch.manual_seed(0)
    small: dict[str, Any] = {"stem": "small", "width": 0.25, "fc_width": 8, "num_classes": 10, "in_channels": 1}
    vggs = [VGG("A", initialization="kaiming", **small) for _ in range(2)]
    words = [str(write_run(tmp_path / f"vgg-{seed}", network)) for seed, network in enumerate(vggs)]
    words += ["--split", "val", "--accelerator", "cpu"]
    main([*words, "--output", str(tmp_path / "plain.json")])

    after_transfer = Digits.on_after_batch_transfer

    def whole(data: Digits, batch: ImageBatch, dataloader_idx: int) -> ImageBatch:
        batch = after_transfer(data, batch, dataloader_idx)
        return batch._replace(images={32: list(batch.images)})  # type: ignore[arg-type]

    monkeypatch.setattr(Digits, "on_after_batch_transfer", whole)
    monkeypatch.setattr(Digits, "evaluation_sides", (), raising=False)
    monkeypatch.setattr(Digits, "crop_side", 32, raising=False)
    dense = ["--protocol", "vgg_dense", "--sides", "32", "--no_flips", "--output", str(tmp_path / "dense.json")]
    main([*words, *dense])
    plain, whole_images = (json.loads((tmp_path / f"{name}.json").read_text()) for name in ("plain", "dense"))
    for member, other in zip(plain["members"], whole_images["members"], strict=True):
        assert other["loss"] == pytest.approx(member["loss"], rel=1e-4)


def test_gains_by_hand() -> None:
    labels = torch.tensor([0, 0, 1, 1])
    first = torch.tensor([[0.9, 0.1], [0.4, 0.6], [0.4, 0.6], [0.6, 0.4]])
    second = torch.tensor([[0.8, 0.2], [0.9, 0.1], [0.6, 0.4], [0.1, 0.9]])
    members = [Answers(name, "net", "", 0, labels, own) for name, own in (("a", first), ("b", second))]
    summary = summarize(members)
    # right: a 1 0 1 0, b 1 1 0 1, their mean 1 1 0 1 (0.5 and 0.5 is class 0)
    assert [member["acc1"] for member in summary["members"]] == [0.5, 0.75]
    assert summary["ensemble"]["acc1"] == 0.75
    assert summary["gain_over_best"] == {"member": "b", **paired_gain(0, 0, 4)._asdict()}
    assert summary["gain_over_mean"]["value"] == pytest.approx((0 + 0.5 - 0.5 + 0.5) / 4)
    assert gain_over_mean(members[0], members[:1]) == (0, 0, 0)
    assert "net      50.00% (15.00% to 85.00%)" in table(summary)


@pytest.mark.slow(4)
def test_what_does_not_belong_together_is_refused(
    runs: list[Path], networks: list[ImageClassifier], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other_split = write_run(tmp_path / "other-split", networks[0], split_seed=3)
    other_data = shutil.copytree(runs[0], tmp_path / "other-data")
    config = (other_data / "config.yaml").read_text().replace("datamodules.Digits", "datamodules.MNIST")
    (other_data / "config.yaml").write_text(config)
    other_classes = write_run(tmp_path / "other-classes", ResNet(8, "cifar", num_classes=7, in_channels=1))
    first = runs[0]
    for words, message in (
        ([first], "An ensemble has two members or more"),
        ([first, first / "checkpoints" / "best-0000.ckpt"], "A checkpoint is given twice"),
        ([first, tmp_path / "nothing"], "There is no run"),
        ([first, other_data], "was trained on MNIST, .* on Digits: give runs on the same data"),
        ([first, other_split, "--split", "val"], "has data.split_seed=3, .*: use --split test"),
        ([first, other_classes], "has num_classes=10, the network 7"),
        ([*runs, "--sides", 36], "name its protocol with --protocol"),
        ([*runs, "--protocol", "vgg_crops", "--sides", 36], "use flip or translations"),
    ):
        with pytest.raises(SystemExit) as exit_:
            main([*map(str, words), "--output", str(tmp_path / "out.json"), "--accelerator", "cpu"])
        assert exit_.value.code == 2
        error = capsys.readouterr().err
        assert error.count("\n") == 1
        assert error.startswith("error: ")
        assert re.search(message, error), error
    assert not (tmp_path / "out.json").exists()
