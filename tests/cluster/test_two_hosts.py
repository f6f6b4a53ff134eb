"""Two hosts on one machine: two network namespaces joined by a cable (a veth pair), torchrun between them."""

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.cluster.runs import ROOT, environment, on_request, words

pytestmark = on_request

ADDRESSES = ("10.77.0.1", "10.77.0.2")


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True)


@pytest.fixture
def hosts() -> Iterator[tuple[str, str]]:
    """Names of the two namespaces."""
    if os.geteuid() != 0:
        pytest.skip("network namespaces need root")
    if shutil.which("ip") is None:
        pytest.skip("there is no `ip`: install iproute2, or run `make test-cluster INSTALL=1` as root")
    names = (f"landmark-{os.getpid()}-0", f"landmark-{os.getpid()}-1")
    try:
        ip("netns", "add", names[0])
        ip("netns", "add", names[1])
        ip("link", "add", "cable", "netns", names[0], "type", "veth", "peer", "name", "cable", "netns", names[1])
    except subprocess.CalledProcessError as error:
        remove(names)
        pytest.skip(f"network namespaces are not allowed here: {error.stderr.strip()}")
    for name, address in zip(names, ADDRESSES, strict=True):
        ip("-n", name, "addr", "add", f"{address}/24", "dev", "cable")
        ip("-n", name, "link", "set", "cable", "up")
        ip("-n", name, "link", "set", "lo", "up")
    yield names
    remove(names)


def remove(names: tuple[str, str]) -> None:
    for name in names:
        subprocess.run(["ip", "netns", "delete", name], check=False, capture_output=True)


def start(host: str, rank: int, run: Path, *more: str, steps: int = 20) -> subprocess.Popen[str]:
    variables = {"HEAD": ADDRESSES[0], "NODES": 2, "DEVICES": 1, "NODE_RANK": rank, "INTERFACE": "cable"}
    command = ["ip", "netns", "exec", host, "configs/cluster/torchrun.sh", *words(steps), "--run_dir", str(run), *more]
    return subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment(**variables, JOIN_TIMEOUT=20),
        stdout=run.with_name(f"rank-{rank}.log").open("w"),
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def cut(host: str) -> str:
    """Drop all packets if the kernel can (netem), else pull the plug at one end. Returns which."""
    netem = ["ip", "netns", "exec", host, "tc", "qdisc", "add", "dev", "cable", "root", "netem", "loss", "100%"]
    if shutil.which("tc") and subprocess.run(netem, check=False, capture_output=True).returncode == 0:
        return "all packets dropped"
    ip("-n", host, "link", "set", "cable", "down")
    return "link down"


def end(processes: list[subprocess.Popen[str]]) -> None:
    for process in processes:
        if process.poll() is None:
            os.killpg(process.pid, 9)
            process.wait()


def log(run: Path, rank: int) -> str:
    return run.with_name(f"rank-{rank}.log").read_text()


def test_two_hosts_train_to_the_weights_of_one(
    hosts: tuple[str, str], tmp_path: Path, assert_same_weights: Callable[[Path], None]
) -> None:
    run = tmp_path / "run"
    processes = [start(host, rank, run) for rank, host in enumerate(hosts)]
    codes = [process.wait(timeout=240) for process in processes]
    assert codes == [0, 0], (log(run, 0)[-2000:], log(run, 1)[-2000:])
    assert_same_weights(run)


def test_a_cut_cable_ends_both_hosts(hosts: tuple[str, str], tmp_path: Path) -> None:
    run = tmp_path / "run"
    timeout = ("--trainer.strategy.init_args.timeout", "0:00:20", "--trainer.log_every_n_steps", "1")
    processes = [start(host, rank, run, *timeout, steps=100000) for rank, host in enumerate(hosts)]
    try:
        wait_for((run / "metrics.csv").exists, processes)
        how = cut(hosts[0])
        start_of_silence = time.monotonic()
        codes = [process.wait(timeout=120) for process in processes]
        print(f"both ended {time.monotonic() - start_of_silence:.0f} s after the cut ({how})")
        assert 0 not in codes
    finally:
        end(processes)


@pytest.mark.parametrize("fire", ["killed", "cut off", "slowed"])
def test_a_run_under_fire_goes_on_to_the_same_weights(
    fire: str, hosts: tuple[str, str], tmp_path: Path, assert_same_weights: Callable[[Path], None]
) -> None:
    """The second host's ranks are killed, its cable is cut, or each packet takes a tenth of a second longer."""
    run = tmp_path / "run"
    saves = tmp_path / "saves.yaml"
    saves.write_text("trainer: {callbacks: [{class_path: LatestCheckpoint, init_args: {every_n_steps: 1}}]}\n")
    more = ("--config", str(saves), "--trainer.strategy.init_args.timeout", "0:00:15", "--resume", "auto")
    processes = [start(host, rank, run, *more) for rank, host in enumerate(hosts)]
    try:
        wait_for(lambda: any(run.glob("checkpoints/last-*.sha256")), processes)
        if fire == "killed":
            kill_all(hosts[1])
        elif fire == "cut off":
            cut(hosts[0])
        elif not slow(hosts[0]):
            pytest.skip("this kernel cannot slow a link down (netem)")
        codes = [process.wait(timeout=120) for process in processes]
    finally:
        end(processes)
    if fire == "slowed":
        assert codes == [0, 0], (log(run, 0)[-2000:], log(run, 1)[-2000:])
    else:
        assert 0 not in codes
        mend(hosts[0])
        processes = [start(host, rank, run, *more) for rank, host in enumerate(hosts)]
        codes = [process.wait(timeout=240) for process in processes]
        assert codes == [0, 0], (log(run, 0)[-2000:], log(run, 1)[-2000:])
        assert "Resuming" in log(run, 0)
    assert_same_weights(run)


def kill_all(host: str) -> None:
    """Kill the ranks and what started them, which torchrun puts into sessions of their own."""
    found = subprocess.run(["ip", "netns", "pids", host], check=True, capture_output=True, text=True).stdout
    for number in found.split():
        os.kill(int(number), 9)


def slow(host: str) -> bool:
    netem = ["ip", "netns", "exec", host, "tc", "qdisc", "add", "dev", "cable", "root", "netem", "delay", "100ms"]
    return bool(shutil.which("tc")) and subprocess.run(netem, check=False, capture_output=True).returncode == 0


def mend(host: str) -> None:
    """Undo what `cut` did."""
    subprocess.run(
        ["ip", "netns", "exec", host, "tc", "qdisc", "del", "dev", "cable", "root"], check=False, capture_output=True
    )
    ip("-n", host, "link", "set", "cable", "up")


def test_a_host_that_never_comes_is_not_waited_for_for_ever(hosts: tuple[str, str], tmp_path: Path) -> None:
    process = start(hosts[0], 0, tmp_path / "run")
    try:
        assert process.wait(timeout=120) != 0
        assert "1/2 clients joined" in log(tmp_path / "run", 0) or "imed out" in log(tmp_path / "run", 0)
    finally:
        end([process])


def wait_for(condition: Callable[[], bool], processes: list[subprocess.Popen[str]], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        assert all(process.poll() is None for process in processes)
        time.sleep(0.2)
