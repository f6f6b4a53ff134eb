"""A run killed with -9 at 20 seeded instants, and resumed each time, ends as if it had not been killed."""

import csv
import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from experiment.checkpoint_io import newest_verified

ROOT = Path(__file__).parents[2]
POINTS = ("batch_start", "backward", "optimizer_step", "batch_end", "validation_start", "validation_end", "rename")
KILLS = 20
STEPS_PER_EPOCH, EPOCHS = 6, 5

CONFIG = """
seed_everything: 7
trainer:
  accelerator: cpu
  devices: {ranks}
  strategy: {strategy}
  max_epochs: {epochs}
  limit_train_batches: {steps}
  log_every_n_steps: 1
  num_sanity_val_steps: 0
  enable_progress_bar: false
  enable_model_summary: false
  logger:
    - class_path: experiment.csv_logger.ResumableCSVLogger
  callbacks:
    - class_path: ModelCheckpoint
      init_args: {{filename: "best-{{epoch}}", monitor: val/acc1, mode: max}}
    - class_path: LatestCheckpoint
      init_args: {last}
model:
  class_path: AlexNet # dropout
  init_args:
    stem: small
    fc_width: 32
    initialization: kaiming
    optimizer: {{class_path: torch.optim.SGD, init_args: {{lr: 0.01, momentum: 0.9, weight_decay: 0.0005}}}}
    lr_scheduler: {{class_path: torch.optim.lr_scheduler.CosineAnnealingLR, init_args: {{T_max: 30}}}}
    lr_scheduler_interval: step
data:
  class_path: Digits # random crops
  init_args: {{batch_size: {batch_size}, eval_batch_size: 297}}
"""
LAST = {"within epochs": "{every_n_steps: 4}", "after epochs": "{}"}


def final_state(run: Path) -> dict[str, Any]:
    path = newest_verified(run / "checkpoints")
    assert path is not None
    state = torch.load(path, weights_only=True)
    return {name: state[name] for name in ("global_step", "state_dict", "optimizer_states", "lr_schedulers")}


def assert_identical(state: Any, other: Any) -> None:
    assert type(state) is type(other)
    if isinstance(state, dict):
        assert state.keys() == other.keys()
        for key, value in state.items():
            assert_identical(value, other[key])
    elif isinstance(state, list | tuple):
        assert len(state) == len(other)
        for value, other_value in zip(state, other, strict=True):
            assert_identical(value, other_value)
    elif isinstance(state, torch.Tensor):
        assert torch.equal(state, other)
    else:
        assert state == other


def metrics(run: Path) -> list[dict[str, str]]:
    with (run / "metrics.csv").open() as file:
        return [
            {name: value for name, value in row.items() if "throughput" not in name} for row in csv.DictReader(file)
        ]


@pytest.mark.timeout(600)
@pytest.mark.parametrize("last", LAST)
@pytest.mark.parametrize("ranks", [1, 2])
def test_killed_run_ends_like_an_undisturbed_one(ranks: int, last: str, tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    strategy = "ddp" if ranks > 1 else "auto"
    config.write_text(
        CONFIG.format(
            ranks=ranks,
            strategy=strategy,
            epochs=EPOCHS,
            steps=STEPS_PER_EPOCH,
            batch_size=16 // ranks,
            last=LAST[last],
        )
    )
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

    assert len(list((killed).glob("*"))) > 0
    assert not (tmp_path / "killed-2").exists(), "a resumed run went into another directory"
    assert_identical(final_state(tmp_path / "undisturbed"), final_state(killed))
    assert metrics(killed) == metrics(tmp_path / "undisturbed")
    assert not list((killed / "checkpoints").glob("*.part"))
