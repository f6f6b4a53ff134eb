"""Checkpoints under kills in their writer, flipped bits, truncations, full disks and those that are read-only."""

import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from experiment.checkpoints import DamagedCheckpointError, VerifiedCheckpointIO, load_verified, newest_verified
from records.checkpoints import digest_path, is_verified
from records.files import remove_parts
from tests.faults.small_runs import exhaustive
from tests.forked import FORKS, start_server

pytestmark = pytest.mark.faults
ROOT = Path(__file__).parents[2]
MEMORY = Path("/dev/shm")


def state(step: int) -> dict[str, object]:
    return {"epoch": 0, "global_step": step, "state_dict": {"weight": torch.full((200_000,), float(step))}}


def save_without_end(folder: Path, name: str) -> None:
    for step in range(1, 1_000_000):
        VerifiedCheckpointIO().save_checkpoint(state(step), folder / name.format(step=step))


@pytest.fixture(params=["the disk", "memory"])
def file_system(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A folder on one of two file systems."""
    if request.param == "the disk":
        yield tmp_path
        return
    if not MEMORY.is_dir():
        pytest.skip("there is no /dev/shm, the second file system")
    folder = MEMORY / f"landmark-image-networks-{os.getpid()}"
    folder.mkdir()
    yield folder
    shutil.rmtree(folder)


@pytest.mark.parametrize("name", ["last-{step:08d}.ckpt", "last.ckpt"], ids=["new names", "one name"])
@pytest.mark.parametrize("kills", [pytest.param(3, marks=pytest.mark.slow(1)), exhaustive(50)])
def test_a_kill_in_the_writer_leaves_the_newest_or_the_one_before(
    kills: int, name: str, file_system: Path, record_property: Callable[[str, object], None]
) -> None:
    record_property("injected", kills)
    instants = random.Random(name)
    start_server()  # a fork of this process would inherit the locks of its threads
    for _ in range(kills):
        writer = FORKS.Process(target=save_without_end, args=(file_system, name))
        writer.start()
        while not any(file_system.glob("*.sha256")):  # one is saved
            assert writer.is_alive()
            time.sleep(0.001)
        time.sleep(instants.random() * 0.05)
        writer.kill()
        writer.join()
        remove_parts(file_system)
        newest = newest_verified(file_system)
        assert newest is not None
        step = load_verified(newest)["global_step"]
        assert name == "last.ckpt" or step >= len(list(file_system.glob("*.ckpt"))) - 1
        assert {path.suffix for path in file_system.iterdir()} <= {".ckpt", ".sha256"}
        for path in file_system.iterdir():
            path.unlink()


@pytest.mark.parametrize("signed", [True, False], ids=["signed", "unsigned"])
@pytest.mark.parametrize("flips", [pytest.param(50, marks=pytest.mark.slow(1)), exhaustive(1000)])
@pytest.mark.filterwarnings("ignore")
def test_a_flipped_bit_is_seen(
    flips: int, signed: bool, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """Without a SHA-256 by the archive's own checksums; bits that no checksum covers, as dates, change no weight."""
    file, instants, seen = tmp_path / "last.ckpt", random.Random(flips), 0
    VerifiedCheckpointIO().save_checkpoint({**state(3), "state_dict": {"weight": torch.arange(2000.0)}}, file)
    content, whole = bytearray(file.read_bytes()), load_verified(file)
    if not signed:
        digest_path(file).unlink()
    record_property("injected", flips)
    for _ in range(flips):
        position, bit = instants.randrange(len(content)), 1 << instants.randrange(8)
        content[position] ^= bit
        file.write_bytes(content)
        content[position] ^= bit
        try:
            loaded = load_verified(file)
        except DamagedCheckpointError:
            seen += 1
        else:
            assert not signed
            assert torch.equal(loaded["state_dict"]["weight"], whole["state_dict"]["weight"])
            assert (loaded["epoch"], loaded["global_step"]) == (0, 3)
    record_property("detail", f"{seen} of {flips} refused, the others without effect on what is loaded")
    assert seen == flips or not signed


@pytest.mark.parametrize("every", [pytest.param(64 * 1024, marks=pytest.mark.slow(1)), exhaustive(1024)])
@pytest.mark.parametrize("signed", [True, False], ids=["signed", "unsigned"])
@pytest.mark.filterwarnings("ignore")
def test_a_truncation_is_seen(
    every: int, signed: bool, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    earlier, file = tmp_path / "last-1.ckpt", tmp_path / "last-2.ckpt"
    for step, path in enumerate((earlier, file), 1):
        VerifiedCheckpointIO().save_checkpoint(state(step), path)
    content = file.read_bytes()
    if not signed:
        digest_path(file).unlink()
    lengths = range(0, len(content), every)
    record_property("injected", len(lengths))
    for length in lengths:
        file.write_bytes(content[:length])
        with pytest.raises(DamagedCheckpointError):
            load_verified(file)
        if length % (64 * every) == 0:
            assert newest_verified(tmp_path) == earlier


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="mounting a file system needs root")
FIT = ["fit", *(f"--config=configs/{name}.yaml" for name in ("base", "data/digits", "model/resnet20"))]
FIT += ["--trainer.logger=experiment.csv_logger.ResumableCSVLogger", "--trainer.accelerator=cpu", "--model.depth=8"]
FIT += ["--trainer.max_steps=-1", "--trainer.limit_val_batches=1", "--trainer.limit_train_batches=4"]
FIT += ["--data.batch_size=8", "--trainer.enable_progress_bar=false", "--trainer.num_sanity_val_steps=0"]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system with room for a checkpoint and a half."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2200k", "tmpfs", str(folder)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("no file system may be mounted here")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def run_main(*words: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "main.py", *map(str, words)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=200)


@needs_root
@pytest.mark.exhaustive
@pytest.mark.slow(20)
def test_a_full_disk_ends_a_run_with_one_line_and_keeps_what_was_saved(small_disk: Path, tmp_path: Path) -> None:
    run = small_disk / "run"
    first = run_main(*FIT, "--run_dir", run, "--trainer.max_epochs=1")
    assert first.returncode == 0, first.stderr[-2000:]
    room = os.statvfs(small_disk)
    (small_disk / "filler").write_bytes(bytes(max(0, room.f_bavail * room.f_frsize - 100_000)))
    done = run_main("fit", "--resume", run, "--trainer.max_epochs=3")
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert done.returncode == 1, done.stderr[-2000:]
    assert "is on a full disk (" in errors[-1]
    assert "Traceback" not in done.stderr
    (small_disk / "filler").unlink()
    newest = newest_verified(run / "checkpoints")
    assert newest is not None
    assert is_verified(newest)
    assert not list((run / "checkpoints").glob("*.part"))
    shutil.copytree(run, tmp_path / "elsewhere")
    assert run_main("fit", "--resume", tmp_path / "elsewhere", "--trainer.max_epochs=3").returncode == 0


@needs_root
@pytest.mark.exhaustive
@pytest.mark.slow(15)
@pytest.mark.parametrize("resumed", [False, True], ids=["new", "resumed"])
def test_a_disk_that_is_read_only_is_refused_at_the_start(resumed: bool, small_disk: Path) -> None:
    run = small_disk / "run"
    if resumed:
        assert run_main(*FIT, "--run_dir", run, "--trainer.max_epochs=1").returncode == 0
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    words = ("fit", "--resume", run, "--trainer.max_epochs=3") if resumed else (*FIT, "--run_dir", run)
    done = run_main(*words)
    assert done.returncode == 2, done.stderr[-2000:]
    (error,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert "read-only" in error.lower()
    assert "Traceback" not in done.stderr
