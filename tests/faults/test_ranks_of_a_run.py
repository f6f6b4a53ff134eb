"""What befalls one rank of a run: the others end, and say which it was, what it said, and how to go on."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from experiment.checkpoints import newest_verified
from tests.faults import small_runs
from tests.faults.small_runs import assert_identical, exhaustive, final_state, fit, write_config
from tests.forked import run_main_on_ranks

pytestmark = [pytest.mark.faults, pytest.mark.slow(6), pytest.mark.xdist_group("classifier on 2")]
ROOT = Path(__file__).parents[2]
PATIENT = ["--trainer.strategy=experiment.ranks.WatchedDDPStrategy", "--trainer.strategy.timeout=0:00:08"]
SAVING = (
    '--trainer.callbacks+={"class_path": "ModelCheckpoint", "init_args": {"filename": "e", "save_on_exception": true}}',
)
GONE = r"Rank {rank} \(process \d+ on \S+\) was killed or ended without a word"


@pytest.mark.parametrize(
    ("rank", "event", "words", "sentence"),
    [
        pytest.param(1, "RAISE", [], r"Rank 1 \(process \d+ on .* failed first: KeyError: 'label 12'", id="an error"),
        exhaustive(1, "SIGSTOP", PATIENT, r"Rank 1 .* is stopped \(SIGSTOP\): kill -CONT"),
        exhaustive(1, "SIGKILL", [], GONE.format(rank=1)),
        exhaustive(0, "SIGKILL", [], GONE.format(rank=0)),
        exhaustive(1, "RAISE", SAVING, r"Rank 1 .* failed first: KeyError"),
        exhaustive(0, "RAISE", SAVING, r"Rank 0 .* failed first: KeyError"),
        exhaustive(0, "SIGSTOP", PATIENT, r"Rank 0 .* is stopped \(SIGSTOP\)"),
    ],
)
def test_the_rank_is_named_and_the_run_goes_on(
    rank: int,
    event: str,
    words: list[str],
    sentence: str,
    tmp_path: Path,
    undisturbed: Callable[..., Path],
    record_property: Callable[[str, object], None],
) -> None:
    config, run, log = tmp_path / "config.yaml", tmp_path / "run", tmp_path / "log"
    write_config(config, "classifier", 2, "within epochs")
    start = time.monotonic()
    codes = fit(config, run, 2, log, f"{rank} batch_start 6 {event}", words=words)
    record_property("seconds", time.monotonic() - start)
    assert codes[1 - rank] == 1
    assert re.search(sentence, log.read_text()), log.read_text()[-3000:]
    assert f"--resume {run}" in log.read_text()
    assert newest_verified(run / "checkpoints") is not None
    assert fit(config, run, 2, tmp_path / "again", resume=True) == [0, 0], (tmp_path / "again").read_text()[-3000:]
    assert_identical(final_state(run), final_state(undisturbed("classifier", 2)))


def test_a_late_rank_is_named_and_waited_for(tmp_path: Path) -> None:
    write_config(tmp_path / "config.yaml", "classifier", 2, "after epochs", epochs=1)
    log = tmp_path / "log"
    assert fit(tmp_path / "config.yaml", tmp_path / "run", 2, log, "1 batch_start 3 SLEEP") == [0, 0]
    assert re.search(r"Rank 1 \(process \d+ on \S+\) holds the others up: it took [6-9] s by itself", log.read_text())


def test_a_rank_that_does_not_come_is_named(tmp_path: Path) -> None:
    write_config(tmp_path / "config.yaml", "classifier", 2, "after epochs")
    words = ["fit", f"--config={tmp_path / 'config.yaml'}", f"--run_dir={tmp_path / 'run'}", PATIENT[0]]
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    alone = {"WORLD_SIZE": "2", "LOCAL_RANK": "0", "NODE_RANK": "0", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    variables = {"TRUSTED_IMPORTS": small_runs.__name__, **alone}
    words = [*words, "--trainer.strategy.join_timeout=0:00:03"]
    start = time.monotonic()
    assert run_main_on_ranks(words, ranks=1, log=tmp_path / "log", **variables) == [1]
    assert time.monotonic() - start < 30
    assert "Of 2 ranks, rank 1 did not come within 3 s: start them all" in (tmp_path / "log").read_text()
    assert not (tmp_path / "run").exists()


def test_a_port_that_is_in_use_is_named(tmp_path: Path) -> None:
    write_config(tmp_path / "config.yaml", "classifier", 2, "after epochs")
    words = ["fit", f"--config={tmp_path / 'config.yaml'}", f"--run_dir={tmp_path / 'run'}"]
    with socket.socket() as taken:
        taken.bind(("0.0.0.0", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        alone = {"WORLD_SIZE": "2", "LOCAL_RANK": "0", "NODE_RANK": "0", "MASTER_ADDR": "127.0.0.1"}
        variables = {"TRUSTED_IMPORTS": small_runs.__name__, **alone, "MASTER_PORT": port}
        assert run_main_on_ranks(words, ranks=1, log=tmp_path / "log", **variables) == [1]
    assert f"Port {port} of 127.0.0.1, at which the ranks meet, is in use" in (tmp_path / "log").read_text()


LAUNCHERS = {
    "torchrun": ["-m", "torch.distributed.run", "--nproc-per-node=2", "--master-port={port}", "main.py"],
    "Lightning": ["main.py"],
}


def launched(launcher: str, tmp_path: Path, kill_at: str = "", *words: str) -> tuple[subprocess.Popen[str], Path]:
    """Start two ranks by a launcher, with interpreters of their own."""
    write_config(tmp_path / "config.yaml", "classifier", 2, "within epochs", epochs=1000)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    start = [word.format(port=port) for word in LAUNCHERS[launcher]]
    run = tmp_path / "run"
    command = [sys.executable, *start, "fit", f"--config={tmp_path / 'config.yaml'}", f"--run_dir={run}", *words]
    variables = {"TRUSTED_IMPORTS": small_runs.__name__, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    variables |= {"KILL_AT": kill_at} if kill_at else {}
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(
            command, cwd=ROOT, env=os.environ | variables, stdout=log, stderr=log, text=True, start_new_session=True
        )
    return process, run


def gone(process: subprocess.Popen[str], run: Path, seconds: float) -> bool:
    """Wait until all processes of a run are gone; end them if they are not in time."""
    deadline = time.monotonic() + seconds
    while members := processes_of(run):
        process.poll()
        if time.monotonic() > deadline:
            for member in members:
                os.kill(member, signal.SIGKILL)
            process.wait()
            return False
        time.sleep(0.05)
    return True


def processes_of(run: Path) -> list[int]:
    """Processes that live and whose command line names the run, launchers of another program among them."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            state = (folder / "stat").read_text().rpartition(")")[2].split()[0]
            words = (folder / "cmdline").read_bytes()
        except OSError:
            continue
        if f"--run_dir={run}".encode() in words and state not in "ZX":
            found.append(int(folder.name))
    return sorted(found)


@pytest.mark.slow(25)
@pytest.mark.parametrize("launcher", [exhaustive(name) for name in LAUNCHERS])
def test_a_stopped_rank_is_named_whatever_started_it(
    launcher: str, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    process, run = launched(launcher, tmp_path, "1 batch_start 8 SIGSTOP", *PATIENT)
    start = time.monotonic()
    assert gone(process, run, 120), (tmp_path / "log").read_text()[-3000:]
    record_property("seconds", time.monotonic() - start)
    assert re.search(r"Rank 1 .* is stopped \(SIGSTOP\): kill -CONT", (tmp_path / "log").read_text())
    assert process.wait() != 0


@pytest.mark.slow(25)
@pytest.mark.parametrize("number", [exhaustive(signal.SIGTERM), exhaustive(signal.SIGUSR1)], ids=["TERM", "USR1"])
@pytest.mark.parametrize("to", ["one rank", "all ranks", "the launcher"])
@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_after_a_signal_all_processes_are_gone_in_ten_seconds(
    launcher: str, to: str, number: signal.Signals, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    if (launcher, to, number) == ("torchrun", "the launcher", signal.SIGUSR1):
        pytest.skip("torchrun does not handle SIGUSR1, which ends it and not its ranks")
    process, run = launched(launcher, tmp_path)
    try:
        deadline = time.monotonic() + 120
        while not list(run.glob("checkpoints/last-*.sha256")):
            assert time.monotonic() < deadline, (tmp_path / "log").read_text()[-3000:]
            assert process.poll() is None, (tmp_path / "log").read_text()[-3000:]
            time.sleep(0.1)
        ranks = [number for number in processes_of(run) if launcher == "Lightning" or number != process.pid]
        targets = {"one rank": ranks[-1:], "all ranks": ranks, "the launcher": [process.pid]}[to]
        start = time.monotonic()
        for target in targets:
            os.kill(target, number)
        assert gone(process, run, 60), (tmp_path / "log").read_text()[-3000:]
        seconds = time.monotonic() - start
        record_property("seconds", seconds)
    finally:
        gone(process, run, 0)
    assert f"Stopped by {number.name} after step" in (tmp_path / "log").read_text()
    newest = newest_verified(run / "checkpoints")
    assert newest is not None
    step = re.search(r"after step (\d+), which is saved", (tmp_path / "log").read_text())
    assert step is not None
    assert newest.name == f"last-{int(step[1]):08d}.ckpt"
    assert seconds < 10
