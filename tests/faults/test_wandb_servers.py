"""A server of W&B's that ends in the middle of a run or at its end, or gives no data: the weights are the same."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.experiment.wandb_server import WandbServer, account_on, end_of_process
from tests.faults.small_runs import assert_same_run, exhaustive

pytestmark = [pytest.mark.faults, pytest.mark.slow(8)]
LOGGERS = (
    '--trainer.logger=[{"class_path": "experiment.wandb_logger.ResilientWandbLogger"}, '
    '{"class_path": "experiment.csv_logger.ResumableCSVLogger"}]'
)


class EndingServer(WandbServer):
    """Ends by itself: with the first rows of a run, or when it is told that the run is complete."""

    def __init__(self, end: str) -> None:
        super().__init__()
        self.end = end
        self.has_ended = threading.Event()

    def answer(self, operation: str, variables: dict[str, Any]) -> dict[str, Any]:
        return None if self.end == "no data" else super().answer(operation, variables)  # type: ignore[return-value]

    def stream(self, run: str, content: dict[str, Any]) -> None:
        last = bool(content.get("complete"))
        if self.end in ("in the middle", "at the end") and (last or self.end == "in the middle"):
            self.stop()
            raise ConnectionResetError
        super().stream(run, content)

    def stop(self) -> None:
        if not self.has_ended.is_set():
            self.has_ended.set()
            threading.Thread(target=self.__exit__, daemon=True).start()


@pytest.mark.timeout(200)
@pytest.mark.parametrize("end", ["no data", exhaustive("in the middle"), exhaustive("at the end")])
def test_the_weights_are_those_without_wandb_and_the_log_syncs(
    end: str,
    fit_here: Callable[..., int],
    undisturbed_here: Callable[..., Path],
    tmp_path: Path,
    record_property: Callable[[str, object], None],
) -> None:
    whole, run = undisturbed_here(), tmp_path / "run"
    with EndingServer(end) as server, account_on(server, tmp_path):
        start = time.monotonic()
        assert fit_here(LOGGERS, "--run_dir", run) == 0
        end_of_process()
        seconds = time.monotonic() - start
        assert server.has_ended.is_set() or end == "no data"
    record_property("seconds", seconds)
    assert seconds < 60
    assert_same_run(run, whole)
    with WandbServer() as server, account_on(server, tmp_path):
        (folder,) = (path for path in (run / "wandb").iterdir() if path.is_dir() and "run-" in path.name)
        command = [sys.executable, "-m", "wandb", "sync", "--include-online", str(folder)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, env=dict(os.environ))
        assert done.returncode == 0, done.stderr
        ((_, synced),) = server.runs.items()
    assert [row["images_seen"] for row in synced["rows"] if "val/acc1" in row] == [48, 96, 144, 192, 240, 288]
