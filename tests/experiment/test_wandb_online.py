"""Runs that arrive at a server of W&B's protocol: while they train, after a resumption, and by `wandb sync`."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from experiment.wandb_logger import ResilientWandbLogger
from tests.experiment.wandb_server import ENTITY, WandbServer, account_on, end_of_process, no_account

Main = Callable[..., None]
FIT = (
    *("fit", "--config", "configs/base.yaml", "--config", "configs/data/digits.yaml"),
    *("--config", "configs/model/resnet20.yaml", "--config", "configs/quickstart.yaml", "--trainer.accelerator", "cpu"),
    *("--trainer.limit_train_batches", 3, "--trainer.limit_val_batches", 1, "--trainer.log_every_n_steps", 1),
)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[WandbServer]:
    with WandbServer() as server, account_on(server, tmp_path):
        yield server


def test_a_run_arrives_and_goes_on_when_it_is_resumed(server: WandbServer, run_main: Main, tmp_path: Path) -> None:
    run_main(*FIT, "--run_dir", "run", "--trainer.max_epochs", 1)
    end_of_process()
    ((name, run),) = server.runs.items()
    config = server.config(name)
    assert config["model"]["class"] == "lightning_modules.resnet.ResNet"
    assert config["config"]["model"]["class_path"].endswith("ResNet")
    assert config["config"]["trainer"]["max_epochs"] == 1
    assert (run["groupName"], run["displayName"]) == ("digits", "ResNet-20 on digits, seed 42")
    assert sorted(run["tags"]) == ["ResNet-20", "digits"]
    (validation,) = [row for row in run["rows"] if "val/acc1" in row]
    assert validation["images_seen"] == 96
    assert {"train/loss", "train/acc1", "lr-SGD"} <= {key for row in run["rows"] for key in row}
    assert run["summary"]["best/val_acc1"] == run["summary"]["val/acc1"] == validation["val/acc1"]
    assert run["summary"]["model"]["multiply_adds"] == 40_256_128
    assert run["summary"]["wall_time_seconds"] > 0

    first_rows, first_best = len(run["rows"]), run["summary"]["best/val_acc1"]
    run_main("fit", "--resume", "run", "--trainer.max_epochs", 2)
    end_of_process()
    assert list(server.runs) == [name]
    rows = run["rows"]
    assert len(rows) > first_rows
    assert [row["_step"] for row in rows] == list(range(len(rows)))
    assert [row["images_seen"] for row in rows if "val/acc1" in row] == [96, 192]
    assert run["summary"]["best/val_acc1"] == max(first_best, rows[-1].get("val/acc1", 0), run["summary"]["val/acc1"])
    assert run["exit_code"] == 0


@pytest.mark.slow(1)
def test_the_best_value_of_a_continued_run_does_not_fall(server: WandbServer, tmp_path: Path) -> None:
    first = ResilientWandbLogger(save_dir=str(tmp_path / "first"))
    first.log_metrics({"images_seen": 1, "val/acc1": 0.9, "val/loss": 0.3}, step=0)
    end_of_process()
    resumed = ResilientWandbLogger(save_dir=str(tmp_path / "resumed"), id=first.run_id)
    resumed.log_metrics({"images_seen": 2, "val/acc1": 0.8, "val/loss": 0.2}, step=1)
    end_of_process()
    summary = server.runs[first.run_id]["summary"]
    assert (summary["val/acc1"], summary["best/val_acc1"], summary["best/val_loss"]) == (0.8, 0.9, 0.2)


def test_an_offline_run_is_uploaded_by_wandb_sync(run_main: Main, tmp_path: Path) -> None:
    with no_account(tmp_path):
        logger = ResilientWandbLogger(save_dir=str(tmp_path), offline=True, group="digits")
        logger.record_config({"model": {"architecture": "ResNet-20"}})
        for step, accuracy in enumerate([0.5, 0.9, 0.7]):
            logger.log_metrics({"images_seen": 64 * step, "val/acc1": accuracy}, step=step)
    with WandbServer() as server, account_on(server, tmp_path):
        folders = list(map(str, (tmp_path / "wandb").glob("offline-*")))
        command = [sys.executable, "-m", "wandb", "sync", *folders]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, env=dict(os.environ))
        assert done.returncode == 0, done.stderr
    run = server.runs[logger.run_id]
    assert server.config(logger.run_id)["model"] == {"architecture": "ResNet-20"}
    assert [(row["images_seen"], row["val/acc1"]) for row in run["rows"]] == [(0, 0.5), (64, 0.9), (128, 0.7)]
    assert (run["summary"]["val/acc1"], run["summary"]["best/val_acc1"]) == (0.7, 0.9)
    assert run["project"] == "landmark-image-networks"
    assert ENTITY in done.stderr


def test_a_server_without_data_is_no_server(tmp_path: Path) -> None:
    with WandbServer() as server, account_on(server, tmp_path):
        server.answer = lambda *_: None  # type: ignore[method-assign, assignment, return-value]  {"data": null}
        logger = ResilientWandbLogger(save_dir=str(tmp_path))
        logger.log_metrics({"val/acc1": 0.5}, step=0)
    assert list((tmp_path / "wandb").glob("offline-run-*/*.wandb"))


FILED = {
    "WANDB_PROJECT": "of-the-environment",
    "WANDB_RUN_GROUP": "group-of-the-environment",
    "WANDB_JOB_TYPE": "job-of-the-environment",
    "WANDB_TAGS": "a,b",
    "WANDB_NAME": "name-of-the-environment",
    "WANDB_NOTES": "notes-of-the-environment",
}


@pytest.mark.slow(1)
@pytest.mark.parametrize("says", ["options", "environment", "nobody"])
def test_a_run_is_filed_as_options_then_the_environment_say(server: WandbServer, tmp_path: Path, says: str) -> None:
    options = {name: f"{name}-of-the-options" for name in ("project", "group", "job_type", "name", "notes")}
    with pytest.MonkeyPatch.context() as environment:
        for name, value in FILED.items() if says != "nobody" else ():
            environment.setenv(name, value)
        logger = ResilientWandbLogger(
            save_dir=str(tmp_path), **({**options, "tags": ["c"]} if says == "options" else {})
        )
        logger.fill_in("digits", ["digits"], "ResNet-20 on digits", None, job_type="fit")
        logger.log_metrics({"val/acc1": 0.5}, step=0)
        end_of_process()
    (run,) = server.runs.values()
    found = [run.get(key) for key in ("project", "groupName", "jobType", "displayName", "notes", "tags")]
    assert (
        found
        == {
            "options": [*(options[name] for name in ("project", "group", "job_type", "name", "notes")), ["c"]],
            "environment": [
                *(FILED[f"WANDB_{n}"] for n in ("PROJECT", "RUN_GROUP", "JOB_TYPE", "NAME", "NOTES")),
                ["a", "b"],
            ],
            "nobody": ["landmark-image-networks", "digits", "fit", "ResNet-20 on digits", None, ["digits"]],
        }[says]
    )


@pytest.mark.slow(1)
@pytest.mark.parametrize(("ending", "code"), [("failed", 1), ("preempted", 143), ("stopped", 255)])
def test_a_run_that_came_to_no_end_says_so(server: WandbServer, tmp_path: Path, ending: str, code: int) -> None:
    logger = ResilientWandbLogger(save_dir=str(tmp_path))
    logger.log_metrics({"val/acc1": 0.5}, step=0)
    print("what the console says")
    logger.alert("A number is not finite", "train/loss is NaN")
    logger.note_ending(ending)  # type: ignore[arg-type]
    logger.finalize("failed")
    end_of_process()
    (run,) = server.runs.values()
    assert run["exit_code"] == code
    assert bool(run["preempting"]) == (ending == "preempted")
    assert any("what the console says" in line for line in run["console"])
    assert [alert["title"] for alert in server.alerts] == ["A number is not finite"]


def test_rows_of_validations_hold_what_sweeps_optimize(server: WandbServer, tmp_path: Path) -> None:
    logger = ResilientWandbLogger(save_dir=str(tmp_path))
    for step, accuracy in enumerate((0.5, 0.9, 0.7)):
        logger.log_metrics({"images_seen": step, "val/acc1": accuracy}, step=step)
    end_of_process()
    (run,) = server.runs.values()
    assert [row["best/val_acc1"] for row in run["rows"]] == [0.5, 0.9, 0.9]
    assert run["summary"]["best/val_acc1"] == 0.9
