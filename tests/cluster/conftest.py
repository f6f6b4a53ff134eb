"""The run on one host with which the cluster tests compare."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tests.cluster.runs import ROOT, Weights, environment, weights, words


@pytest.fixture(scope="session")
def weights_of_one_host(tmp_path_factory: pytest.TempPathFactory) -> Weights:
    """Weights after the same run with both ranks on this host."""
    run = tmp_path_factory.mktemp("one-host") / "run"
    command = [*words(), "--trainer.devices", "2", "--run_dir", str(run)]
    subprocess.run([sys.executable, "main.py", *command], cwd=ROOT, env=environment(), check=True, timeout=300)
    return weights(run)


@pytest.fixture
def assert_same_weights(weights_of_one_host: Weights) -> Callable[[Path], None]:
    """Compare a run with that on one host, bit by bit."""

    def compare(run: Path) -> None:
        found = weights(run)
        assert found.keys() == weights_of_one_host.keys()
        assert [name for name in found if not torch.equal(found[name], weights_of_one_host[name])] == []

    return compare
