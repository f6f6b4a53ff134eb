"""The stop watch counts training, and only that."""

import json
import subprocess
import sys
from pathlib import Path

import torch

from callbacks.scaling.throughput import StopWatch, Throughput, of_all_ranks, peak_memory_gib

# Two forked ranks, of which the second needs more memory; the first writes what was logged.
TWO_RANKS = """
import json, os, socket, sys
from pathlib import Path
from lightning.fabric.utilities.rank_zero import rank_zero_only
from callbacks.scaling import throughput
from tests.callbacks.tiny_runs import fit, tiny_net

folder = Path(sys.argv[1])
with socket.socket() as probe:
    probe.bind(("127.0.0.1", 0))
    port = probe.getsockname()[1]
os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port), WORLD_SIZE="2", NODE_RANK="0")
child = os.fork()
rank = 0 if child else 1
os.environ["LOCAL_RANK"] = str(rank)
rank_zero_only.rank = rank
throughput.peak_memory_gib = lambda device: 1.0 + rank
trainer, rows = fit(
    tiny_net(), throughput.Throughput(skip_steps=1), folder=folder, max_epochs=1, devices=2, strategy="ddp",
    use_distributed_sampler=False,
)
if rank == 0:
    names = ("throughput/peak_memory_gib", "throughput/images_per_second")
    (folder / "rows.json").write_text(json.dumps([rows.values(name) for name in names]))
    os.waitpid(child, 0)
os._exit(0)
"""


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


def test_the_end_of_an_epoch_knows_the_memory_of_all_ranks(tmp_path: Path) -> None:
    command = [sys.executable, "-c", TWO_RANKS, str(tmp_path)]
    done = subprocess.run(
        command, cwd=Path(__file__).parents[3], capture_output=True, text=True, timeout=200, check=False
    )
    assert done.returncode == 0, done.stderr
    memory, speed = json.loads((tmp_path / "rows.json").read_text())
    assert memory == [1, 1, 1, 2]
    assert len(speed) == 4
    assert speed[-1] > 0
