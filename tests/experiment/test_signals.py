"""A run asked to stop by a signal saves after a whole step, says so by its exit code, and goes on as if undisturbed."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from experiment.checkpoints import newest_verified
from tests.experiment.small_runs import STEPS_PER_EPOCH, assert_identical, final_state, metrics, write_config


@pytest.mark.parametrize(
    ("network", "ranks", "signal", "point", "count", "step"),
    [
        # The optimizer is asked before its step, which is then taken.
        pytest.param("NIN", 1, "SIGUSR1", "optimizer_step", 3, 3, id="in a step"),
        pytest.param("NIN", 1, "SIGTERM", "validation_start", 1, STEPS_PER_EPOCH, id="in the validation"),
        # Rank 0 may have been asked before rank 1 got the signal.
        pytest.param("NIN", 2, "SIGTERM", "backward", 2, 3, id="on one rank of two"),
        pytest.param("GAN", 2, "SIGUSR1", "optimizer_step", 4, None, id="on one rank of a GAN"),
    ],
)
def test_a_run_asked_to_stop_saves_and_goes_on(
    network: str, ranks: int, signal: str, point: str, count: int, step: int | None, tmp_path: Path
) -> None:
    config = tmp_path / "config.yaml"
    write_config(config, network, ranks, "after epochs")
    words = ["fit", "--config", str(config), "--run_dir"]
    stopped = tmp_path / "stopped"
    kill = {"rank": ranks - 1, "point": point, "count": count, "signal": signal}
    plan: list[dict[str, Any]] = [
        {"words": [*words, str(tmp_path / "undisturbed")], "ranks": ranks, "kill": None},
        {"words": [*words, str(stopped)], "ranks": ranks, "kill": kill},
    ]
    run(plan, tmp_path)
    log = (tmp_path / "run-1.log").read_text()
    code = {"SIGTERM": 143, "SIGUSR1": 138}[signal]
    assert [f"rank {rank} exits with {code}" in log for rank in range(ranks)] == [True] * ranks, log
    assert f"Stopped by {signal} after step" in log
    assert json.loads((stopped / "summary.json").read_text())["status"] == "interrupted"
    saved = newest_verified(stopped / "checkpoints")
    assert saved is not None
    if step is not None:
        assert torch.load(saved, weights_only=True)["global_step"] == step

    run([{"words": [*words, str(stopped), "--resume", "auto"], "ranks": ranks, "kill": None}], tmp_path)
    assert_identical(final_state(tmp_path / "undisturbed"), final_state(stopped))
    assert metrics(stopped) == metrics(tmp_path / "undisturbed")
    assert len(list((stopped / "checkpoints").glob("last-*.ckpt"))) == 1


def run(plan: list[dict[str, Any]], folder: Path) -> None:
    (folder / "plan.json").write_text(json.dumps(plan))
    script = Path(__file__).with_name("forked_runs.py")
    done = subprocess.run([sys.executable, str(script), str(folder / "plan.json")], check=False, timeout=250)
    assert done.returncode == 0, (folder / f"run-{len(plan) - 1}.log").read_text()[-3000:]
