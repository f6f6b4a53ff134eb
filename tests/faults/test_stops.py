"""A run that stopped within an epoch or at its end, for whatever reason, goes on as if it had not."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from callbacks.training.stop_signal import StopSignal
from tests.faults.small_runs import assert_same_run, exhaustive, final_state

pytestmark = [pytest.mark.faults, pytest.mark.slow(3), pytest.mark.xdist_group("stops")]

SAME = "--seed_everything=7"
OWN = ["--trainer.callbacks+=ModelCheckpoint", "--trainer.callbacks.monitor=val/distance_from_equilibrium"]
OWN += ["--trainer.callbacks.filename=best"]
EVERY_STEP = ["--trainer.callbacks+=LatestCheckpoint", "--trainer.callbacks.every_n_steps=1"]
EARLY = """
trainer:
  callbacks+:
    - class_path: EarlyStopping
      init_args: {{monitor: val/acc1, mode: max, min_delta: 10, patience: {patience}}}
"""


@pytest.mark.parametrize(
    ("stop", "environment", "on"),
    [
        pytest.param("--trainer.max_steps=9", {}, "--trainer.max_steps=-1", id="by max_steps, where a validation is"),
        pytest.param(SAME, {"KILL_AT": "0 backward 2 SIGINT"}, SAME, id="by Ctrl+C"),
        pytest.param(SAME, {"KILL_AT": "0 backward 9 SIGINT"}, "--trainer.max_steps=100", id="before validating"),
        pytest.param(SAME, {"KILL_AT": "0 validation_start 1 SIGTERM"}, SAME, id="validating"),
        *(
            pytest.param(*case, id=name, marks=pytest.mark.exhaustive)
            for name, *case in (
                ("after the first step", "--trainer.max_steps=1", {}, "--trainer.max_steps=-1"),
                ("by max_steps", "--trainer.max_steps=8", {}, "--trainer.max_steps=-1"),
                ("by max_steps, which is raised", "--trainer.max_steps=8", {}, "--trainer.max_steps=100"),
                ("by max_steps at an epoch's end", "--trainer.max_steps=12", {}, "--trainer.max_steps=100"),
                ("by max_epochs", "--trainer.max_epochs=2", {}, "--trainer.max_epochs=3"),
                ("by max_epochs, now in steps", "--trainer.max_epochs=2", {}, "--trainer.max_steps=100"),
                ("before a validation", SAME, {"STOP_AT": "2"}, SAME),
                ("in the first epoch", SAME, {"STOP_AT": "4"}, SAME),
                ("at a validation", SAME, {"STOP_AT": "9"}, SAME),
                ("in the last epoch", SAME, {"STOP_AT": "17"}, SAME),
            )
        ),
    ],
)
def test_a_run_that_stopped_goes_on_as_if_it_had_not(
    stop: str,
    environment: dict[str, str],
    on: str,
    fit_here: Callable[..., int],
    undisturbed_here: Callable[..., Path],
    tmp_path: Path,
) -> None:
    options = EVERY_STEP if environment or "9" in stop else []
    run = tmp_path / "run"
    code = fit_here(*options, stop, "--run_dir", run, **environment)
    assert code == {"": 0, "SIGINT": 130, "SIGTERM": 143}[environment.get("KILL_AT", "").rpartition(" ")[2]]
    assert fit_here(*options, on, "--resume", run) == 0
    assert_same_run(run, undisturbed_here())


@pytest.mark.parametrize("patience", [exhaustive(1), 2, exhaustive(3)])
def test_early_stopping_with_more_patience_goes_on(
    patience: int, fit_here: Callable[..., int], undisturbed_here: Callable[..., Path], tmp_path: Path
) -> None:
    for name, count in (("early", patience), ("late", 100)):
        (tmp_path / f"{name}.yaml").write_text(EARLY.format(patience=count))
    run = tmp_path / "run"
    assert fit_here("--config", tmp_path / "early.yaml", "--run_dir", run) == 0
    assert final_state(run)["global_step"] == 3 * (patience + 1)
    record = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    assert fit_here("--config", tmp_path / "early.yaml", "--resume", run) == 0
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == record
    assert fit_here("--config", tmp_path / "late.yaml", "--resume", run) == 0
    assert_same_run(run, undisturbed_here())


@pytest.mark.parametrize("stop", [exhaustive(3), 4, exhaustive(5)])
def test_a_stop_waits_until_gradients_are_added_up(
    stop: int, fit_here: Callable[..., int], undisturbed_here: Callable[..., Path], tmp_path: Path
) -> None:
    adding, run = ["--trainer.accumulate_grad_batches=2", "--trainer.val_check_interval=1.0"], tmp_path / "run"
    assert fit_here(*adding, "--run_dir", run, STOP_AT=str(stop)) == 0
    assert final_state(run)["global_step"] == (stop + 1) // 2
    assert fit_here(*adding, "--resume", run) == 0
    assert_same_run(run, undisturbed_here(*adding))


def test_ctrl_c_twice_ends_at_once(tmp_path: Path) -> None:
    pid = os.fork()
    if not pid:
        listener = StopSignal()
        listener._note(signal.SIGINT, None)
        listener._note(signal.SIGINT, None)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 130


@pytest.mark.parametrize(
    ("stop_at", "point"),
    [
        pytest.param("0", "0 validation_batch_start 2 SIGTERM", id="within an epoch"),
        exhaustive("0", "0 validation_batch_start 8 SIGUSR1"),  # at its end
        exhaustive("0", "0 validation_batch_start 8 SIGINT"),
        exhaustive("6", "0 validation_batch_start 8 SIGTERM"),  # while the run ends
        exhaustive("8", "0 validation_batch_start 12 SIGTERM"),  # which is why it is held
    ],
)
def test_a_validation_that_is_cut_off_is_held_again(
    stop_at: str,
    point: str,
    fit_here: Callable[..., int],
    undisturbed_here: Callable[..., Path],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    run, long = tmp_path / "run", ["--data.eval_batch_size=16", "--trainer.limit_val_batches=4"]
    code = {"SIGTERM": 143, "SIGUSR1": 138, "SIGINT": 130}[point.rpartition(" ")[2]]
    assert fit_here(*long, "--run_dir", run, KILL_AT=point, STOP_AT=stop_at) == code
    assert "which is saved" in caplog.text
    assert fit_here(*long, "--resume", run) == 0
    assert_same_run(run, undisturbed_here(*long))


WITHOUT_CHECKPOINTS = ("--trainer.enable_checkpointing=false", "--trainer.num_sanity_val_steps=0")


@pytest.mark.parametrize(
    ("command", "options", "point"),
    [
        ("fit", (), "setup"),
        ("fit", ("--trainer.num_sanity_val_steps=2",), "validation_batch_start"),
        ("fit", WITHOUT_CHECKPOINTS, "batch_start"),
        exhaustive("fit", WITHOUT_CHECKPOINTS, "validation_batch_start"),
        ("validate", (), "validation_batch_start"),
        ("test", (), "test_batch_start"),
        exhaustive("predict", (), "predict_batch_start"),
    ],
)
def test_a_signal_is_obeyed_where_nothing_is_saved(
    command: str,
    options: tuple[str, ...],
    point: str,
    fit_here: Callable[..., int],
    undisturbed_here: Callable[..., Path],
    tmp_path: Path,
) -> None:
    """Before the first step, and in an evaluation; what did not begin leaves nothing that a later command meets."""
    run = tmp_path / "runs" / "run"
    start: list[object] = [*options, "--data.eval_batch_size=16", "--run_dir", run]
    if command != "fit":
        start = ["--config", fit_here.config, *start, "--ckpt_path", undisturbed_here()]  # type: ignore[attr-defined]
    assert fit_here(*start, command="" if command == "fit" else command, KILL_AT=f"0 {point} 1 SIGTERM") == 143
    if point in ("setup", "validation_batch_start") and command == "fit" and options != WITHOUT_CHECKPOINTS:
        assert not (tmp_path / "runs").exists()
        assert fit_here("--run_dir", run, "--resume", "auto") == 0
        assert_same_run(run, undisturbed_here())
