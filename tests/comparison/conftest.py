import json
import math
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

# Parameters (conv, fc, norm), multiply-adds, depth, final accuracy, images per second of 32x32 forms.
ARCHITECTURES: dict[str, tuple[int, int, int, int, int, float, float]] = {
    "AlexNet": (1_746_432, 2_238_474, 0, 38_500_000, 8, 0.981, 2_150.0),
    "ResNet-20": (267_696, 650, 1_376, 40_551_040, 20, 0.989, 731.2),
    "VGG-16": (14_710_464, 267_786, 0, 313_200_000, 16, 0.978, 240.0),
    "NiN": (966_986, 0, 0, 222_500_000, 9, 0.975, 410.0),
    "GoogLeNet": (5_973_574, 10_250, 15_000, 350_000_000, 22, 0.986, 190.0),
    "ZFNet": (2_310_000, 2_238_474, 0, 55_000_000, 8, 0.976, 1_650.0),
}
CONFIG = """\
# lightning.pytorch==2.6.6
seed_everything: {seed}
trainer:
  max_epochs: {epochs}
  precision: {precision}
  default_root_dir: {directory}
  logger:
    class_path: experiment.csv_logger.ResumableCSVLogger
    init_args:
      save_dir: {directory}
model:
  class_path: {class_path}
  init_args:
    optimizer:
      class_path: torch.optim.SGD
      init_args:
        lr: {learning_rate}
        momentum: 0.9
data:
  class_path: datamodules.digits.Digits
  init_args:
    batch_size: {batch_size}
"""


def write_run(
    root: Path,
    architecture: str = "ResNet-20",
    seed: int = 42,
    *,
    epochs: int = 10,
    data: str = "digits",
    images: tuple[int, int] = (1_437, 360),
    split: str = "val",
    verified: bool | None = True,
    status: str = "completed",
    error: str | None = None,
    batch_size: int = 128,
    precision: str = "bf16-mixed",
    learning_rate: float = 0.1,
    cpu: str = "AMD EPYC 9R14",
    accuracy: float | None = None,
    started: str = "2026-11-24T10:00:00+00:00",
    rows_per_epoch: int = 3,
    change: Callable[[dict[str, Any]], None] | None = None,
) -> Path:
    """A run directory as a real one looks, with curves that learn; `change` edits the summary before it is written."""
    conv, fc, norm, multiply_adds, depth, usual, rate = ARCHITECTURES.get(architecture, ARCHITECTURES["ResNet-20"])
    noise = random.Random(f"{architecture}{seed}{learning_rate}")
    final = accuracy if accuracy is not None else min(1.0, usual + noise.gauss(0, 0.004))
    train_images, val_images = images
    steps = max(1, train_images // batch_size)
    folder = "".join(c if c.isalnum() else "-" for c in architecture.lower())
    parent = root / data / folder
    siblings = len(list(parent.iterdir())) if parent.exists() else 0
    directory = parent / (f"2026-11-24_10-00-00-{siblings + 1}" if siblings else "2026-11-24_10-00-00")
    directory.mkdir(parents=True)

    lines = ["epoch,step,images_seen,lr-SGD,train/loss,throughput/images_per_second,val/loss,val/acc1,val/acc5"]
    accuracies = []
    pace = 0.25 + 3.0 / depth
    for epoch in range(epochs):
        lines.append(f",{epoch * steps},,{learning_rate},,,,,")
        for row in range(1, rows_per_epoch + 1):
            step = epoch * steps + steps * row // rows_per_epoch
            loss = 2.3 * math.exp(-pace * (epoch + row / rows_per_epoch)) + 0.01 + 0.02 * noise.random()
            lines.append(f"{epoch},{step - 1},{step * batch_size},,{loss:.5f},{rate},,,")
        reached = final - (final - 0.1) * math.exp(-pace * (epoch + 1)) + noise.gauss(0, 0.002)
        value = round(min(max(reached, 0.1), 1.0) * val_images) / val_images
        accuracies.append(value)
        step = (epoch + 1) * steps
        lines.append(f"{epoch},{step - 1},,,,,{1 - value + 0.02:.5f},{value!r},1.0")
    (directory / "metrics.csv").write_text("\n".join(lines) + "\n")

    best = max(range(epochs), key=lambda e: accuracies[e]) if epochs else 0
    class_path = f"lightning_modules.{folder.partition('-')[0]}.{architecture.partition('-')[0]}"
    (directory / "config.yaml").write_text(
        CONFIG.format(
            directory=directory,
            class_path=class_path,
            seed=seed,
            epochs=epochs,
            precision=precision,
            learning_rate=learning_rate,
            batch_size=batch_size,
        )
    )
    images_seen = epochs * steps * batch_size
    summary: dict[str, Any] = {
        "format": 1,
        "status": status,
        "error": error,
        "command": "fit",
        "model": {
            "architecture": architecture,
            "class": class_path,
            "parameters": {"conv": conv, "fc": fc, "norm": norm, "other": 0, "total": conv + fc + norm},
            "multiply_adds": multiply_adds,
            "depth": depth,
            "input_shape": [3, 32, 32],
        },
        "data": {
            "name": data,
            "num_classes": 10,
            "image_size": 32,
            "in_channels": 3,
            "train_images": train_images,
            "val_images": val_images,
            "test_images": 0,
            "selection_split": split,
            "verified": verified,
        },
        "seed": seed,
        "epochs": epochs,
        "steps": epochs * steps,
        "images_seen": images_seen,
        "global_batch_size": batch_size,
        "precision": precision,
        "world_size": 1,
        "metrics": {"val/acc1": accuracies[-1], "train/loss": 0.02} if epochs else {},
        "best": {"val/acc1": {"value": accuracies[best], "epoch": best, "step": best * steps}} if epochs else {},
        "images_per_second": rate,
        "wall_time_seconds": images_seen / rate * 1.15,
        "started": started,
        "finished": None if status == "running" else "2026-11-24T10:10:00+00:00",
        "hardware": {"cpu": cpu, "cores": 2, "memory_gib": 23.4, "gpu": None, "gpus": 0, "hosts": 1},
        "versions": {"python": "3.11.7", "torch": "2.15.0", "lightning": "2.6.6"},
        "git": {"commit": "0123456789abcdef0123456789abcdef01234567", "dirty": False},
    }
    if change is not None:
        change(summary)
    (directory / "summary.json").write_text(json.dumps(summary))
    return directory


@pytest.fixture(scope="session")
def make_run() -> Callable[..., Path]:
    return write_run
