"""Runs as W&B has them: parts of a resumed run are joined, and what is no run of this project is named."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from comparison.configuration import Filing, Selection
from comparison.runs import WANDB_FILE
from comparison.sources.wandb_runs import WandbRun, join_parts, run_of


def wandb_run(**changes: Any) -> WandbRun:
    """A run of this project, as short as it can be."""
    card = {"architecture": "NIN", "parameters": {"conv": 1, "fc": 0, "total": 1}}
    data = {"name": "digits", "train_images": 320, "val_images": 80, "selection_split": "val"}
    config = {"format": 1, "command": "fit", "model": card, "data": data, "seed": 1, "started": "monday"}
    config |= {"config": {"trainer": {"max_epochs": 3}}}
    plain: dict[str, Any] = {"id": "a", "config": config, "summary": {}, "rows": [], "status": "completed"}
    plain |= {"path": Path("a.wandb"), "source": WANDB_FILE, "filing": Filing("digits", ()), "directory": "runs/1"}
    return WandbRun(**(plain | changes))


def row(epoch: int, accuracy: float) -> dict[str, float]:
    return {"epoch": epoch, "step": 10 * epoch + 9, "images_seen": 320 * (epoch + 1), "val/acc1": accuracy}


KILLED = wandb_run(status="running", rows=[row(0, 0.3), row(1, 0.9), row(2, 0.1)], started="1")
RESUMED = wandb_run(id="b", rows=[row(2, 0.6), row(3, 0.7)], started="2", summary={"wall_time_seconds": 50.0})


def test_parts_of_a_resumed_run_are_one_run() -> None:
    (joined,) = join_parts([RESUMED, KILLED])
    run = run_of(joined, Selection())
    assert run is not None
    assert [point.accuracy for point in run.history().curve] == [0.3, 0.9, 0.6, 0.7]
    assert (
        run.problem,
        run.summary.wandb_id,
        run.summary.best_accuracy,
        run.summary.best_of("val/acc1").epoch,
        run.summary.epochs,
    ) == (None, "b", 0.9, 1, 4)  # the best epoch counted from 0
    assert (run.summary.wall_time_seconds, run.summary.started) == (50.0, "monday")


@pytest.mark.parametrize(
    "other",
    [
        replace(RESUMED, directory="runs/2"),
        replace(RESUMED, config={**RESUMED.config, "seed": 2}),
        replace(RESUMED, config={**RESUMED.config, "config": {"trainer": {"max_epochs": 4}}}),
    ],
)
def test_other_runs_are_not_parts(other: WandbRun) -> None:
    assert len(join_parts([KILLED, other])) == 2


def test_a_repetition_is_no_part() -> None:
    assert len(join_parts([replace(KILLED, status="completed"), RESUMED])) == 2


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"config": {}}, "its W&B config is not that of a run of this project"),
        ({"config": {"format": 1, "command": "fit"}}, "the W&B config has no usable data.name"),
        ({"config": {"format": 9}}, "the W&B config has format 9; this version reads 1"),
        ({"rows": [{"epoch": "x", "step": 1}]}, "line 2 of the W&B history holds something other than numbers"),
    ],
)
def test_a_run_that_is_none_of_this_project_is_named(changes: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        run_of(wandb_run(**changes), Selection())


def test_fields_that_wandb_was_not_told_are_none() -> None:
    run = run_of(wandb_run(rows=[row(0, 0.5)]), Selection())
    assert run is not None
    summary = run.summary
    assert (summary.model.multiply_adds, summary.precision, summary.wall_time_seconds) == (None, None, None)
    assert run.commit is None
    assert run.hardware == "not recorded"


def test_only_training_is_compared() -> None:
    assert run_of(wandb_run(config={"format": 1, "command": "test"}), Selection()) is None
