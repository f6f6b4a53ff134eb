"""A preparation that is killed at any instant goes on, redoes what was not finished, and ends with the same bytes."""

import multiprocessing
import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tqdm import tqdm

from datamodules.imagenet.__main__ import main
from datamodules.imagenet.preparation.workers import run_in_processes
from tests.datamodules.imagenet.archives_of_photographs import write_archives
from tests.datamodules.photographs.made_photographs import jpeg, photograph

WNIDS = ("n02000002", "n02000001", "n02000003")
LAYOUTS = ("shards", "tree")
FORK = multiprocessing.get_context("fork")  # the package is imported already

pytestmark = [
    pytest.mark.slow(3),
    pytest.mark.xdist_group("preparation killed"),
    pytest.mark.skipif(os.name != "posix", reason="kills with a signal"),
]


@pytest.fixture(scope="module")
def official(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("official")
    train = {
        wnid: {f"{wnid}_{number}.JPEG": jpeg(photograph(10 * row + number, (150, 100))) for number in range(8)}
        for row, wnid in enumerate(WNIDS)
    }
    val = [(WNIDS[number % 3], jpeg(photograph(100 + number, (90, 120)))) for number in range(9)]
    write_archives(folder, train, val, WNIDS)
    return folder


def command(destination: Path, official: Path, layout: str, workers: int) -> list[str]:
    return [
        *("prepare", str(destination), "--archives", str(official), "--no_verify", "--layout", layout),
        *("--shorter_side", "64", "--shard_megabytes", "0.02", "--workers", str(workers)),
    ]


def contents(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


@pytest.fixture(scope="module", params=LAYOUTS)
def uninterrupted(request: pytest.FixtureRequest, official: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("whole") / request.param
    assert main(command(root, official, request.param, 1)) == 0
    return root


def killed_at_a_rename(arguments: list[str], number: int, before: bool) -> None:
    """Run a preparation that dies at its nth rename, which gives a file its final name."""
    rename, renames = os.replace, 0

    def replace(path: Path, target: Path) -> None:
        nonlocal renames
        renames += 1
        if renames == number and before:
            os.kill(os.getpid(), signal.SIGKILL)
        rename(path, target)
        if renames == number:
            os.kill(os.getpid(), signal.SIGKILL)

    os.replace = replace  # type: ignore[assignment]
    main(arguments)


def times(root: Path) -> dict[str, int]:
    """When each file with its final name was written."""
    return {
        name: (root / name).stat().st_mtime_ns
        for name in contents(root)
        if not name.startswith(".prepare") and ".part" not in name
    }


@pytest.mark.parametrize("seed", range(4))
def test_killed_at_a_rename(uninterrupted: Path, official: Path, tmp_path: Path, seed: int) -> None:
    arguments = command(tmp_path / "copy", official, uninterrupted.name, 1)
    instants = random.Random(seed)
    kills = 0
    for _ in range(3):  # three deaths, one after the other
        number, before = instants.randrange(1, 12), instants.random() < 0.5
        process = FORK.Process(target=killed_at_a_rename, args=(arguments, number, before))
        process.start()
        process.join(60)
        assert process.exitcode in (-signal.SIGKILL, 0)
        kills += process.exitcode != 0
    assert kills >= 2
    finished = times(tmp_path / "copy")
    assert main(arguments) == 0
    assert contents(tmp_path / "copy") == contents(uninterrupted)
    # at most the one unit that was renamed but not recorded is done again
    again = {Path(name).parent if uninterrupted.name == "tree" else name for name in finished
             if times(tmp_path / "copy")[name] != finished[name]}  # fmt: skip
    assert len(again) <= 1


@pytest.mark.parametrize("seed", range(3))
def test_killed_at_an_instant_with_worker_processes(
    uninterrupted: Path, official: Path, tmp_path: Path, seed: int
) -> None:
    arguments = command(tmp_path / "copy", official, uninterrupted.name, 2)
    process = FORK.Process(target=main, args=(arguments,))
    process.start()
    time.sleep(random.Random(seed).uniform(0.05, 0.3))
    process.kill()
    process.join(60)
    assert main(arguments) == 0, "the workers of the killed one let go"
    assert contents(tmp_path / "copy") == contents(uninterrupted)


def end_itself(task: int, after_each: Callable[[], None]) -> int:
    if task == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return task


def test_a_worker_that_is_killed_ends_it_with_a_sentence() -> None:
    with tqdm(total=2) as progress, pytest.raises(ValueError, match="fewer --workers"):
        run_in_processes([0, 1], end_itself, workers=2, progress=progress)
