"""Runs a plan of training runs, each killed at a given instant, in processes forked from one that has done the imports.

    python forked_runs.py PLAN.json

The plan is a list of {"words": the command line, "ranks": 1 or 2, "kill": null or {"rank", "point", "count"}}: the
process of that rank gets SIGKILL, or what "signal" names, when it reaches the point for the count-th time. Prints
nothing; exits with 1 if a run that was not to be killed failed.
"""

import json
import os
import signal
import socket
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

from lightning.pytorch import Callback

import experiment.cli
from main import main

POINTS = ("batch_start", "backward", "optimizer_step", "batch_end", "validation_start", "validation_end", "rename")
DEADLINE = 200  # seconds for one run


class KillAt(Callback):
    """Sends its own process a signal when it comes to `point` for the `count`-th time."""

    def __init__(self, point: str, count: int, number: int = signal.SIGKILL) -> None:
        self.point = point
        self.count = count
        self.number = number

    def reached(self, point: str) -> None:
        if point == self.point:
            self.count -= 1
            if self.count == 0:
                os.kill(os.getpid(), self.number)

    def on_train_batch_start(self, *_: Any) -> None:
        self.reached("batch_start")

    def on_before_backward(self, *_: Any) -> None:
        self.reached("backward")

    def on_before_optimizer_step(self, *_: Any) -> None:
        self.reached("optimizer_step")

    def on_train_batch_end(self, *_: Any) -> None:
        self.reached("batch_end")

    def on_validation_start(self, *_: Any) -> None:
        self.reached("validation_start")

    def on_validation_end(self, *_: Any) -> None:
        self.reached("validation_end")


def train(words: list[str], rank: int, ranks: int, port: int, kill: dict[str, Any] | None, log: Path) -> None:
    """Run the command line as one rank; never returns."""
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(output, 1)
    os.dup2(output, 2)
    if ranks > 1:
        variables = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": ranks, "NODE_RANK": 0}
        os.environ.update({name: str(value) for name, value in {**variables, "LOCAL_RANK": rank}.items()})
        from lightning.fabric.utilities.rank_zero import rank_zero_only

        rank_zero_only.rank = rank
    if kill is not None and kill["rank"] == rank:
        _arrange(KillAt(kill["point"], kill["count"], signal.Signals[kill.get("signal", "SIGKILL")]))
    code = 1
    try:
        main(words)
        code = 0
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 1
        print(f"rank {rank} exits with {code}")
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _arrange(killer: KillAt) -> None:
    instantiate = experiment.cli.ExperimentCLI.instantiate_trainer

    def with_killer(cli: Any, **kwargs: Any) -> Any:
        trainer = instantiate(cli, **kwargs)
        trainer.callbacks.insert(0, killer)
        return trainer

    experiment.cli.ExperimentCLI.instantiate_trainer = with_killer  # type: ignore[method-assign]
    replace = os.replace

    def replace_or_die(source: Any, target: Any) -> None:
        if "checkpoints" in str(target):
            killer.reached("rename")
        replace(source, target)

    os.replace = replace_or_die  # type: ignore[assignment]


def run(step: dict[str, Any], log: Path) -> bool:
    """Fork the ranks and wait for them. Returns whether all ended well."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    children = []
    for rank in range(step["ranks"]):
        child = os.fork()
        if child == 0:
            train(step["words"], rank, step["ranks"], port, step["kill"], log)
        children.append(child)
    codes = []
    deadline = time.monotonic() + DEADLINE
    while children:
        child, status = os.waitpid(-1, os.WNOHANG)
        if child:
            children.remove(child)
            codes.append(status)
            if status:  # its fellows end by themselves when the connection breaks, or are ended
                deadline = min(deadline, time.monotonic() + 20)
        elif time.monotonic() > deadline:
            for left in children:
                os.kill(left, signal.SIGKILL)
        else:
            time.sleep(0.02)
    return not any(codes)


if __name__ == "__main__":
    plan_path = Path(sys.argv[1])
    for number, planned in enumerate(json.loads(plan_path.read_text())):
        ended_well = run(planned, plan_path.with_name(f"run-{number}.log"))
        if not ended_well and planned["kill"] is None:
            sys.exit(1)
