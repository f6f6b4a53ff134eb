"""Launches that would train apart or wait for ever are refused, those of the docs are not."""

from typing import Any

import pytest
from jsonargparse import Namespace

from experiment.preflight import check_launch, device_count

TORCHRUN = {"TORCHELASTIC_RUN_ID": "1", "WORLD_SIZE": "8", "LOCAL_WORLD_SIZE": "4", "MASTER_ADDR": "a"}
SBATCH = {"SLURM_JOB_ID": "7", "SLURM_NTASKS": "8", "SLURM_NTASKS_PER_NODE": "4", "SLURM_NNODES": "2"}
SRUN = SBATCH | {"SLURM_STEP_ID": "0", "SLURM_STEP_NUM_TASKS": "8", "SLURM_STEP_NUM_NODES": "2"}
BY_HAND = {"MASTER_ADDR": "a", "MASTER_PORT": "1", "NODE_RANK": "0"}


def options(devices: Any = 4, num_nodes: int = 2) -> Namespace:
    return Namespace(devices=devices, num_nodes=num_nodes, accelerator="cpu")


@pytest.mark.parametrize("environment", [TORCHRUN, SRUN, BY_HAND, TORCHRUN | SBATCH, BY_HAND | {"WORLD_SIZE": "8"}])
def test_the_right_launch_passes(environment: dict[str, str]) -> None:
    check_launch(options(), environment)


def test_one_process_passes() -> None:
    check_launch(options("auto", 1), {})
    check_launch(options("auto", 1), {"SLURM_JOB_ID": "7", "SLURM_NTASKS": "1"})  # sbatch with one task needs no srun
    check_launch(options("auto", 1), SBATCH | {"SLURM_JOB_NAME": "interactive"})


@pytest.mark.parametrize(
    ("environment", "trainer", "remedy"),
    [
        (TORCHRUN, options("auto", 1), "set --trainer.devices 4 and --trainer.num_nodes 2"),
        (SBATCH, options(), "put srun in front of python"),
        (SRUN, options(devices=1), "--ntasks-per-node=1"),
        (SRUN, options(num_nodes=1), "set --trainer.num_nodes 2"),
        ({**SRUN, "SLURM_JOB_NAME": "interactive"}, options(), "srun --job-name=train"),
        ({k: v for k, v in SRUN.items() if "PER_NODE" not in k}, options(), "--ntasks-per-node, one task for each"),
        ({}, options(), "or set MASTER_ADDR, MASTER_PORT, NODE_RANK on each"),
        ({"SLURM_JOB_ID": "7", "SLURM_NNODES": "2"}, options(), "start every node with torchrun or srun"),
        ({"WORLD_SIZE": "2"}, options(1, 1), "or unset it"),
        ({"GLOO_SOCKET_IFNAME": "lo,nonsense0"}, options(1, 1), "interface nonsense0"),
    ],
)
def test_a_trap_is_refused_with_its_remedy(environment: dict[str, str], trainer: Namespace, remedy: str) -> None:
    with pytest.raises(ValueError, match=remedy):
        check_launch(trainer, environment)


def test_devices_as_the_trainer_takes_them() -> None:
    for devices, count in ((3, 3), ("3", 3), ([0, 2], 2), ("0,2", 2), ("1,", 1), ("auto", 1), (-1, 1), (None, 1)):
        assert device_count(devices, "cpu") == count
