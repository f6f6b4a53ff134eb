"""A run killed with -9 at 20 seeded instants, and resumed each time, ends as if it had not been: a CNN and a GAN."""

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
STEPS_PER_EPOCH, EPOCHS = 6, 8  # so many that no run ends before its kill

CONFIG = """
seed_everything: 7
trainer:
  accelerator: cpu
  devices: {ranks}
  strategy: {strategy}
  max_epochs: {epochs}
  limit_train_batches: {steps}
  limit_val_batches: 1
  log_every_n_steps: 1
  num_sanity_val_steps: 0
  enable_progress_bar: false
  enable_model_summary: false
  logger:
    - class_path: experiment.csv_logger.ResumableCSVLogger
  callbacks:
    - class_path: ModelCheckpoint
      init_args: {{filename: "best-{{epoch}}", {best}}}
    - class_path: LatestCheckpoint
      init_args: {last}
model:
{model}
data:
  class_path: Digits # random crops
  init_args: {{batch_size: {batch_size}, eval_batch_size: 64, normalization: {normalization}}}
"""
NIN = """
  class_path: NIN # dropout
  init_args:
    variant: mnist
    initialization: kaiming
    optimizer: {class_path: torch.optim.SGD, init_args: {lr: 0.05, momentum: 0.9, weight_decay: 0.0001}}
    lr_scheduler: {class_path: torch.optim.lr_scheduler.CosineAnnealingLR, init_args: {T_max: 30}}
    lr_scheduler_interval: step
"""
GAN = """
  class_path: GAN
  init_args:
    networks: dcgan # batch statistics
    network_options: {width: 4}
    discriminator_steps: 2
    label_smoothing: 0.1
    instance_noise: 0.1
    instance_noise_steps: 60
    ema_decay: 0.9
    generator_lr_scheduler: {class_path: torch.optim.lr_scheduler.CosineAnnealingLR, init_args: {T_max: 30}}
    discriminator_lr_scheduler: {class_path: torch.optim.lr_scheduler.ExponentialLR, init_args: {gamma: 0.98}}
"""
NETWORKS = {
    "NIN": {"model": NIN, "best": "monitor: val/acc1, mode: max", "normalization": "standard"},
    "GAN": {"model": GAN, "best": "monitor: val/distance_from_equilibrium, mode: min", "normalization": "symmetric"},
}
LAST = {"within epochs": "{every_n_steps: 4}", "after epochs": "{}"}


def final_state(run: Path) -> dict[str, Any]:
    path = newest_verified(run / "checkpoints")
    assert path is not None
    state = torch.load(path, weights_only=True)
    kept = ("global_step", "batches", "state_dict", "optimizer_states", "lr_schedulers")
    return {name: state[name] for name in kept if name in state}


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
        assert state.dtype == other.dtype
        assert state.numpy().tobytes() == other.numpy().tobytes()
    else:
        assert state == other


def metrics(run: Path) -> list[dict[str, str]]:
    """What was logged but speeds, which differ and are missing where a kill left nothing of an epoch to be timed."""
    with (run / "metrics.csv").open() as file:
        rows = [
            {name: value for name, value in row.items() if not name.startswith("throughput/")}
            for row in csv.DictReader(file)
        ]
    return [row for row in rows if any(value for name, value in row.items() if name not in ("epoch", "step"))]


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
    strategy = "ddp" if ranks > 1 else "auto"
    config.write_text(
        CONFIG.format(
            ranks=ranks,
            strategy=strategy,
            epochs=EPOCHS,
            steps=STEPS_PER_EPOCH,
            batch_size=16 // ranks,
            last=LAST[last],
            **NETWORKS[network],
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

    ended = [number for number, log in enumerate(logs) if "`Trainer.fit` stopped" in log.read_text()]
    assert ended == [0, KILLS + 1], "some runs were not killed"
    assert not (tmp_path / "killed-2").exists(), "a resumed run went into another directory"
    assert_identical(final_state(tmp_path / "undisturbed"), final_state(killed))
    assert metrics(killed) == metrics(tmp_path / "undisturbed")
    assert not list((killed / "checkpoints").glob("*.part"))
