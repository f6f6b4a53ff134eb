"""A CNN's and a GAN's run on the digits, a minute long, what they leave, and whether two of them left the same."""

import csv
from pathlib import Path
from typing import Any

import torch

from experiment.checkpoints import newest_verified

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


def write_config(path: Path, network: str, ranks: int, last: str) -> None:
    """A run of one of `NETWORKS`, whose latest checkpoint is saved as `LAST` says."""
    text = CONFIG.format(
        ranks=ranks,
        strategy="ddp" if ranks > 1 else "auto",
        epochs=EPOCHS,
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
