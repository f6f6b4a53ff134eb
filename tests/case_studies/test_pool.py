"""Runs of a study, really trained on this machine."""

from pathlib import Path

import pytest

from case_studies.pool import train
from case_studies.results import judge
from case_studies.runs import planned
from tests.case_studies.test_runs import study

TINY = {
    "data.batch_size": 64,
    "model.depth": 8,
    "trainer.max_steps": -1,
    "trainer.max_epochs": 1,
    "trainer.limit_train_batches": 1,
    "trainer.limit_val_batches": 1,
    "trainer.limit_test_batches": 1,
    "trainer.logger": "experiment.csv_logger.ResumableCSVLogger",
}


@pytest.mark.slow(12)
def test_runs_are_trained_once_and_a_failed_one_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    small = study(
        arms={
            "trained": {},
            "mirrored": {"evaluates": "trained", "configs": ["configs/evaluation/flip.yaml"]},
            "wrong": {"options": {"model.depth": 9}},
        },
        scales={"test": {"seeds": [1], "minutes": 1, "options": TINY}},
        parts={},
        checks=[],
    )
    runs = planned(small, "test", tmp_path)
    failed = train(runs, workers=2)
    assert [run.arm for run in failed] == ["wrong"]
    assert "depth" in capsys.readouterr().err
    result = judge(small, "test", runs)
    assert (result.done, result.wanted) == (2, 3)
    assert set(result.figures["error"]) == {"trained", "mirrored"}
    records = {run.arm: (run.directory / "summary.json").read_bytes() for run in runs if run.is_done}
    assert [run.arm for run in train(runs, workers=2)] == ["wrong"]
    assert {run.arm: (run.directory / "summary.json").read_bytes() for run in runs if run.is_done} == records
