"""Units dealt out to worker processes.

Processes, because decoding and encoding keep cores busy. They are forked where that is the rule, on Linux: a started
one would import torch with the package, which costs seconds and memory in each. No thread runs yet when they begin.
"""

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import connection
from typing import Any, TypeVar

from tqdm import tqdm

Task = TypeVar("Task")
Result = TypeVar("Result")

_SECONDS_BETWEEN_LOOKS = 0.3
_shared: dict[str, Any] = {}


class _Stopped(Exception):  # noqa: N818
    """Another unit failed, or the user wants an end."""


def run_in_processes(
    tasks: Sequence[Task],
    function: Callable[[Task, Callable[[], None]], Result],
    *,
    workers: int,
    progress: "tqdm[Any]",
) -> list[Result]:
    """Do all tasks, and stop at the first that fails.

    Args:
        tasks: What to do; they travel to the processes.
        function: Does one of them, and calls its second argument after each image.
        workers: Number of processes; with one, all is done in this.
        progress: Counts the images.

    Returns:
        What the function returned for each task, in their order.

    Raises:
        ValueError: A task failed, or a process was ended from outside.
    """
    workers = min(workers, len(tasks))
    if workers <= 1:
        return [function(task, progress.update) for task in tasks]
    context = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
    done, stop = context.Value("q", 0), context.Event()
    first = progress.n
    with ProcessPoolExecutor(workers, context, _begin, (done, stop)) as pool:
        try:
            futures = [pool.submit(_run, function, task) for task in tasks]
            pending: set[Future[Result]] = set(futures)
            while pending:
                ended, pending = wait(pending, _SECONDS_BETWEEN_LOOKS, FIRST_EXCEPTION)
                progress.update(first + done.value - progress.n)
                for future in ended:
                    future.result()
            return [future.result() for future in futures]
        except BrokenProcessPool:
            raise ValueError(
                "A worker process was ended from outside, most often for lack of memory: give the same command again "
                "with fewer --workers."
            ) from None
        except BaseException:
            stop.set()
            pool.shutdown(cancel_futures=True)
            raise


def _run(function: Callable[[Task, Callable[[], None]], Result], task: Task) -> Result:
    return function(task, _count)  # the counter of this process: a closure could not travel


def _count() -> None:
    if _shared["stop"].is_set():
        raise _Stopped
    with _shared["done"].get_lock():
        _shared["done"].value += 1


def _begin(done: Any, stop: Any) -> None:
    _shared.update(done=done, stop=stop)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A parent that was killed leaves nobody to wait for."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    connection.wait([parent.sentinel])
    os._exit(1)
