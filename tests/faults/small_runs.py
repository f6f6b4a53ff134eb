"""A CNN's and a GAN's run on the digits, a minute long, what they leave, and whether two of them left the same."""

import csv
import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor, nn

from experiment.checkpoints import newest_verified
from lightning_modules.classifier import ImageClassifier
from records.checkpoints import CheckpointIndex, best_checkpoints
from tests.forked import run_main_on_ranks

STEPS_PER_EPOCH, EPOCHS = 6, 4

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
    - class_path: tests.faults.small_runs.KillAt
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
CLASSIFIER = """
  class_path: tests.faults.small_runs.DropoutNet # dropout
  init_args:
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
    stabilizers: {label_smoothing: 0.1, instance_noise: 0.1, instance_noise_steps: 60}
    ema_decay: 0.9
    generator_lr_scheduler: {class_path: torch.optim.lr_scheduler.CosineAnnealingLR, init_args: {T_max: 30}}
    discriminator_lr_scheduler: {class_path: torch.optim.lr_scheduler.ExponentialLR, init_args: {gamma: 0.98}}
"""
NETWORKS = {
    "classifier": {"model": CLASSIFIER, "best": "monitor: val/acc1, mode: max", "normalization": "standard"},
    "GAN": {"model": GAN, "best": "monitor: val/distance_from_equilibrium, mode: min", "normalization": "symmetric"},
}
LAST = {"within epochs": "{every_n_steps: 4}", "after epochs": "{}"}


class DropoutNet(ImageClassifier):
    """A network that draws random numbers: which images of a batch lose which features."""

    architecture = "DropoutNet"

    def __init__(self, **training: Any) -> None:
        super().__init__(**training)
        self.maps = nn.Sequential(nn.Conv2d(self.in_channels, 8, 3, stride=2), nn.ReLU(), nn.AdaptiveAvgPool2d(4))
        self.head = nn.Sequential(nn.Flatten(), nn.Dropout(), nn.Linear(8 * 4 * 4, self.num_classes))

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.maps(images))


SHORT = f"""
seed_everything: 7
test_at_end: false
trainer:
  accelerator: cpu
  max_epochs: 3
  limit_train_batches: 6
  limit_val_batches: 1
  val_check_interval: 3
  log_every_n_steps: 1
  num_sanity_val_steps: 0
  enable_progress_bar: false
  enable_model_summary: false
  logger:
    - class_path: experiment.csv_logger.ResumableCSVLogger
  callbacks:
    - class_path: tests.faults.small_runs.KillAt
    - class_path: tests.faults.small_runs.StopAt
    - class_path: BestCheckpoint
    - class_path: LatestCheckpoint
model:
{CLASSIFIER}
data:
  class_path: Digits
  init_args: {{batch_size: 16, eval_batch_size: 64}}
"""
"""A run of a second, with two validations an epoch."""
SHORT_GAN = SHORT.replace(CLASSIFIER, GAN).replace(
    "eval_batch_size: 64", "eval_batch_size: 64, normalization: symmetric"
)

POINTS = ("batch_start", "backward", "optimizer_step", "batch_end", "validation_start", "validation_end", "rename")


class KillAt(Callback):
    """Sends its own process a signal when that comes to a point for the n-th time, if KILL_AT says so.

    KILL_AT is in the environment, as a config that is resumed has to be the same: rank, point, n and signal. A rename
    is one of a checkpoint, which gives a file that is whole its name. RAISE is an error, and SLEEP takes seven seconds.
    """

    def __init__(self) -> None:
        rank, point, count, name = os.environ.get("KILL_AT", "0 none 0 SIGKILL").split()
        self.point = point if rank == os.environ.get("LOCAL_RANK", "0") else None
        self.count = int(count)
        self.event = name

    def reached(self, point: str) -> None:
        if point == self.point:
            self.count -= 1
            if self.count == 0 and self.event == "RAISE":
                raise KeyError("label 12")
            if self.count == 0 and self.event == "SLEEP":
                time.sleep(7)
            elif self.count == 0:
                os.kill(os.getpid(), signal.Signals[self.event])

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        self.reached("setup")
        if self.point == "rename":
            sys.addaudithook(self.audit)

    def audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "os.rename" and "checkpoints" in str(arguments[1]):
            self.reached("rename")

    def on_train_batch_start(self, *_: Any) -> None:
        self.reached("batch_start")

    def on_before_backward(self, *_: Any) -> None:
        self.reached("backward")

    def on_before_optimizer_step(self, *_: Any) -> None:
        self.reached("optimizer_step")

    def on_train_batch_end(self, *_: Any) -> None:
        self.reached("batch_end")

    def on_validation_start(self, *_: Any) -> None:
        self.reached("validation_start")

    def on_validation_batch_start(self, *_: Any) -> None:
        self.reached("validation_batch_start")

    def on_validation_end(self, *_: Any) -> None:
        self.reached("validation_end")

    def on_test_batch_start(self, *_: Any) -> None:
        self.reached("test_batch_start")

    def on_predict_batch_start(self, *_: Any) -> None:
        self.reached("predict_batch_start")


class StopAt(Callback):
    """Tells the Trainer to stop after the batch of number STOP_AT, or lets a second pass before that of WAIT_AT."""

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        if trainer.fit_loop.total_batch_idx + 1 == int(os.environ.get("WAIT_AT", "0")):
            time.sleep(1)

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        if trainer.fit_loop.total_batch_idx + 1 == int(os.environ.get("STOP_AT", "0")):
            trainer.should_stop = True


def exhaustive(*case: object) -> Any:
    """A case that only `make test-faults` runs."""
    return pytest.param(*case, marks=pytest.mark.exhaustive)


def fit(
    config: Path, run: Path, ranks: int, log: Path, kill_at: str = "", resume: bool = False, words: Sequence[str] = ()
) -> list[int]:
    """Train by main.py in new processes. Returns their exit codes."""
    words = ["fit", "--config", str(config), "--run_dir", str(run), *(["--resume", "auto"] if resume else []), *words]
    variables = {"TRUSTED_IMPORTS": __name__} | ({"KILL_AT": kill_at} if kill_at else {})
    return run_main_on_ranks(words, ranks=ranks, log=log, **variables)


def write_config(path: Path, network: str, ranks: int, last: str, epochs: int = EPOCHS) -> None:
    """A run of one of `NETWORKS`, whose latest checkpoint is saved as `LAST` says."""
    text = CONFIG.format(
        ranks=ranks,
        strategy="ddp" if ranks > 1 else "auto",
        epochs=epochs,
        steps=STEPS_PER_EPOCH,
        batch_size=16 // ranks,
        last=LAST[last],
        **NETWORKS[network],
    )
    path.write_text(text)


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


def assert_same_run(run: Path, other: Path) -> None:
    """Weights, state and metrics are the same, and so is what is best; nothing else is left."""
    assert_identical(final_state(run), final_state(other))
    assert metrics(run) == metrics(other)
    (best,), (other_best,) = best_checkpoints(run), best_checkpoints(other)
    assert best.name == other_best.name
    assert_identical(*(torch.load(path, weights_only=True)["state_dict"] for path in (best, other_best)))
    for folder in (run, other):
        index = CheckpointIndex.of_run(folder)
        assert index.best == f"checkpoints/{best.name}"
        assert (index.latest or "").startswith("checkpoints/last-")
        assert {index.best, index.latest} <= {one.file for one in index.saved}
        assert len(list((folder / "checkpoints").iterdir())) == 4  # two checkpoints with their digests
