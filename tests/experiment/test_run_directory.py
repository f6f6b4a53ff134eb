"""Runs never share a directory, and a second one never fails because the first exists."""

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path

import pytest

from experiment.run_directory import RunDirectory, new_run_directory, slug

NOW = datetime(2026, 1, 2, 3, 4, 5)


def test_name_of_a_run(tmp_path: Path) -> None:
    run = new_run_directory(tmp_path, "cifar10", "ResNet-50 v1.5", "fit", NOW).path
    assert run == tmp_path / "cifar10" / "resnet-50-v1.5" / "2026-01-02_03-04-05"
    assert run.is_dir()
    assert new_run_directory(tmp_path, "cifar10", "ResNet-50 v1.5", "test", NOW).path.name == "2026-01-02_03-04-05-test"


def test_runs_of_the_same_second_get_numbers(tmp_path: Path) -> None:
    runs = [new_run_directory(tmp_path, "digits", "AlexNet", "fit", NOW) for _ in range(3)]
    assert [run.path.name[19:] for run in runs] == ["", "-2", "-3"]


def test_runs_that_start_at_once_do_not_meet(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(lambda _: RunDirectory.new(tmp_path / "run").path, range(64)))) == 64


def test_empty_directory_of_the_user_is_used(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    assert RunDirectory.new(tmp_path / "mine").path == tmp_path / "mine"


def test_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match="run directory .*file/run cannot be written to"):
        RunDirectory.new(tmp_path / "file" / "run")


def test_slug() -> None:
    assert slug("ResNet-34 C") == "resnet-34-c"
    assert slug("../..//x") == "x"
    assert slug("···") == "unnamed"
