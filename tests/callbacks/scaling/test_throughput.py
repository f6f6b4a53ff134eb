"""The stop watch counts training, and only that."""

import json
import os
from pathlib import Path

import pytest
import torch

from callbacks.scaling import throughput
from callbacks.scaling.throughput import StopWatch, Throughput, of_all_ranks, peak_memory_gib
from tests.callbacks.tiny_runs import fit, tiny_net
from tests.forked import run_on_ranks


def test_speed_is_images_over_seconds_between_laps() -> None:
    watch = StopWatch()
    assert watch.images_per_second == 0
    for now in (10.0, 10.5, 11.0):
        watch.lap(32, now)
    assert watch.images_per_second == 64


def test_a_pause_does_not_count() -> None:
    watch = StopWatch()
    for now in (0.0, 1.0):
        watch.lap(10, now)
    watch.pause()
    for now in (100.0, 101.0):
        watch.lap(10, now)
    assert watch.images_per_second == 10


def test_large_counts_are_exact() -> None:
    assert int(Throughput._exactly(115_304_961)) == 115_304_961


def test_peak_memory_counts_what_is_held_and_does_not_fall() -> None:
    processor = torch.device("cpu")
    before = peak_memory_gib(processor)
    held = torch.ones(2**27)  # 0.5 GiB
    peak = peak_memory_gib(processor)
    assert 0.5 < peak < 64
    assert peak >= before
    del held
    assert peak_memory_gib(processor) >= peak


def test_figures_of_nodes_are_of_their_own_ranks() -> None:
    measured = torch.tensor([[800.0, 1.0], [800.0, 3.0], [400.0, 2.0], [400.0, 2.5]])
    assert of_all_ranks(measured, nodes=1) == {"images_per_second": 600, "peak_memory_gib": 3}
    assert of_all_ranks(measured, nodes=2) == {
        "images_per_second": 600,
        "peak_memory_gib": 3,
        "node_0/images_per_second": 400,
        "node_0/peak_memory_gib": 3,
        "node_1/images_per_second": 200,
        "node_1/peak_memory_gib": 2.5,
    }


def fit_on_two_ranks(folder: Path) -> None:
    """The second needs more memory; the first writes what was logged."""
    rank = int(os.environ["LOCAL_RANK"])
    throughput.peak_memory_gib = lambda device: 1.0 + rank  # in a process of its own
    options = {"max_epochs": 1, "devices": 2, "strategy": "ddp", "use_distributed_sampler": False}
    _, rows = fit(tiny_net(), Throughput(skip_steps=1), folder=folder, **options)
    if rank == 0:
        names = ("throughput/peak_memory_gib", "throughput/images_per_second")
        (folder / "rows.json").write_text(json.dumps([rows.values(name) for name in names]))


@pytest.mark.slow
def test_the_end_of_an_epoch_knows_the_memory_of_all_ranks(tmp_path: Path) -> None:
    codes = run_on_ranks(fit_on_two_ranks, tmp_path, ranks=2, log=tmp_path / "log")
    assert codes == [0, 0], (tmp_path / "log").read_text()
    memory, speed = json.loads((tmp_path / "rows.json").read_text())
    assert memory == [1, 1, 1, 2]
    assert len(speed) == 4
    assert speed[-1] > 0
