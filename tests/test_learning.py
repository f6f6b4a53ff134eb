"""Networks learn: real digits to 97 %, real photographs far above chance."""

import csv
import json
from collections.abc import Callable
from pathlib import Path

from experiment.preflight import has_bfloat16

CSV = ["--trainer.logger", "experiment.csv_logger.ResumableCSVLogger", "--trainer.enable_progress_bar", "false"]


def configs(*names: str) -> list[str]:
    return [word for name in names for word in ("--config", f"configs/{name}.yaml")]


def test_resnet20_learns_the_digits(run_main: Callable[..., None], tmp_path: Path) -> None:
    run_main("fit", *configs("base", "data/digits", "model/resnet20", "quickstart"), *CSV, "--run_dir", "run")
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["best"]["val/acc1"]["value"] >= 0.97


def test_resnet20_learns_photographs(run_main: Callable[..., None], tmp_path: Path, shared_data: Path) -> None:
    words = configs("base", "data/cifar10", "model/resnet20", "experiment/ten_epochs")
    steps = ["--trainer.max_epochs", 1, "--trainer.limit_train_batches", 250, "--trainer.limit_val_batches", 4]
    precision = ["--trainer.precision", "bf16-mixed" if has_bfloat16() else "32-true"]
    data = ["--data.root", shared_data, "--data.verify", "false"]
    run_main("fit", *words, *CSV, *steps, *precision, *data, "--run_dir", "run")
    with (tmp_path / "run" / "metrics.csv").open() as file:
        losses = [float(row["train/loss"]) for row in csv.DictReader(file) if row["train/loss"]]
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert sum(losses[-5:]) < 0.8 * sum(losses[:5])
    assert summary["metrics"]["val/acc1"] > 0.35  # chance is 0.1
    assert summary["data"]["verified"] is False
