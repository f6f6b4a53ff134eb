"""At its end, a training measures the test images once, with the checkpoint that validation chose."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from comparison.sources import read_runs
from records.summary import RUNNING, Summary

FAST = (
    *(
        "--config",
        "configs/base.yaml",
        "--config",
        "configs/data/digits.yaml",
        "--config",
        "configs/model/resnet20.yaml",
    ),
    *(
        "--model.depth",
        8,
        "--trainer.max_steps",
        -1,
        "--trainer.limit_train_batches",
        2,
        "--trainer.limit_val_batches",
        1,
    ),
    *("--trainer.logger", "experiment.csv_logger.ResumableCSVLogger", "--trainer.enable_progress_bar", "false"),
)
TESTED = ("--test_at_end", "true", "--run_dir", "run")


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "run" / "metrics.csv").open() as file:
        return list(csv.DictReader(file))


def summary(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "run" / "summary.json").read_text())  # type: ignore[no-any-return]


def test_the_chosen_checkpoint_is_measured_once(run_main: Callable[..., None], tmp_path: Path) -> None:
    run_main("fit", *FAST, *TESTED, "--trainer.max_epochs", 2)
    (tested,) = [row for row in rows(tmp_path) if row["test/acc1"]]
    record = summary(tmp_path)
    assert (record["status"], record["command"], record["epochs"], record["steps"]) == ("completed", "fit", 2, 4)
    assert record["metrics"]["test/acc1"] == float(tested["test/acc1"])
    assert {"train/loss", "val/acc1", "images_seen"} <= set(record["metrics"])
    assert json.loads((tmp_path / "run" / "class_errors.json").read_text())["split"] == "val"
    (best,) = (tmp_path / "run" / "checkpoints").glob("best-*.ckpt")
    run_main("test", "--config", tmp_path / "run" / "config.yaml", "--ckpt_path", best, "--run_dir", "again")
    again = json.loads((tmp_path / "again" / "summary.json").read_text())["metrics"]
    assert again["test/acc1"] == record["metrics"]["test/acc1"]
    assert again["test/loss"] == record["metrics"]["test/loss"]


def test_accuracies_of_limited_batches_are_of_as_many_images(run_main: Callable[..., None], tmp_path: Path) -> None:
    limits = ("--data.eval_batch_size", 32, "--trainer.limit_val_batches", 2, "--trainer.limit_test_batches", 3)
    run_main("fit", *FAST, *TESTED, "--trainer.max_epochs", 1, *limits)
    assert summary(tmp_path)["measured_images"] == {"val": 64, "test": 96}
    assert summary(tmp_path)["data"]["val_images"] == 297
    (run,), _ = read_runs([tmp_path / "run"])
    assert (run.data.val_images, run.data.test_images) == (64, 96)


def test_a_run_that_goes_on_is_measured_at_its_new_end(run_main: Callable[..., None], tmp_path: Path) -> None:
    run_main("fit", *FAST, *TESTED, "--trainer.max_epochs", 1)
    run_main("fit", "--resume", "run", "--trainer.max_epochs", 2, "--test_at_end", "true")
    assert [int(row["step"]) for row in rows(tmp_path) if row["test/acc1"]] == [4]


def test_a_run_that_was_killed_before_it_is_measured_and_not_trained(
    run_main: Callable[..., None], tmp_path: Path
) -> None:
    run_main("fit", *FAST, "--run_dir", "run", "--trainer.max_epochs", 1)
    known = Summary.read(tmp_path / "run")
    assert "test/acc1" not in known.metrics
    Summary(**{**known.plain(), "status": RUNNING}).write(tmp_path / "run")
    weights = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "run" / "checkpoints").glob("*.ckpt")}
    run_main("fit", "--resume", "run", "--test_at_end", "true")
    record = summary(tmp_path)
    assert record["status"] == "completed"
    assert {"test/acc1", "val/acc1", "train/loss"} <= set(record["metrics"])
    assert (record["epochs"], record["best"]) == (known.epochs, known.plain()["best"])
    assert {path.name: path.stat().st_mtime_ns for path in (tmp_path / "run" / "checkpoints").glob("*.ckpt")} == weights


@pytest.mark.parametrize(
    "options",
    [("--test_at_end", "false"), ("--trainer.limit_test_batches", 0), ("--trainer.enable_checkpointing", "false")],
)
def test_it_can_be_left_out(options: tuple[object, ...], run_main: Callable[..., None], tmp_path: Path) -> None:
    given = () if "--test_at_end" in options else ("--test_at_end", "true")
    run_main("fit", *FAST, *options, *given, "--run_dir", "run", "--trainer.max_epochs", 1)
    record = summary(tmp_path)
    assert record["status"] == "completed"
    assert "test/acc1" not in record["metrics"]


def test_the_weights_of_the_run_are_those_of_a_run_without(run_main: Callable[..., None], tmp_path: Path) -> None:
    run_main("fit", *FAST, *TESTED, "--trainer.max_epochs", 2)
    run_main("fit", *FAST, "--run_dir", "without", "--trainer.max_epochs", 2)
    one, other = (
        torch.load(next((tmp_path / name / "checkpoints").glob("last-*.ckpt")), weights_only=True)["state_dict"]
        for name in ("run", "without")
    )
    assert all(torch.equal(one[key], other[key]) for key in one)
