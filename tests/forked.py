"""New processes, forked from one that has imported everything: a new interpreter takes seconds to import PyTorch."""

import multiprocessing
import multiprocessing.connection
import os
import socket
import sys
import time
import traceback
from collections.abc import Callable
from multiprocessing import forkserver
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
IMPORTED = ["tests.imported"]
FORKS = multiprocessing.get_context("forkserver")


def start_server() -> None:
    """Start the process that forks; it computes nothing, so that it has no threads."""
    FORKS.set_forkserver_preload(IMPORTED)
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("PYTHONPATH", str(ROOT))  # Python 3.11's server does not know sys.path while it imports
        environment.setenv("OMP_NUM_THREADS", "1")
        forkserver.ensure_running()


def run_on_ranks(
    function: Callable[..., None], *arguments: Any, ranks: int, log: Path, seconds: float = 200
) -> list[int]:
    """Call a function in processes that find each other as ranks of one host.

    Args:
        function: By its module and name, which the processes import.
        arguments: Of the function.
        ranks: Number of processes; one knows nothing of ranks.
        log: File for what they print.
        seconds: After these the processes are ended, and 20 seconds after one of them failed.

    Returns:
        Their exit codes, negative for a signal.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    start_server()
    processes = [FORKS.Process(target=_rank, args=(function, arguments, n, ranks, port, log)) for n in range(ranks)]
    for process in processes:
        process.start()
    deadline = time.monotonic() + seconds
    while left := [process for process in processes if process.is_alive()]:
        multiprocessing.connection.wait([process.sentinel for process in left], max(0, deadline - time.monotonic()))
        if any(process.exitcode for process in processes):
            deadline = min(deadline, time.monotonic() + 20)
        if time.monotonic() >= deadline:
            for process in left:
                process.kill()
                process.join()
    return [process.exitcode for process in processes]  # type: ignore[misc]


def _rank(function: Callable[..., None], arguments: Any, rank: int, ranks: int, port: int, log: Path) -> None:
    """Call the function as one rank; never returns."""
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(output, 1)
    os.dup2(output, 2)
    if ranks > 1:
        from lightning.fabric.utilities.rank_zero import rank_zero_only

        variables = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": ranks, "NODE_RANK": 0}
        os.environ.update({name: str(value) for name, value in {**variables, "LOCAL_RANK": rank}.items()})
        rank_zero_only.rank = rank
    code = 1
    try:
        function(*arguments)
        code = 0
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 1
        print(f"rank {rank} exits with {code}" + (f": {error.code}" if isinstance(error.code, str) else ""))
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def run_main_on_ranks(words: list[str], *, ranks: int, log: Path, seconds: float = 200, **variables: str) -> list[int]:
    """Run main.py's command line, with these environment variables, in new processes. Returns their exit codes."""
    return run_on_ranks(_main, words, variables, ranks=ranks, log=log, seconds=seconds)


def _main(words: list[str], variables: dict[str, str]) -> None:
    from main import main

    os.environ.update(variables)
    main(words)
