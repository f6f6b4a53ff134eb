"""What is in a picture: `predict` and `classify` answer as `test` does, of runs and of weights from elsewhere."""

import csv
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import models

from experiment import weight_files
from experiment.classify import main as classify
from experiment.classify import published_network
from experiment.export import export
from experiment.pretrained import PretrainedClassifier
from records.summary import Summary
from tests.datamodules.photographs.made_photographs import jpeg, photograph
from tests.forked import run_main_on_ranks

SMALL = (
    *("--model", "ResNet", "--model.variant", "cifar", "--model.depth", "8", "--model.width", "0.5"),
    *("--data", "ImageFolder", "--data.image_size", "32", "--data.crop_side", "36", "--trainer.accelerator", "cpu"),
)
QUIET = ("--config", "configs/base.yaml", "--trainer.logger", "experiment.csv_logger.ResumableCSVLogger")


@pytest.mark.slow(20)
def test_two_ranks_predict_what_one_does(tmp_path: Path, run_main: Callable[..., None]) -> None:
    base = [*QUIET, "--config", "configs/data/digits.yaml", "--config", "configs/model/resnet20.yaml"]
    base += ["--model.depth", "8", "--trainer.accelerator", "cpu", "--trainer.enable_progress_bar", "false"]
    few = ["--trainer.max_epochs", "1", "--trainer.limit_train_batches", "2", "--test_at_end", "false"]
    run = tmp_path / "run"
    run_main("fit", *base, *few, "--run_dir", run)
    words = ["predict", "--config", str(run / "config.yaml"), "--ckpt_path", str(run)]
    run_main(*words, "--run_dir", tmp_path / "one")
    two = [*words, "--trainer.devices", "2", "--trainer.strategy", "ddp", "--run_dir", str(tmp_path / "two")]
    codes = run_main_on_ranks(two, ranks=2, log=tmp_path / "log")
    assert codes == [0, 0], (tmp_path / "log").read_text()[-2000:]
    one, both = (list(csv.DictReader((tmp_path / name / "predictions.csv").open())) for name in ("one", "two"))
    assert len(one) % 64  # the last batch of the two ranks has rows that only fill it
    for name in ("index", "label", "class1"):
        assert [row[name] for row in both] == [row[name] for row in one]
    answers = [np.load(tmp_path / name / "probabilities.npy") for name in ("one", "two")]
    np.testing.assert_allclose(*answers, rtol=1e-5, atol=1e-6)


@pytest.mark.slow(20)
def test_a_run_on_pictures_answers(
    tmp_path: Path, run_main: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "my pets"
    for label, name in enumerate(("고양이", "dog")):
        for number in range(5):
            (root / name).mkdir(parents=True, exist_ok=True)
            (root / name / f"{number}.jpg").write_bytes(jpeg(photograph(10 * label + number, (50, 40))))
    data = ("--data.root", str(root))
    run_main("fit", *QUIET, *SMALL, *data, "--trainer.max_epochs", "1", "--test_at_end", "true")
    (run,) = (tmp_path / "runs" / "my-pets").glob("*/*")
    summary = Summary.read(run)
    assert (summary.data.name, summary.data.class_names) == ("my pets", ["dog", "고양이"])

    run_main("predict", "--config", run / "config.yaml", "--ckpt_path", run, "--run_dir", tmp_path / "predicted")
    rows = list(csv.DictReader((tmp_path / "predicted" / "predictions.csv").open(encoding="utf-8")))
    probabilities = np.load(tmp_path / "predicted" / "probabilities.npy")
    assert [int(row["index"]) for row in rows] == list(range(2))
    assert probabilities.shape == (2, 2)
    hits = [row["class1"] == row["label"] == row["file"].split("/")[0] for row in rows]
    assert np.mean(hits) == pytest.approx(summary.metrics["test/acc1"])

    (tmp_path / "empty.jpg").write_bytes(b"")
    files = [str(root / row["file"]) for row in rows]
    answers = tmp_path / "answers.json"
    capsys.readouterr()
    assert classify([str(run), *files, str(tmp_path / "empty.jpg"), "--json", str(answers)]) == 1
    assert "empty.jpg is left out: it is empty" in capsys.readouterr().err
    for row, answer in zip(rows, json.loads(answers.read_text()), strict=True):
        assert answer["classes"][0] == row["class1"]
        assert answer["probabilities"][0] == pytest.approx(float(row["probability1"]), abs=1e-5)
    export(run, tmp_path / "exported")
    assert classify([str(tmp_path / "exported"), *files, "--json", str(tmp_path / "again.json")]) == 0
    assert json.loads((tmp_path / "again.json").read_text()) == json.loads(answers.read_text())
    assert classify([str(run), str(root), "--top", "1", "--csv", str(tmp_path / "all.csv")]) == 0
    assert len((tmp_path / "all.csv").read_text().splitlines()) == 11

    (weights,) = (run / "checkpoints").glob("best*.ckpt")
    run_main("test", *QUIET, *SMALL, *data, "--model.weights", weights, "--run_dir", tmp_path / "tested")
    assert Summary.read(tmp_path / "tested").metrics["test/acc1"] == pytest.approx(summary.metrics["test/acc1"])
    with pytest.raises(SystemExit):
        run_main("test", *QUIET, *SMALL, *data)
    assert "or weights from elsewhere with --model.weights" in capsys.readouterr().err
    (root / "bird").mkdir()
    (root / "bird" / "1.jpg").write_bytes(jpeg(photograph(1, (50, 40))))
    with pytest.raises(SystemExit):
        run_main("test", *QUIET, *SMALL, *data, "--model.weights", weights)
    assert "has 2 classes, the data set 3" in capsys.readouterr().err


@pytest.fixture
def exported(tmp_path: Path) -> Path:
    """A network for images of 32x32 out of photographs whose shorter side has 48 pixels."""
    network = PretrainedClassifier(
        *("ResNet", {"variant": "cifar", "depth": 8, "num_classes": 3}),
        class_names=["cat", "dog", "고양이"],
        mean=[0.5] * 3,
        std=[0.25] * 3,
        crop_side=48,
    )
    network.save_pretrained(tmp_path / "exported")
    return tmp_path / "exported"


def test_pictures_show_what_the_network_saw(
    exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "photo.jpg").write_bytes(jpeg(photograph(1, (200, 100))))
    (tmp_path / "large.jpg").write_bytes(jpeg(photograph(2, (1400, 700))))
    files = ["a/photo.jpg", "b/photo.jpg", "large.jpg"]
    assert classify([str(exported), *files, "--picture"]) == 0
    assert "The class activation maps are in class_activation_maps" in capsys.readouterr().out
    drawn = {path.name: Image.open(path) for path in (tmp_path / "class_activation_maps").iterdir()}
    assert drawn.keys() == {"photo.png", "photo-2.png", "large.png"}
    assert drawn["large.png"].width == 2 * 640 + 3 * 16
    picture = drawn["photo.png"].crop((2 * 16 + 200, 16 + 20, 2 * 16 + 400, 16 + 120))
    colors = np.asarray(picture, int)
    is_gray = np.ptp(colors, axis=-1) < 12
    # The shorter side of 100 pixels is resized to 48, of which the network sees 32: 67 pixels in the middle.
    assert is_gray[:, :64].all()
    assert is_gray[:14].all()
    assert not is_gray[17:83, 67:133].all()
    with pytest.raises(SystemExit):
        classify([str(exported), "--picture", "large.jpg", "a/photo.jpg"])
    assert "--picture large.jpg is a file: name a folder" in capsys.readouterr().err


@pytest.mark.slow(3)
def test_torchvisions_weights_answer_by_their_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As torchvision does with the preset that the weights have."""
    reference = models.resnet18().eval()
    torch.save(reference.state_dict(), tmp_path / "w.pth")
    monkeypatch.setattr(weight_files, "_torchvision_file", lambda network, name: tmp_path / "w.pth")
    file = tmp_path / "photo.png"
    photograph(3, (300, 280)).save(file)
    name = "ResNet18_Weights.IMAGENET1K_V1"
    assert classify([name, str(file), "--json", str(tmp_path / "answers.json")]) == 0
    (answer,) = json.loads((tmp_path / "answers.json").read_text())
    weights = models.get_weight(name)
    with torch.no_grad():
        probabilities = reference(weights.transforms()(Image.open(file)).unsqueeze(0)).softmax(1)[0]
    best = probabilities.topk(5)
    assert answer["classes"] == [weights.meta["categories"][label] for label in best.indices]
    assert answer["probabilities"] == pytest.approx(best.values.tolist(), rel=0.02)
    with pytest.raises(SystemExit):
        classify(["MobileNet_V2_Weights.IMAGENET1K_V1", str(file)])
    assert "no network for MobileNet_V2_Weights.IMAGENET1K_V1 here: name weights of AlexNet" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("family", "depth", "architecture"),
    [("VGG16_BN", None, "VGG-16 D BN"), ("ResNet50", 50, "ResNet-50 v1.5"), ("AlexNet", None, "AlexNet torchvision")],
)
def test_the_network_of_each_name(
    family: str, depth: int | None, architecture: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("experiment.classify.load_weights", lambda *_, **__: None)
    with torch.device("meta"):
        network = published_network(f"{family}_Weights.IMAGENET1K_V1")
    assert network.network.architecture == architecture
    assert network.class_names is not None
    assert (network.class_names[0], network.crop_side) == ("tench", 256)


def test_mistakes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words, message in (
        ([str(tmp_path / "nowhere"), "x.jpg"], "There is no run"),
        ([str(tmp_path), "x.jpg", "--top", "0"], "at least 1 class"),
    ):
        with pytest.raises(SystemExit) as ended:
            classify(words)
        assert ended.value.code == 2
        assert message in capsys.readouterr().err


def test_how_published_weights_were_evaluated_is_said() -> None:
    from types import SimpleNamespace

    from experiment.weight_files import other_evaluation

    data = SimpleNamespace(image_size=224, crop_side=256, normalization="standard", mean=(0.485, 0.456, 0.406))
    assert other_evaluation("ResNet50_Weights.IMAGENET1K_V1", data) == []
    assert other_evaluation("ResNet50_Weights.IMAGENET1K_V2", data) == [
        "ResNet50_Weights.IMAGENET1K_V2 was published with data.crop_side 232, and this evaluation has 256."
    ]
    data.normalization = "mean"
    assert "normalized by mean" in other_evaluation("ResNet50_Weights.IMAGENET1K_V1", data)[0]
