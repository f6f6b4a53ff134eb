"""What is in a picture: `predict` and `classify` answer as `test` does, of runs and of weights from elsewhere."""

import csv
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from experiment.classify import main as classify
from records.summary import Summary
from tests.datamodules.photographs.made_photographs import jpeg, photograph

SMALL = (
    *("--model", "ResNet", "--model.variant", "cifar", "--model.depth", "8", "--model.width", "0.5"),
    *("--data", "ImageFolder", "--data.image_size", "32", "--data.crop_side", "36", "--trainer.accelerator", "cpu"),
)
QUIET = ("--config", "configs/base.yaml", "--trainer.logger", "experiment.csv_logger.ResumableCSVLogger")


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
