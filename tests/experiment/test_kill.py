"""A run killed with -9 at 20 seeded instants, and resumed each time, ends as if it had not been: a CNN and a GAN."""

import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.experiment.small_runs import STEPS_PER_EPOCH, assert_identical, final_state, metrics, write_config

POINTS = ("batch_start", "backward", "optimizer_step", "batch_end", "validation_start", "validation_end", "rename")
KILLS = 20


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("network", "ranks", "last"),
    [
        ("NIN", 1, "within epochs"),
        ("NIN", 1, "after epochs"),
        ("NIN", 2, "within epochs"),
        ("NIN", 2, "after epochs"),
        ("GAN", 1, "within epochs"),
        ("GAN", 2, "within epochs"),
    ],
)
def test_killed_run_ends_like_an_undisturbed_one(network: str, ranks: int, last: str, tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    write_config(config, network, ranks, last)
    words = ["fit", "--config", str(config), "--run_dir"]
    plan: list[dict[str, Any]] = [{"words": [*words, str(tmp_path / "undisturbed")], "ranks": ranks, "kill": None}]
    instants = random.Random(ranks)
    killed = tmp_path / "killed"
    for _ in range(KILLS):
        point = instants.choice(POINTS)
        most = {"validation_start": 1, "validation_end": 1, "rename": 4}.get(point, STEPS_PER_EPOCH + 1)
        rank = 0 if point == "rename" else instants.randrange(ranks)
        kill = {"rank": rank, "point": point, "count": instants.randint(1, most)}
        plan.append({"words": [*words, str(killed), "--resume", "auto"], "ranks": ranks, "kill": kill})
    plan.append({"words": [*words, str(killed), "--resume", "auto"], "ranks": ranks, "kill": None})
    (tmp_path / "plan.json").write_text(json.dumps(plan))

    script = Path(__file__).with_name("forked_runs.py")
    done = subprocess.run([sys.executable, str(script), str(tmp_path / "plan.json")], check=False, timeout=590)
    logs = sorted(tmp_path.glob("run-*.log"), key=lambda path: int(path.stem[4:]))
    assert done.returncode == 0, logs[-1].read_text()[-3000:]

    ended = [number for number, log in enumerate(logs) if "`Trainer.fit` stopped" in log.read_text()]
    assert ended == [0, KILLS + 1], "some runs were not killed"
    assert not (tmp_path / "killed-2").exists(), "a resumed run went into another directory"
    assert_identical(final_state(tmp_path / "undisturbed"), final_state(killed))
    assert metrics(killed) == metrics(tmp_path / "undisturbed")
    assert not list((killed / "checkpoints").glob("*.part"))
