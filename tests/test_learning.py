"""Networks learn: real digits to 97 %, real photographs far above chance."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from experiment.preflight import has_bfloat16

CSV = ["--trainer.logger", "experiment.csv_logger.ResumableCSVLogger", "--trainer.enable_progress_bar", "false"]


def configs(*names: str) -> list[str]:
    return [word for name in names for word in ("--config", f"configs/{name}.yaml")]


@pytest.mark.slow(15)
def test_resnet20_of_half_the_width_learns_the_digits(run_main: Callable[..., None], tmp_path: Path) -> None:
    narrow = ["--model.width", 0.5, "--seed_everything", 1, "--run_dir", "run"]
    run_main("fit", *configs("base", "data/digits", "model/resnet20", "quickstart"), *CSV, *narrow)
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["best"]["val/acc1"]["value"] >= 0.97


def learn_photographs(
    run_main: Callable[..., None], folder: Path, *options: object
) -> tuple[list[float], dict[str, Any]]:
    """One epoch on CIFAR-10's files, unless `options` say otherwise. Returns losses and summary."""
    words = configs("base", "data/cifar10", "model/resnet20", "experiment/ten_epochs")
    precision = ["--trainer.precision", "bf16-mixed" if has_bfloat16() else "32-true"]
    steps = ["--trainer.max_epochs", 1, "--trainer.limit_val_batches", 4, "--data.verify", "false"]
    run_main("fit", *words, *CSV, *steps, *precision, *options, "--run_dir", "run")
    with (folder / "run" / "metrics.csv").open() as file:
        losses = [float(row["train/loss"]) for row in csv.DictReader(file) if row["train/loss"]]
    return losses, json.loads((folder / "run" / "summary.json").read_text())


@pytest.mark.slow(15)
def test_resnet8_learns_photographs(run_main: Callable[..., None], tmp_path: Path, shared_data: Path) -> None:
    losses, summary = learn_photographs(
        run_main, tmp_path, "--model.depth", 8, "--trainer.limit_train_batches", 250, "--data.root", shared_data
    )
    assert sum(losses[-5:]) < 0.8 * sum(losses[:5])
    assert summary["metrics"]["val/acc1"] > 0.35  # chance is 0.1
    assert summary["data"]["verified"] is False


@pytest.mark.slow(10)
def test_resnet8_learns_from_which_photograph_a_patch_is(
    run_main: Callable[..., None], tmp_path: Path, sample_data: Path
) -> None:
    few = ["--trainer.max_epochs", 3, "--data.batch_size", 64, "--data.val_size", 500, "--trainer.log_every_n_steps", 5]
    losses, summary = learn_photographs(run_main, tmp_path, *few, "--model.depth", 8, "--data.root", sample_data)
    assert losses[-1] < 0.8 * losses[0]
    # Five classes are parts of the one photograph, five of the other: chance is 0.5, or 0.1 for the class itself.
    assert summary["metrics"]["val/acc5"] > 0.8
    assert summary["metrics"]["val/acc1"] > 0.15
    assert summary["data"]["verified"] is False
