"""Train runs on this machine: a few processes of one pinned thread each, forked from one that has imported everything.

A run alone on a core does about as much work as half of a run on two, and imports are paid once. The end of a process
tells nothing: whether a run is done, its own summary says.
"""

import contextlib
import multiprocessing
import multiprocessing.connection
import os
import runpy
import signal
import sys
import threading
import time
from collections.abc import Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path

from tqdm import tqdm

from case_studies.runs import PlannedRun
from records.record import printable

LOG = ".output.txt"
PROGRAM = Path(__file__).parents[1] / "main.py"


def train(runs: Sequence[PlannedRun], workers: int | None = None) -> list[PlannedRun]:
    """Train what is not done yet, with a bar that counts runs; an interrupt stops and saves those that are under way.

    Args:
        runs: In the order in which they are to start; one that evaluates another comes behind it.
        workers: Processes at a time; by default one for each core.

    Returns:
        The runs that failed.

    Raises:
        KeyboardInterrupt: After the runs under way have saved their state.
    """
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else list(range(os.cpu_count() or 1))
    free = cores[: workers or len(cores)]
    waiting = [run for run in runs if not run.is_done]
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([PROGRAM.stem])
    os.environ["OMP_NUM_THREADS"] = "1"  # of the process that forks, which must have no threads, and of all others
    under_way: dict[BaseProcess, tuple[PlannedRun, int]] = {}
    process: BaseProcess
    failed: list[PlannedRun] = []
    with tqdm(total=len(runs), initial=len(runs) - len(waiting), unit="run", dynamic_ncols=True) as bar:
        try:
            while waiting or under_way:
                while free and (run := _next(waiting, failed, under_way)) is not None:
                    run.register()
                    core = free.pop()
                    process = context.Process(target=_run, args=(run.words, run.beside(LOG), core))
                    process.start()
                    under_way[process] = (run, core)
                bar.set_postfix_str(", ".join(f"{run.arm} (seed {run.seed})" for run, _ in under_way.values()))
                multiprocessing.connection.wait([process.sentinel for process in under_way])
                for process in [process for process in under_way if not process.is_alive()]:
                    run, core = under_way.pop(process)
                    free.append(core)
                    bar.update()
                    if not run.is_done:
                        failed.append(run)
                        bar.write(f"{run.directory.as_posix()}: {why(run)}", file=sys.stderr)
        except KeyboardInterrupt:
            bar.write("Stopping: the runs under way save their state.", file=sys.stderr)
            _stop(list(under_way))
            raise
    return failed


def why(run: PlannedRun) -> str:
    """Why a run is not done, in one line."""
    if (summary := run.summary) is not None and summary.error:
        return summary.error
    with contextlib.suppress(OSError):
        lines = run.beside(LOG).read_text(encoding="utf-8", errors="replace").split("\n")
        if errors := [line for line in lines if line.startswith("error:")]:
            return printable(errors[-1].removeprefix("error: "))
    return f"it ended without a result: see {run.beside(LOG).as_posix()}"


def _next(
    waiting: list[PlannedRun], failed: list[PlannedRun], under_way: dict[BaseProcess, tuple[PlannedRun, int]]
) -> PlannedRun | None:
    """The first run that can start: not one that evaluates a run which is not done yet."""
    for run in list(waiting):
        trained = run.trained
        if trained is None or trained.is_done:
            waiting.remove(run)
            return run
        if trained.directory in {one.directory for one in failed}:
            waiting.remove(run)
            failed.append(run)
    return None


def _stop(processes: Sequence[BaseProcess]) -> None:
    """Ask as Ctrl-C does, which a terminal has done already, and wait: a second interrupt ends them at once."""
    for process in processes:
        if process.pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGTERM)
    try:
        for process in processes:
            process.join()
    except KeyboardInterrupt:
        for process in processes:
            process.kill()
        raise


def _stop_with_the_program() -> None:
    """Save and stop if the program is killed: else the run would go on alone, and nobody could go on with it."""
    if (program := multiprocessing.parent_process()) is not None:
        multiprocessing.connection.wait([program.sentinel])
        os.kill(os.getpid(), signal.SIGTERM)


def _run(words: list[str], log: Path, core: int) -> None:
    """What a process does: the command, on one core, with its output in the run's directory."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal's Ctrl-C reaches the program, which asks to stop
    threading.Thread(target=_stop_with_the_program, daemon=True).start()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {core})
    log.parent.mkdir(parents=True, exist_ok=True)
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(output, 1)
    os.dup2(output, 2)
    print(time.strftime("%Y-%m-%d %H:%M:%S"), PROGRAM.name, *words, flush=True)
    sys.argv = [PROGRAM.name, *words]
    runpy.run_path(str(PROGRAM), run_name="__main__")
