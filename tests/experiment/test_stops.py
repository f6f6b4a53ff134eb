"""A run that stopped within an epoch or at its end, for whatever reason, goes on as if it had not."""

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from main import main
from records.checkpoints import CheckpointIndex, best_checkpoints
from tests.experiment.small_runs import CLASSIFIER, KillAt, assert_identical, final_state, metrics

pytestmark = [pytest.mark.slow(3), pytest.mark.xdist_group("stops")]

CONFIG = f"""
seed_everything: 7
trainer:
  accelerator: cpu
  max_epochs: 3
  limit_train_batches: 6
  limit_val_batches: 1
  val_check_interval: 3
  log_every_n_steps: 1
  num_sanity_val_steps: 0
  enable_progress_bar: false
  enable_model_summary: false
  logger:
    - class_path: experiment.csv_logger.ResumableCSVLogger
  callbacks:
    - class_path: tests.experiment.small_runs.KillAt
    - class_path: tests.experiment.test_stops.StopAt
    - class_path: BestCheckpoint
    - class_path: LatestCheckpoint
model:
{CLASSIFIER}
data:
  class_path: Digits
  init_args: {{batch_size: 16, eval_batch_size: 64}}
"""
EARLY = """
trainer:
  callbacks+:
    - class_path: EarlyStopping
      init_args: {{monitor: val/acc1, mode: max, min_delta: 10, patience: {patience}}}
"""


class StopAt(Callback):
    """Tells the Trainer to stop after the batch that STOP_AT counts to, as its Timer does when the time is over."""

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        if trainer.fit_loop.total_batch_idx + 1 == int(os.environ.get("STOP_AT", "0")):
            trainer.should_stop = True


@pytest.fixture(scope="module")
def fit(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., int]:
    """Train by the command line in this process. Returns the exit code."""
    folder = tmp_path_factory.mktemp("stops")
    (folder / "config.yaml").write_text(CONFIG)

    def run(*words: object, **environment: str) -> int:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("TRUSTED_IMPORTS", f"{__name__},{KillAt.__module__}")
            patch.setattr("sys.argv", ["main.py"])
            for name, value in environment.items():
                patch.setenv(name, value)
            try:
                main(["fit", "--config", str(folder / "config.yaml"), *map(str, words)])
            except SystemExit as ending:
                return int(ending.code or 0)
        return 0

    return run


@pytest.fixture(scope="module")
def undisturbed(fit: Callable[..., int], tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """A run with these options that never stopped, done once."""
    runs: dict[tuple[object, ...], Path] = {}

    def run(*words: object) -> Path:
        if words not in runs:
            runs[words] = tmp_path_factory.mktemp("undisturbed") / "run"
            assert fit(*words, "--run_dir", runs[words]) == 0
        return runs[words]

    return run


def assert_same(run: Path, other: Path) -> None:
    assert_identical(final_state(run), final_state(other))
    assert metrics(run) == metrics(other)
    (best,), (other_best,) = best_checkpoints(run), best_checkpoints(other)
    assert best.name == other_best.name
    assert_identical(*(torch.load(path, weights_only=True)["state_dict"] for path in (best, other_best)))
    assert CheckpointIndex.of_run(run) == CheckpointIndex.of_run(other)
    for folder in (run, other):
        assert len(list((folder / "checkpoints").iterdir())) == 5  # two checkpoints with their digests, and the index


@pytest.mark.parametrize("saving", ["", "every step"])
@pytest.mark.parametrize(
    ("stop", "environment", "on"),
    [
        pytest.param("--trainer.max_steps=1", {}, "--trainer.max_steps=-1", id="after the first step"),
        pytest.param("--trainer.max_steps=8", {}, "--trainer.max_steps=-1", id="by max_steps"),
        pytest.param("--trainer.max_steps=9", {}, "--trainer.max_steps=-1", id="by max_steps, where a validation is"),
        pytest.param("--trainer.max_steps=8", {}, "--trainer.max_steps=100", id="by max_steps, which is raised"),
        pytest.param("--trainer.max_steps=12", {}, "--trainer.max_steps=100", id="by max_steps at an epoch's end"),
        pytest.param("--trainer.max_epochs=2", {}, "--trainer.max_epochs=3", id="by max_epochs"),
        pytest.param("--trainer.max_epochs=2", {}, "--trainer.max_steps=100", id="by max_epochs, now in steps"),
        pytest.param("--trainer.max_time=0:0:10:0", {"STOP_AT": "2"}, "--seed_everything=7", id="before a validation"),
        pytest.param("--trainer.max_time=0:0:10:0", {"STOP_AT": "4"}, "--seed_everything=7", id="in the first epoch"),
        pytest.param("--trainer.max_time=0:0:10:0", {"STOP_AT": "9"}, "--seed_everything=7", id="at a validation"),
        pytest.param("--trainer.max_time=0:0:10:0", {"STOP_AT": "17"}, "--seed_everything=7", id="in the last epoch"),
        pytest.param("--seed_everything=7", {"KILL_AT": "0 backward 2 SIGINT"}, "--seed_everything=7", id="by Ctrl+C"),
        pytest.param(
            "--seed_everything=7", {"KILL_AT": "0 backward 9 SIGINT"}, "--trainer.max_steps=100", id="before validating"
        ),
        pytest.param(
            "--seed_everything=7", {"KILL_AT": "0 validation_start 1 SIGTERM"}, "--seed_everything=7", id="validating"
        ),
    ],
)
def test_a_run_that_stopped_goes_on_as_if_it_had_not(
    stop: str,
    environment: dict[str, str],
    on: str,
    saving: str,
    fit: Callable[..., int],
    undisturbed: Callable[..., Path],
    tmp_path: Path,
) -> None:
    options = ["--trainer.callbacks+=LatestCheckpoint", "--trainer.callbacks.every_n_steps=1"] if saving else []
    run = tmp_path / "run"
    code = fit(*options, stop, "--run_dir", run, **environment)
    assert code == {"": 0, "SIGINT": 130, "SIGTERM": 143}[environment.get("KILL_AT", "").rpartition(" ")[2]]
    assert fit(*options, on, "--resume", run) == 0
    assert_same(run, undisturbed())


@pytest.mark.parametrize("patience", [1, 2, 3])
def test_early_stopping_with_more_patience_goes_on(
    patience: int, fit: Callable[..., int], undisturbed: Callable[..., Path], tmp_path: Path
) -> None:
    for name, count in (("early", patience), ("late", 100)):
        (tmp_path / f"{name}.yaml").write_text(EARLY.format(patience=count))
    run = tmp_path / "run"
    assert fit("--config", tmp_path / "early.yaml", "--run_dir", run) == 0
    assert final_state(run)["global_step"] == 3 * (patience + 1)
    record = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    assert fit("--config", tmp_path / "early.yaml", "--resume", run) == 0
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == record
    assert fit("--config", tmp_path / "late.yaml", "--resume", run) == 0
    assert_same(run, undisturbed())


@pytest.mark.parametrize("stop", [3, 4, 5])
def test_a_stop_waits_until_gradients_are_added_up(
    stop: int, fit: Callable[..., int], undisturbed: Callable[..., Path], tmp_path: Path
) -> None:
    adding, run = ["--trainer.accumulate_grad_batches=2", "--trainer.val_check_interval=1.0"], tmp_path / "run"
    assert fit(*adding, "--run_dir", run, STOP_AT=str(stop)) == 0
    assert final_state(run)["global_step"] == (stop + 1) // 2
    assert fit(*adding, "--resume", run) == 0
    assert_same(run, undisturbed(*adding))


def test_ctrl_c_twice_ends_at_once(tmp_path: Path) -> None:
    from callbacks.training.stop_signal import StopSignal

    pid = os.fork()
    if not pid:
        listener = StopSignal()
        listener._note(signal.SIGINT, None)
        listener._note(signal.SIGINT, None)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 130
