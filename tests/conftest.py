"""What tests of several packages share."""

import ctypes
import gc
import os
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock
from tqdm import tqdm

ROOT = Path(__file__).parents[1]

# Set before W&B is imported: no test talks to a server that is not its own, and none reads a key of the user's.
os.environ["WANDB_MODE"] = "offline"
os.environ["WANDB_ERROR_REPORTING"] = "false"
# Set before datamodules is imported: indices of folders that are gone with their test.
os.environ["XDG_CACHE_HOME"] = f"{tempfile.gettempdir()}/landmark-image-networks-cache"
if "PYTEST_XDIST_WORKER" in os.environ:  # threads of several workers would wait for each other
    os.environ.setdefault("OMP_NUM_THREADS", "1")

# Not the lock that tqdm shares with forked processes: one that is killed while it draws would keep it for ever.
tqdm.set_lock(threading.RLock())
tqdm.monitor_interval = 0  # and no thread that could hold it when a test forks

gc.disable()  # until everything is imported: nothing of that is garbage


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Deal out slow tests one by one and first, the slowest in front; quick ones file by file.

    A test that trains by the command line is slow. Tests that share a costly fixture name a group of theirs.
    """
    groups, seconds = {}, Counter[str]()
    for item in items:
        if "run_main" in getattr(item, "fixturenames", ()) and item.get_closest_marker("slow") is None:
            item.add_marker(pytest.mark.slow)
        slow, group = item.get_closest_marker("slow"), item.get_closest_marker("xdist_group")
        if group is None and slow is None:
            item.add_marker(pytest.mark.xdist_group(item.location[0]))
            group = item.get_closest_marker("xdist_group")
        groups[item] = group.args[0] if group else item.nodeid
        if slow:
            seconds[groups[item]] += slow.args[0] if slow.args else 2
    if "PYTEST_XDIST_WORKER" in os.environ:
        items.sort(key=lambda item: (-seconds[groups[item]], groups[item]))


def pytest_collection_finish() -> None:
    """What is imported stays: collecting garbage need not look at it again."""
    gc.collect()
    gc.freeze()
    gc.enable()


def pytest_sessionfinish() -> None:
    """Let go of it, or libraries complain of leaks when the process ends."""
    gc.unfreeze()


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item) -> None:
    """Give memory back after a slow test: networks lie in circles with their Trainers, freed blocks among used ones."""
    if item.get_closest_marker("slow"):
        gc.collect()
        if trim := getattr(ctypes.CDLL(None), "malloc_trim", None):
            trim(0)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder with real images: cifar-10-batches-py, MNIST/raw and imagenet-sample."""
    unpack = ROOT.parent / "shared" / "data" / "unpack.py"
    if not unpack.exists():
        pytest.skip("real images need ../shared/data, which is not here")
    folder = Path(tempfile.gettempdir()) / "landmark-image-networks-data"
    with FileLock(folder.with_suffix(".lock")):  # another worker may be at it
        subprocess.run([sys.executable, str(unpack), str(folder)], check=True)
    return folder


@pytest.fixture(scope="session")
def sample_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with a few real images under the same names; they are committed, in tests/sample_images."""
    from tests.sample_data import write_all

    return write_all(tmp_path_factory.mktemp("sample") / "data")


@pytest.fixture(params=["sample", "shared"])
def real_images(request: pytest.FixtureRequest) -> Path:
    """Each of the two folders."""
    return request.getfixturevalue(f"{request.param}_data")


@pytest.fixture
def run_main(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Run the real command line in an empty folder, with configs relative to the project."""
    from main import main

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["main.py"])

    def run(*words: object) -> None:
        asks = any(str(word).split(".")[-1] in ("help", "--help") for word in words)
        if words[0] == "fit" and "--test_at_end" not in words and not asks:
            words = (*words, "--test_at_end", "false")  # most tests are of the training
        main([str(ROOT / word) if str(word).startswith("configs/") else str(word) for word in words])

    return run
