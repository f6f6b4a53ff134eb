"""The run that the cluster tests repeat on other hosts."""

import os
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[2]
STEPS = 20
Weights = dict[str, torch.Tensor]

on_request = [
    pytest.mark.skipif(
        "TEST_CLUSTER" not in os.environ,
        reason="needs root and minutes: runs on `make test-cluster`, which sets TEST_CLUSTER=1",
    ),
    pytest.mark.timeout(900),
]


def words(steps: int = STEPS) -> list[str]:
    """Command line of a short run of a small network on the digits, 32 images on each of two ranks."""
    names = ("base", "data/digits", "model/resnet20", "cluster/ddp")
    configs = [word for name in names for word in ("--config", f"configs/{name}.yaml")]
    options = {
        "trainer.logger": "experiment.csv_logger.ResumableCSVLogger",
        "trainer.enable_progress_bar": "false",
        "trainer.accelerator": "cpu",
        "trainer.max_steps": str(steps),
        "model.depth": "8",
        "data.batch_size": "32",
    }
    return ["fit", *configs, *(word for name, value in options.items() for word in (f"--{name}", value))]


def environment(**variables: object) -> dict[str, str]:
    """Environment for a node: one thread, this Python, and none of a launcher that may have started the tests."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("SLURM", "TORCHELASTIC"))}
    return kept | {"OMP_NUM_THREADS": "1", "PYTHON": sys.executable} | {name: str(v) for name, v in variables.items()}


def weights(run: Path) -> Weights:
    """Weights of the newest checkpoint of a run."""
    checkpoint = max((run / "checkpoints").glob("last-*.ckpt"))
    return torch.load(checkpoint, weights_only=True)["state_dict"]
