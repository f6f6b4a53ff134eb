"""How a job was started, and on what: the usual mistakes would end in silence, or take ten times as long."""

import os
import socket
from collections.abc import Mapping
from typing import Any

import torch
from jsonargparse import Namespace
from lightning.pytorch import Trainer
from lightning.pytorch.accelerators import CPUAccelerator
from lightning.pytorch.utilities import rank_zero_warn

INTERACTIVE = ("bash", "interactive")  # SLURM job names under which Lightning does not look at SLURM's variables
BFLOAT16_INSTRUCTIONS = ("avx512_bf16", "amx_bf16")  # half the time of float32 with either


def check_launch(trainer: Namespace, environment: Mapping[str, str] = os.environ) -> None:
    """Refuse a launch that would train several networks apart, or wait for processes that never come.

    Args:
        trainer: Options of the Trainer: devices, num_nodes, accelerator.
        environment: Environment variables of the process.

    Raises:
        ValueError: torchrun's or SLURM's processes are not those of the Trainer, or nothing starts the other nodes.
    """
    devices = device_count(trainer.get("devices", "auto"), trainer.get("accelerator", "auto"))
    nodes = int(trainer.get("num_nodes") or 1)
    _check_interface(environment)
    if "TORCHELASTIC_RUN_ID" in environment:
        _check_torchrun(environment, devices, nodes)
    elif "SLURM_NTASKS" in environment:
        _check_slurm(environment, devices, nodes)
    else:
        _check_by_hand(environment, devices, nodes)


def device_count(devices: Any, accelerator: Any) -> int:
    """Devices of one node, for an option as the Trainer takes it: a number, a list of indices, or auto."""
    if isinstance(devices, str) and devices not in ("auto", "-1"):
        indices = [part for part in devices.split(",") if part.strip()]
        return len(indices) if "," in devices else int(devices)
    if isinstance(devices, list | tuple):
        return len(devices)
    if devices not in (None, "auto", -1, "-1"):
        return int(devices)
    return 1 if accelerator == "cpu" or not torch.cuda.is_available() else torch.cuda.device_count()


def _check_torchrun(environment: Mapping[str, str], devices: int, nodes: int) -> None:
    started, per_node = int(environment["WORLD_SIZE"]), int(environment.get("LOCAL_WORLD_SIZE", 1))
    if devices * nodes != started:
        raise ValueError(
            f"torchrun started {started} processes, but the Trainer has {devices} device(s) on {nodes} node(s): each "
            f"would train alone or wait for ever; set --trainer.devices {per_node} and "
            f"--trainer.num_nodes {started // per_node}."
        )


def _check_slurm(environment: Mapping[str, str], devices: int, nodes: int) -> None:
    tasks = int(environment["SLURM_NTASKS"])
    step_tasks = int(environment.get("SLURM_STEP_NUM_TASKS", 1))
    if environment.get("SLURM_JOB_NAME") in INTERACTIVE:
        if step_tasks > 1:
            raise ValueError(
                f"srun started {step_tasks} tasks in a job named {environment['SLURM_JOB_NAME']}, where Lightning "
                "takes each for a run of its own: name it otherwise, with srun --job-name=train."
            )
        _check_by_hand(environment, devices, nodes)
        return
    if tasks > 1 and "SLURM_STEP_ID" not in environment:
        raise ValueError(
            f"SLURM has {tasks} tasks for this job, but sbatch starts its script once and the others would never come: "
            "put srun in front of python in the script."
        )
    per_node = environment.get("SLURM_NTASKS_PER_NODE")
    if tasks > 1 and per_node is None:
        raise ValueError(
            f"SLURM was asked for {tasks} tasks without saying how many go to a node: give it --nodes and "
            "--ntasks-per-node, one task for each device."
        )
    if per_node is not None and int(per_node) != devices:
        raise ValueError(
            f"SLURM starts {per_node} task(s) on a node, but the Trainer has {devices} device(s) there: set "
            f"--trainer.devices {per_node}, or --ntasks-per-node={devices} for SLURM."
        )
    slurm_nodes = int(environment.get("SLURM_STEP_NUM_NODES", environment.get("SLURM_NNODES", nodes)))
    if slurm_nodes != nodes:
        raise ValueError(
            f"SLURM gave {slurm_nodes} node(s), but the Trainer has num_nodes={nodes}: set "
            f"--trainer.num_nodes {slurm_nodes}."
        )


def _check_by_hand(environment: Mapping[str, str], devices: int, nodes: int) -> None:
    started = int(environment.get("WORLD_SIZE", 1))
    if started > 1 and started != devices * nodes:
        raise ValueError(
            f"WORLD_SIZE is {started}, but the Trainer has {devices} device(s) on {nodes} node(s): set "
            "--trainer.devices and --trainer.num_nodes so that their product is WORLD_SIZE, or unset it."
        )
    missing = [name for name in ("MASTER_ADDR", "MASTER_PORT") if name not in environment]
    if not {"NODE_RANK", "GROUP_RANK", "RANK"} & environment.keys():
        missing.append("NODE_RANK")
    if nodes > 1 and missing:
        raise ValueError(
            f"trainer.num_nodes is {nodes}, but nothing says where the other nodes are: start every node with torchrun "
            f"or srun (see docs/cluster.md), or set {', '.join(missing)} on each."
        )


def _check_interface(environment: Mapping[str, str]) -> None:
    names = {name for _, name in socket.if_nameindex()}
    for wanted in environment.get("GLOO_SOCKET_IFNAME", "").split(","):
        if wanted and wanted not in names:
            raise ValueError(
                f"GLOO_SOCKET_IFNAME names the interface {wanted}, which {socket.gethostname()} does not have: choose "
                f"among {', '.join(sorted(names))}."
            )


def has_bfloat16() -> bool:
    """Whether the processor is known to compute bfloat16 faster than float32: x86 with AVX-512 BF16 or AMX."""
    if not hasattr(torch.cpu, "get_capabilities"):  # PyTorch 2.11
        return False
    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(name) for name in BFLOAT16_INSTRUCTIONS)


def warn_of_slow_bfloat16(trainer: Trainer) -> None:
    """Warn if the Trainer computes in bfloat16 on a processor that is not known to have instructions for it."""
    on_processor = isinstance(trainer.accelerator, CPUAccelerator)
    if on_processor and str(trainer.precision).startswith("bf16") and not has_bfloat16():
        rank_zero_warn(
            f"This processor is not known to have instructions for bfloat16, without which {trainer.precision} takes "
            "up to ten times as long as --trainer.precision 32-true."
        )
