"""Where the time goes, on real ranks of which one is slow."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from callbacks import ScalingEfficiency
from callbacks.scaling.scaling_efficiency import (
    PHASES,
    PhaseClock,
    own_seconds,
    read_baseline,
    stragglers,
    table,
    transfer_and_waiting,
)
from tests.callbacks.ranks import train_on_ranks

RECORD = {
    "format": 1,
    "world_size": 1,
    "images_per_second": 500.0,
    "global_batch_size": 32,
    "model": {"architecture": "small"},
}


def baseline(folder: Path, **changes: Any) -> str:
    (folder / "summary.json").write_text(json.dumps(RECORD | changes))
    return str(folder)


def test_the_last_rank_to_arrive_waits_for_nobody() -> None:
    communication = torch.tensor([[3.0, 1.0], [1.0, 5.0]])
    transfer, waiting = transfer_and_waiting(communication)
    assert transfer.tolist() == [1, 1]
    assert waiting.tolist() == [[2, 0], [0, 4]]


def test_a_straggler_is_known_by_its_own_work() -> None:
    seconds = torch.zeros(3, len(PHASES))
    seconds[:, PHASES.index("forward")] = torch.tensor([1.0, 1.0, 4.0])
    seconds[:, PHASES.index("communication")] = torch.tensor([3.0, 3.0, 0.0])
    assert own_seconds(seconds).tolist() == [1, 1, 4]
    assert stragglers([1, 1, 4], ratio=1.5) == [2]
    assert stragglers([1, 1.4], ratio=1.5) == []
    assert stragglers([1], ratio=1.5) == []


def test_the_clock_leaves_out_what_lies_before_a_restart() -> None:
    clock = PhaseClock(torch.device("cpu"), seconds=iter([0.0, 1.0, 3.0, 10.0, 14.0]).__next__)
    clock.begin_step()
    for phase in ("data", "forward", "backward"):
        clock.mark(phase)
    clock.restart()
    for phase in ("data", "update"):
        clock.mark(phase)
    (step,) = clock.take().tolist()
    assert dict(zip(PHASES, step, strict=True)) == dict.fromkeys(PHASES, 0) | {"forward": 1, "backward": 2, "update": 4}
    assert len(clock.take()) == 0


@pytest.mark.slow
def test_two_ranks_report_what_they_wait_for(tmp_path: Path) -> None:
    efficiency = {"baseline": baseline(tmp_path), "every_n_steps": 10}
    plan = {"ranks": 2, "steps": 24, "slow_rank": 1, "efficiency": efficiency}
    log = train_on_ranks(plan, tmp_path / "run-0.json")["log"]
    assert log.count("Rank 1 on ") == 1  # the warning, once
    report = json.loads((tmp_path / "run-0" / "scaling.json").read_text())
    assert table(report) in log
    assert report["steps"] == 21
    phases = report["seconds_by_row"]
    assert phases["communication: waiting"][0] > 0.03  # of the 0.05 that rank 1 sleeps
    assert phases["forward"][1] > 0.05
    assert phases["communication: waiting"][1] < 0.01 + phases["communication: waiting"][0] / 2
    for rank in (0, 1):
        assert sum(ranks[rank] for ranks in phases.values()) == pytest.approx(report["seconds_a_step"], rel=0.1)
    assert report["efficiency"] == pytest.approx(report["images_per_second"] / 2 / 500)


def test_a_baseline_is_a_run_on_one_device(tmp_path: Path) -> None:
    assert read_baseline(Path(baseline(tmp_path)))["images_per_second"] == 500
    with pytest.raises(ValueError, match="must be a run on one device"):
        ScalingEfficiency(baseline(tmp_path, world_size=2))
    with pytest.raises(ValueError, match="needs a summary.json"):
        ScalingEfficiency(str(tmp_path / "nothing"))
