"""A real SLURM with two nodes on this machine, from Debian's packages, runs configs/cluster/slurm.sbatch."""

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from case_studies.plans import slurm as array_job
from case_studies.runs import planned
from tests.case_studies.test_pool import TINY
from tests.case_studies.test_runs import study
from tests.cluster.runs import ROOT, environment, on_request, words

pytestmark = on_request

CONFIGURATION = """
ClusterName=landmark
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort=16817
SlurmdPort=16818
AuthType=auth/munge
SlurmUser=root
SlurmdUser=root
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SwitchType=switch/none
MpiDefault=none
ReturnToService=2
JobRequeue=1
KillWait=5
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/%n.log
NodeName=n1 NodeHostname={host} NodeAddr=127.0.0.1 Port=17001 CPUs=1
NodeName=n2 NodeHostname={host} NodeAddr=127.0.0.1 Port=17002 CPUs=1
PartitionName=all Nodes=n1,n2 Default=YES State=UP
"""
NEEDED = ("munged", "mungekey", "slurmctld", "slurmd", "sbatch", "sinfo")


@pytest.fixture(scope="module")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Environment in which SLURM's commands talk to a cluster of two nodes, which ends with the tests."""
    if os.geteuid() != 0:
        pytest.skip("starting SLURM needs root")
    if missing := [program for program in NEEDED if shutil.which(program) is None]:
        pytest.skip(f"there is no {missing[0]}: run `make test-cluster INSTALL=1` as root on Debian")
    folder = tmp_path_factory.mktemp("slurm")
    for name in ("state", "n1", "n2"):
        (folder / name).mkdir()
    settings = folder / "slurm.conf"
    settings.write_text(CONFIGURATION.format(host=socket.gethostname().partition(".")[0], folder=folder))
    variables = environment(SLURM_CONF=settings, MASTER_ADDR="127.0.0.1", INTERFACE="lo")
    daemons = start_munge(folder)
    for command in (["slurmctld", "-D"], ["slurmd", "-D", "-N", "n1"], ["slurmd", "-D", "-N", "n2"]):
        output = (folder / f"{'-'.join(command)}.out").open("w")
        daemons.append(subprocess.Popen(command, env=variables, stdout=output, stderr=subprocess.STDOUT))
    try:
        deadline = time.monotonic() + 60
        while nodes_ready(variables) < 2:
            assert time.monotonic() < deadline, [path.read_text()[-1500:] for path in folder.glob("*.out")]
            time.sleep(0.5)
        yield variables
    finally:
        kill = ["scancel", "--quiet", "--full", "--signal=KILL", "--user=root"]  # what a failed test has left running
        subprocess.run(kill, env=variables, check=False, capture_output=True)
        for daemon in reversed(daemons):
            daemon.terminate()
        for daemon in daemons:
            daemon.wait(timeout=30)


def start_munge(folder: Path) -> list[subprocess.Popen[bytes]]:
    """The daemon that signs SLURM's messages, unless one runs already."""
    if subprocess.run(["munge", "-n"], check=False, capture_output=True).returncode == 0:
        return []
    if not Path("/etc/munge/munge.key").exists():
        subprocess.run(["mungekey", "--create"], check=True)
        shutil.chown("/etc/munge/munge.key", "munge", "munge")
    for path in ("/run/munge", "/var/log/munge", "/var/lib/munge"):
        Path(path).mkdir(exist_ok=True)
        shutil.chown(path, "munge", "munge")
        Path(path).chmod(0o755)
    output = (folder / "munged.out").open("w")
    daemon = subprocess.Popen(["munged", "--foreground"], user="munge", group="munge", extra_groups=[], stderr=output)
    deadline = time.monotonic() + 20
    while subprocess.run(["munge", "-n"], check=False, capture_output=True).returncode:
        assert time.monotonic() < deadline
        time.sleep(0.2)
    return [daemon]


def nodes_ready(variables: dict[str, str]) -> int:
    command = ["sinfo", "--noheader", "--Node", "--format=%T"]
    return subprocess.run(command, env=variables, check=False, capture_output=True, text=True).stdout.count("idle")


def submit(variables: dict[str, str], folder: Path, *command: str) -> tuple[int, str]:
    """Submit a job and wait for its end. Returns its exit code and its log."""
    log = folder / "job.log"
    words = ["sbatch", "--wait", f"--output={log}", *command]
    done = subprocess.run(words, cwd=ROOT, env=variables, check=False, capture_output=True, text=True, timeout=280)
    return done.returncode, done.stderr + (log.read_text() if log.exists() else "")


def test_two_nodes_train_to_the_weights_of_one_host(
    slurm: dict[str, str], tmp_path: Path, assert_same_weights: Callable[[Path], None]
) -> None:
    run = tmp_path / "run"
    code, log = submit(slurm | {"RUN_DIR": str(run)}, tmp_path, "configs/cluster/slurm.sbatch", *words())
    assert code == 0, log[-3000:]
    assert "Starting with 2 processes" in log
    assert_same_weights(run)


def test_a_script_without_srun_is_refused(slurm: dict[str, str], tmp_path: Path) -> None:
    options = ["--nodes=2", "--ntasks-per-node=1"]
    fit = [sys.executable, "main.py", *words(), "--trainer.num_nodes", "2", "--trainer.devices", "1"]
    code, log = submit(slurm, tmp_path, *options, "--wrap", " ".join(fit))
    assert code == 2, log[-3000:]
    assert "put srun in front of python in the script" in log


@pytest.mark.parametrize("interrupt", [["scontrol", "requeue"], ["scancel", "--batch", "--signal=USR1"]])
def test_a_job_that_is_queued_again_goes_on(
    interrupt: list[str], slurm: dict[str, str], tmp_path: Path, assert_same_weights: Callable[[Path], None]
) -> None:
    run, log = tmp_path / "run", tmp_path / "job.log"
    saves = tmp_path / "saves.yaml"
    saves.write_text("trainer: {callbacks: [{class_path: LatestCheckpoint, init_args: {every_n_steps: 1}}]}\n")
    command = ["sbatch", "--parsable", f"--output={log}", "configs/cluster/slurm.sbatch", *words()]
    command += ["--config", str(saves)]
    variables = slurm | {"RUN_DIR": str(run)}
    done = subprocess.run(command, cwd=ROOT, env=variables, check=True, capture_output=True, text=True)
    job = done.stdout.strip()
    wait_for(lambda: any((run / "checkpoints").glob("last-*.ckpt")) or state(slurm, job) == "FAILED", log)
    subprocess.run([*interrupt, job], env=slurm, check=True)
    wait_for(lambda: state(slurm, job) == "PENDING", log)
    # SLURM lets a job wait for two minutes; started in the second in which it was killed, it would be refused.
    subprocess.run(["scontrol", "update", f"JobId={job}", "StartTime=now+5"], env=slurm, check=True)
    wait_for(lambda: state(slurm, job) in ("COMPLETED", "FAILED"), log)
    assert state(slurm, job) == "COMPLETED", log.read_text()[-3000:]
    assert "Resuming" in log.read_text()
    stopped = "--signal=USR1" in interrupt
    assert ("Stopped by SIGUSR1" in log.read_text()) == stopped
    assert all(f"task {rank}: Exited with exit code 138" in log.read_text() for rank in (0, 1)) == stopped
    assert_same_weights(run)


def test_an_array_trains_the_runs_of_a_case_study(slurm: dict[str, str], tmp_path: Path) -> None:
    """Two runs, behind one of which another evaluates its network."""
    arms = {
        "deep": {},
        "mirrored": {"evaluates": "deep", "configs": ["configs/evaluation/flip.yaml"]},
        "shallow": {"options": {"model.depth": 14}},
    }
    small = study(arms=arms, scales={"test": {"seeds": [1], "minutes": 1, "options": TINY}}, parts={}, checks=[])
    runs = planned(small, "test", tmp_path / "runs")
    script = tmp_path / "array.sh"
    script.write_text(array_job(runs))
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    code, log = submit(slurm | {"PATH": path}, tmp_path, str(script))
    assert code == 0, log[-3000:]
    assert all(run.is_done for run in runs), log[-3000:]


def state(variables: dict[str, str], job: str) -> str:
    shown = subprocess.run(["scontrol", "show", "job", job], env=variables, check=True, capture_output=True, text=True)
    return shown.stdout.partition("JobState=")[2].split()[0]


def wait_for(condition: Callable[[], bool], log: Path, seconds: float = 250) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, log.read_text()[-3000:] if log.exists() else ""
        time.sleep(0.2)
