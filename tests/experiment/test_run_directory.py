"""Runs never share a directory, which has one writer; a second one never fails because the first exists."""

import json
import os
import re
import socket
import time
import unicodedata
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from experiment.run_directory import SILENT_SECONDS, RunDirectory, RunInUseError, new_run_directory, slug
from tests.forked import run_on_ranks

NOW = datetime(2026, 1, 2, 3, 4, 5)


def test_name_of_a_run(tmp_path: Path) -> None:
    run = new_run_directory(tmp_path, "cifar10", "ResNet-50 v1.5", "fit", NOW).path
    assert run == tmp_path / "cifar10" / "resnet-50-v1.5" / "2026-01-02_03-04-05"
    assert run.is_dir()
    assert new_run_directory(tmp_path, "cifar10", "ResNet-50 v1.5", "test", NOW).path.name == "2026-01-02_03-04-05-test"


def test_runs_of_the_same_second_get_numbers(tmp_path: Path) -> None:
    runs = [new_run_directory(tmp_path, "digits", "AlexNet", "fit", NOW) for _ in range(3)]
    assert [run.path.name[19:] for run in runs] == ["", "-2", "-3"]


@pytest.mark.slow(3)
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
    assert slug("고양이 Fotos") == slug(unicodedata.normalize("NFD", "고양이 Fotos")) == "고양이-fotos"
    assert slug("é" * 60) == "é" * 50  # a folder's name has at most 255 bytes


def test_a_run_has_one_writer(tmp_path: Path) -> None:
    run = RunDirectory.new(tmp_path / "run")
    run.keep()
    (run.path / "config.yaml").touch()
    refused = (
        f"Process {os.getpid()} on {socket.gethostname()} writes to the run {run.path}: wait for its end, or end it."
    )
    with pytest.raises(RunInUseError, match=re.escape(refused)):
        RunDirectory.of_earlier_run(run.path)
    assert RunDirectory.new(run.path).path == tmp_path / "run-2"
    run.close()
    other = RunDirectory.of_earlier_run(tmp_path / "." / "run")
    other.close()
    assert [path.name for path in run.path.iterdir()] == ["config.yaml"]


@pytest.mark.parametrize(
    ("changes", "taken"),
    [
        ({"pid": 2**22 + 1}, True),  # no process has this number
        ({"started": "1"}, True),  # another process has got its number
        ({"host": "elsewhere"}, False),
        ({}, False),
    ],
)
def test_the_lock_of_a_dead_process_of_this_host_is_taken_over(
    changes: dict[str, Any], taken: bool, tmp_path: Path
) -> None:
    run = RunDirectory.new(tmp_path / "run")
    run.keep()
    (run.path / "config.yaml").touch()
    lock = run.path / "lock.json"
    lock.write_text(json.dumps(json.loads(lock.read_text()) | changes))
    if taken:
        RunDirectory.of_earlier_run(run.path).close()
        assert not lock.exists()
    else:
        with pytest.raises(RunInUseError, match=f"remove {lock} and start" if changes else "wait for its end"):
            RunDirectory.of_earlier_run(run.path)


def test_the_lock_of_another_host_that_shows_no_life_is_taken_over(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").touch()
    lock = tmp_path / "lock.json"
    lock.write_text(json.dumps({"host": "elsewhere", "pid": 1, "started": "1"}))
    os.utime(lock, (time.time() - SILENT_SECONDS / 2,) * 2)
    with pytest.raises(RunInUseError, match=f"or wait {SILENT_SECONDS:.0f} s"):
        RunDirectory.of_earlier_run(tmp_path)
    os.utime(lock, (time.time() - 2 * SILENT_SECONDS,) * 2)
    RunDirectory.of_earlier_run(tmp_path).close()
    assert not lock.exists()


def test_a_process_shows_that_it_lives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("experiment.run_directory.BEAT_SECONDS", 0.01)
    run = RunDirectory.new(tmp_path / "run")
    lock = run.path / "lock.json"
    os.utime(lock, (1, 1))
    deadline = time.monotonic() + 5
    while lock.stat().st_mtime == 1:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    run.close()


def lose_the_lock(folder: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("experiment.run_directory.BEAT_SECONDS", 0.01)
        run = RunDirectory.new(folder / "run")
        (run.path / "lock.json").write_text(json.dumps({"host": "elsewhere", "pid": 1, "started": "1"}))
        time.sleep(20)


def test_a_process_whose_place_was_taken_ends(tmp_path: Path) -> None:
    assert run_on_ranks(lose_the_lock, tmp_path, ranks=1, log=tmp_path / "log") == [1]
    assert f"another process writes to {tmp_path / 'run'} by now" in (tmp_path / "log").read_text()


@pytest.mark.parametrize("damage", ["", "[]", "{", '{"host": 1}', '{"pid": -1}'])
def test_a_damaged_lock_is_never_a_traceback(damage: str, tmp_path: Path) -> None:
    (tmp_path / "lock.json").write_text(damage)
    (tmp_path / "config.yaml").touch()
    try:
        RunDirectory.of_earlier_run(tmp_path).close()
    except RunInUseError as error:
        assert "remove" in str(error)  # noqa: PT017
    assert not list(tmp_path.glob("lock.json.*"))


def test_of_processes_that_take_a_stale_lock_one_gets_it(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").touch()
    (tmp_path / "lock.json").write_text(json.dumps({"host": socket.gethostname(), "pid": 2**22 + 1}))

    def take(_: int) -> bool:
        try:
            RunDirectory.of_earlier_run(tmp_path)
        except RunInUseError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(take, range(16))) == 1


def test_who_dies_while_it_takes_a_stale_lock_bars_nobody(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").touch()
    for name in ("lock.json", "lock.json.next", "lock.json.next.next"):
        (tmp_path / name).write_text(json.dumps({"host": socket.gethostname(), "pid": 2**22 + 1}))
    RunDirectory.of_earlier_run(tmp_path).close()
    assert [path.name for path in tmp_path.iterdir()] == ["config.yaml"]


def test_a_lock_that_another_process_has_just_taken_is_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "config.yaml").touch()
    (tmp_path / "lock.json").write_text(json.dumps({"host": socket.gethostname(), "pid": 2**22 + 1}))
    living = json.dumps({"host": "elsewhere", "pid": 1, "started": "1"})
    link = os.link

    def be_late(own: Path, lock: Path) -> None:
        if lock.name == "lock.json.next":
            (tmp_path / "lock.json").write_text(living)
        link(own, lock)

    monkeypatch.setattr(os, "link", be_late)
    with pytest.raises(RunInUseError, match="Process 1 on elsewhere"):
        RunDirectory.of_earlier_run(tmp_path)
    assert (tmp_path / "lock.json").read_text() == living
    assert not list(tmp_path.glob("lock.json.*"))


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_a_lock_that_is_no_file_is_never_a_traceback(make: Callable[[Path], None], tmp_path: Path) -> None:
    (tmp_path / "config.yaml").touch()
    make(tmp_path / "lock.json")
    with pytest.raises(RunInUseError, match="remove"):
        RunDirectory.of_earlier_run(tmp_path)


def test_what_did_not_begin_leaves_nothing(tmp_path: Path) -> None:
    run = RunDirectory.new(tmp_path / "runs" / "digits" / "net")
    (run.path / "wandb").mkdir()
    (run.path / "wandb" / "log").touch()
    run.close()
    assert not list(tmp_path.iterdir())
    (tmp_path / "mine").mkdir()
    RunDirectory.new(tmp_path / "mine").close()
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_a_file_is_no_directory(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match="file is a file: name a directory with --run_dir"):
        RunDirectory.new(tmp_path / "file")
