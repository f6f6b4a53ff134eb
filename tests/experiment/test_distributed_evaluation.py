"""Accuracy is the same, to the bit, on one rank, on two and on four, with a set that does not divide."""

import json
from pathlib import Path

import pytest

from tests.faults.small_runs import exhaustive
from tests.forked import run_main_on_ranks

ROOT = Path(__file__).parents[2]
CSV = "experiment.csv_logger.ResumableCSVLogger"


@pytest.mark.slow
@pytest.mark.parametrize("evaluations", [[(1, 297), (2, 7), (2, 64)], exhaustive([(4, 7), (4, 64), (4, 297)])])
def test_ranks_count_every_image_once(evaluations: list[tuple[int, int]], tmp_path: Path) -> None:
    words = []
    for config in ("base", "data/digits", "model/resnet20"):
        words += ["--config", str(ROOT / "configs" / f"{config}.yaml")]
    words += ["--trainer.logger", CSV, "--trainer.enable_progress_bar", "false", "--trainer.accelerator", "cpu"]
    words += ["--model.depth", "8", "--data.batch_size", "32"]
    fit = ["fit", *words, "--trainer.max_steps", "37", "--run_dir", str(tmp_path / "fit")]
    commands = [(fit, 1)]
    for ranks, batch_size in evaluations:
        run = tmp_path / f"{ranks}-{batch_size}"
        evaluation = ["--trainer.devices", str(ranks), "--data.eval_batch_size", str(batch_size), "--run_dir", str(run)]
        strategy = ["--trainer.strategy", "ddp" if ranks > 1 else "auto"]
        validate = ["validate", *words, *evaluation, *strategy, "--ckpt_path", str(tmp_path / "fit")]
        commands.append((validate, ranks))
    for number, (command, ranks) in enumerate(commands):
        log = tmp_path / f"run-{number}.log"
        assert run_main_on_ranks(command, ranks=ranks, log=log) == [0] * ranks, log.read_text()[-2000:]
    results = {}
    for name in ("fit", *(f"{ranks}-{batch_size}" for ranks, batch_size in evaluations)):
        metrics = json.loads((tmp_path / name / "summary.json").read_text())["metrics"]
        results[name] = metrics["val/acc1"], metrics["val/acc5"]
    assert len(set(results.values())) == 1, results
    assert 0 < results["fit"][0] < 1
