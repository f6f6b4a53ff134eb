"""A GAN under plain DDP: the same as on one process, resumed to the same bits, counted by batches."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

MEAN = {"ema_decay": 0.9, "historical_averaging": 0.01}
PLAN: list[dict[str, Any]] = [
    {"ranks": 1, "batch_size": 32, "steps": 8, "gan": MEAN, "save_at": 5, "validate": True},
    {"ranks": 2, "batch_size": 16, "steps": 8, "gan": MEAN, "save_at": 5, "validate": True},
    {"ranks": 1, "batch_size": 32, "steps": 8, "gan": MEAN, "resume": 0},
    {"ranks": 2, "batch_size": 16, "steps": 8, "gan": MEAN, "resume": 1},
    {"ranks": 1, "batch_size": 32, "steps": 8, "gan": {"discriminator_steps": 3, "objective": "hinge"}},
    {"ranks": 2, "batch_size": 16, "steps": 8, "gan": {"discriminator_steps": 3, "objective": "hinge"}},
    {"ranks": 1, "batch_size": 32, "steps": 4, "gan": {"gradient_penalty": 10.0, "objective": "wasserstein"}},
    {"ranks": 2, "batch_size": 16, "steps": 4, "gan": {"gradient_penalty": 10.0, "objective": "wasserstein"}},
    {"ranks": 2, "batch_size": 8, "steps": 4, "gan": {"accumulate_batches": 2}},
]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    folder = tmp_path_factory.mktemp("gan")
    plan = [{**run, "resume": str(folder / f"run-{run['resume']}.ckpt")} if "resume" in run else run for run in PLAN]
    (folder / "plan.json").write_text(json.dumps(plan))
    script = Path(__file__).with_name("gan_ranks.py")
    done = subprocess.run([sys.executable, str(script), str(folder / "plan.json")], check=False, timeout=250)
    logs = "\n".join(path.read_text() for path in sorted(folder.glob("*.log")))
    assert done.returncode == 0, logs
    return [torch.load(folder / f"run-{number}.pt", weights_only=True) for number in range(len(plan))]


def largest_difference(one: dict[str, Any], other: dict[str, Any]) -> float:
    pairs = [(one["weights"][name], other["weights"][name]) for name in one["weights"] if "evaluation" not in name]
    return max(float((a.double() - b.double()).abs().max()) for a, b in pairs)


@pytest.mark.parametrize(("one", "two"), [(0, 1), (4, 5), (6, 7)])
def test_two_ranks_train_as_one(runs: list[dict[str, Any]], one: int, two: int) -> None:
    assert largest_difference(runs[one], runs[two]) < 1e-6


@pytest.mark.parametrize(("whole", "resumed"), [(0, 2), (1, 3)])
def test_a_resumed_run_has_the_same_bits(runs: list[dict[str, Any]], whole: int, resumed: int) -> None:
    assert largest_difference(runs[whole], runs[resumed]) == 0
    assert runs[resumed]["counts"] == runs[whole]["counts"][5:]
    for one, other in zip(runs[whole]["optimizers"], runs[resumed]["optimizers"], strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)


def test_batches_are_counted_and_not_optimizers(runs: list[dict[str, Any]]) -> None:
    assert runs[0]["counts"] == runs[1]["counts"] == [(batch, batch) for batch in range(1, 9)]
    assert runs[4]["counts"] == runs[0]["counts"]
    assert runs[8]["counts"] == [(batch // 2, batch) for batch in range(1, 9)]


def test_the_game_is_judged_alike_on_any_ranks(runs: list[dict[str, Any]]) -> None:
    assert runs[0]["metrics"].keys() == {"val/accuracy_real", "val/accuracy_fake", "val/distance_from_equilibrium"}
    assert runs[0]["metrics"] == pytest.approx(runs[1]["metrics"], abs=1e-5)
