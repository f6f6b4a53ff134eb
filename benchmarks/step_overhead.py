"""What `main.py fit` adds to a step beside the network's own work: a tiny network, where nothing else takes time.

python -m benchmarks.step_overhead [--steps 300] [--rounds 7]

All contestants take batches of 32 images of 8x8 pixels from one list in memory, through the same network and optimizer.
Each figure is the median time from the end of one step to that of the next.
"""

import argparse
import contextlib
import io
import itertools
import logging
import os
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from lightning.pytorch import Callback, LightningDataModule, LightningModule, Trainer
from lightning.pytorch.loggers import CSVLogger
from torch import Tensor, nn
from torch.utils.data import DataLoader

from benchmarks.side_by_side import measure, report
from datamodules.loader import ImageBatch
from experiment.usage_errors import silence_unhelpful_messages
from lightning_modules import ImageClassifier
from main import main as run_main

BATCH_SIZE = 32
WARM_UP = 20


class TinyNetwork(ImageClassifier):
    """Two layers of some hundred weights."""

    architecture = "Tiny"

    def __init__(self, **training: Any) -> None:
        super().__init__(**training)
        self.body = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.head = nn.Linear(4, self.num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, 8, 8) → logits (B, num_classes)."""
        return self.head(self.body(images))


class Batches(LightningDataModule):
    """As many batches as steps, the same one again and again."""

    name, num_classes, in_channels, image_size = "synthetic", 10, 3, 8

    def __init__(self, steps: int = 300) -> None:
        super().__init__()
        self.steps = steps

    def train_dataloader(self) -> DataLoader[ImageBatch]:
        """Batches that are there already."""
        images, labels = torch.randn(BATCH_SIZE, 3, 8, 8), torch.arange(BATCH_SIZE) % 10
        batch: Any = [ImageBatch(images, labels, torch.arange(BATCH_SIZE), 0)] * self.steps
        return DataLoader(batch, batch_size=None)


class PlainTiny(LightningModule):
    """The same network as in Lightning's first example, which logs its loss."""

    def __init__(self, logs: bool) -> None:
        super().__init__()
        self.network = TinyNetwork(num_classes=10, image_size=8)
        self.logs = logs

    def training_step(self, batch: ImageBatch, batch_idx: int) -> Tensor:
        """The loss of a batch."""
        loss = F.cross_entropy(self.network(batch.images), batch.labels)
        if self.logs:
            self.log("train/loss", loss, prog_bar=True)
        return loss

    def configure_optimizers(self) -> Any:
        """That of the network."""
        return self.network.configure_optimizers()


class StepTimes(Callback):
    """Notes when each step ended."""

    ends: list[float]

    def on_train_start(self, *_: Any) -> None:
        """Begin."""
        StepTimes.ends = []

    def on_train_batch_end(self, *_: Any) -> None:
        """Note the time."""
        StepTimes.ends.append(time.perf_counter())


def steps_per_second(ends: list[float]) -> float:
    """By the median time between the ends of two steps, without the first ones."""
    ends = ends[WARM_UP:]
    return 1 / statistics.median(after - before for before, after in itertools.pairwise(ends))


def by_hand(steps: int) -> float:
    """Forward, backward and update."""
    network = TinyNetwork(num_classes=10, image_size=8)
    optimizer = network.configure_optimizers()
    ends = []
    for batch in Batches(steps).train_dataloader():
        loss = F.cross_entropy(network(batch.images), batch.labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        ends.append(time.perf_counter())
    return steps_per_second(ends)


def lightning(steps: int, bar_and_csv: bool) -> float:
    """A Trainer without anything, or with its own progress bar and CSV logger."""
    with tempfile.TemporaryDirectory() as folder:
        Trainer(
            max_steps=steps,
            accelerator="cpu",
            logger=CSVLogger(folder) if bar_and_csv else False,
            enable_progress_bar=bar_and_csv,
            enable_checkpointing=False,
            enable_model_summary=False,
            log_every_n_steps=10,
            callbacks=[StepTimes()],
        ).fit(PlainTiny(bar_and_csv), Batches(steps))
    return steps_per_second(StepTimes.ends)


def fit(steps: int) -> float:
    """`main.py fit` with configs/base.yaml as it is: progress bar, metrics.csv, W&B offline, all its callbacks."""
    with tempfile.TemporaryDirectory() as folder:
        arguments = ["fit", "--config", "configs/base.yaml", "--run_dir", str(Path(folder, "run"))]
        arguments += ["--model", "benchmarks.step_overhead.TinyNetwork", "--data", "benchmarks.step_overhead.Batches"]
        arguments += ["--data.steps", str(steps), "--trainer.max_epochs", "1", "--trainer.accelerator", "cpu"]
        run_main([*arguments, "--trainer.callbacks+", "benchmarks.step_overhead.StepTimes"])
    from benchmarks import step_overhead  # noqa: PLC0415, PLW0406  main.py imports this file again, by name

    return steps_per_second(step_overhead.StepTimes.ends)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    warnings.filterwarnings("ignore")
    silence_unhelpful_messages()
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    os.environ |= {"WANDB_MODE": "offline", "TRUSTED_IMPORTS": "benchmarks.step_overhead"}

    def quietly(contestant: Callable[[], float]) -> Callable[[], float]:
        def run() -> float:
            said = io.StringIO()
            with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
                try:
                    return contestant()
                except SystemExit as mistake:
                    raise RuntimeError(said.getvalue()) from mistake

        return run

    peer = "loop by hand"
    contestants = {
        peer: lambda: by_hand(options.steps),
        "Lightning's Trainer with nothing": lambda: lightning(options.steps, bar_and_csv=False),
        "Lightning's Trainer, progress bar and CSVLogger": lambda: lightning(options.steps, bar_and_csv=True),
        "main.py fit, configs/base.yaml": lambda: fit(options.steps),
    }
    speeds = measure({name: quietly(run) for name, run in contestants.items()}, options.rounds)
    overheads = {
        name: [1000 / one - 1000 / other for one, other in zip(values, speeds[peer], strict=True)]
        for name, values in speeds.items()
    }
    print(report("Steps of a tiny network", speeds, peer, unit="steps/s"))
    print()
    for name, values in overheads.items():
        if name != peer:
            print(f"- {name}: {statistics.median(values):.2f} ms a step more ({min(values):.2f}–{max(values):.2f})")


if __name__ == "__main__":
    main()
