"""The command line as a user types it: runs, their records, resuming, evaluating, and what is refused."""

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from experiment.checkpoints import differences, with_config_of_resumed_run
from main import main

pytestmark = pytest.mark.xdist_group("the command line")

ROOT = Path(__file__).parents[2]
FAST = [
    "--config", "configs/base.yaml", "--config", "configs/data/digits.yaml", "--config", "configs/model/resnet20.yaml",
    "--trainer.accelerator", "cpu", "--trainer.max_steps", "-1", "--trainer.max_epochs", "1",
    "--trainer.limit_train_batches", "2", "--trainer.limit_val_batches", "1", "--trainer.limit_test_batches", "1",
    "--trainer.limit_predict_batches", "1", "--trainer.enable_progress_bar", "false", "--model.depth", "8",
    "--data.batch_size", "8", "--data.eval_batch_size", "50", "--trainer.log_every_n_steps", "1",
]  # fmt: skip
CSV = ["--trainer.logger", "experiment.csv_logger.ResumableCSVLogger"]


def summary(run: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((run / "summary.json").read_text())
    return content


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that several tests go on with, each with a copy of its own."""
    run = tmp_path_factory.mktemp("trained") / "run"
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.chdir(ROOT)
        monkeypatch.setattr(sys, "argv", ["main.py"])
        main(["fit", *FAST, *CSV, "--run_dir", str(run), "--test_at_end", "false"])
    return run


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained, tmp_path / "run"))


def error_of(run_main: Callable[..., None], capsys: pytest.CaptureFixture[str], *words: object) -> str:
    """The one line with which the command line refuses `words`."""
    with pytest.raises(SystemExit) as exit_:
        run_main(*words)
    assert exit_.value.code == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1
    return lines[0]


def test_a_run_records_itself(run_main: Callable[..., None], tmp_path: Path) -> None:
    run_main("fit", *FAST)
    (run,) = tmp_path.glob("runs/digits/resnet-8/*")
    assert {"config.yaml", "metrics.csv", "summary.json", "checkpoints", "wandb"} <= {
        path.name for path in run.iterdir()
    }
    record = summary(run)
    assert (record["status"], record["error"], record["command"]) == ("completed", None, "fit")
    assert (record["epochs"], record["steps"], record["images_seen"]) == (1, 2, 16)
    assert record["model"]["architecture"] == "ResNet-8"
    assert record["model"]["parameters"]["total"] == sum(
        record["model"]["parameters"][kind] for kind in ("conv", "fc", "norm", "other")
    )
    assert record["model"]["input_shape"] == [1, 32, 32]
    assert record["data"]["selection_split"] == "val"
    assert (record["seed"], record["global_batch_size"], record["world_size"]) == (42, 8, 1)
    assert record["versions"]["torch"] == torch.__version__.split("+")[0]
    assert 0 <= record["metrics"]["val/acc1"] <= 1
    assert record["best"]["val/acc1"]["epoch"] == 0
    assert record["wall_time_seconds"] > 0
    config = yaml.safe_load((run / "config.yaml").read_text())
    assert config["model"]["init_args"]["optimizer"]["init_args"]["lr"] == 0.1
    assert config["trainer"]["callbacks"][0]["class_path"].endswith("BestCheckpoint")


def test_a_second_run_gets_its_own_directory(run_main: Callable[..., None], tmp_path: Path) -> None:
    for _ in range(2):
        run_main("fit", *FAST, *CSV)
        run_main("fit", *FAST, *CSV, "--run_dir", "mine")
    assert len(list(tmp_path.glob("runs/digits/resnet-8/*"))) == 2
    assert {path.name for path in tmp_path.glob("mine*")} == {"mine", "mine-2"}
    states = [torch.load(next(run.glob("checkpoints/last*.ckpt"))) for run in tmp_path.glob("mine*")]
    assert all(torch.equal(*pair) for pair in zip(*(state["state_dict"].values() for state in states), strict=True))


def test_the_saved_config_repeats_the_run(run_main: Callable[..., None], tmp_path: Path) -> None:
    run_main("fit", *FAST, *CSV, "--run_dir", "first")
    run_main("fit", "--config", tmp_path / "first" / "config.yaml", "--run_dir", "second")
    assert summary(tmp_path / "first")["metrics"]["train/loss"] == summary(tmp_path / "second")["metrics"]["train/loss"]


def test_a_run_without_loggers_and_progress_bar(run_main: Callable[..., None], tmp_path: Path) -> None:
    run_main("fit", *FAST, "--trainer.logger", "false", "--run_dir", "run")
    assert summary(tmp_path / "run")["status"] == "completed"
    assert list((tmp_path / "run" / "checkpoints").glob("last*.ckpt"))


def test_seed_reaches_data_and_dropout(run_main: Callable[..., None], tmp_path: Path) -> None:
    for seed in (1, 2):
        run_main("fit", *FAST, *CSV, "--run_dir", f"seed-{seed}", "--seed_everything", seed)
    losses = {summary(tmp_path / f"seed-{seed}")["metrics"]["train/loss"] for seed in (1, 2)}
    assert len(losses) == 2


@pytest.mark.usefixtures("run")
def test_resume_alone_goes_on_in_the_same_directory(run_main: Callable[..., None], tmp_path: Path) -> None:
    run_main("fit", "--resume", "run", "--trainer.max_epochs", "2")
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
    record = summary(tmp_path / "run")
    assert (record["epochs"], record["steps"], record["status"]) == (2, 4, "completed")
    assert yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())["trainer"]["max_epochs"] == 2
    assert yaml.safe_load((tmp_path / "run" / "config-1.yaml").read_text())["trainer"]["max_epochs"] == 1


@pytest.mark.usefixtures("run")
def test_resume_works_for_the_words_of_the_process(
    run_main: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["main.py", "fit", "--resume", "run", "--trainer.max_epochs", "2"])
    main()
    assert summary(tmp_path / "run")["steps"] == 4


def test_resume_auto_starts_and_goes_on_with_the_same_command(run_main: Callable[..., None], tmp_path: Path) -> None:
    for epochs in (1, 2):
        run_main("fit", *FAST, *CSV, "--run_dir", "run", "--resume", "auto", "--trainer.max_epochs", epochs)
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
    assert summary(tmp_path / "run")["steps"] == 4


def test_weights_start_a_run_and_are_not_needed_again(
    run_main: Callable[..., None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_main("fit", *FAST, *CSV, "--run_dir", "first")
    (weights,) = (tmp_path / "first" / "checkpoints").glob("best*.ckpt")
    run_main("fit", *FAST, *CSV, "--run_dir", "second", "--model.weights", weights)
    for file in weights.parent.iterdir():
        file.unlink()
    assert "weights: " + str(weights) in (tmp_path / "second" / "config.yaml").read_text()
    run_main("validate", "--config", tmp_path / "second" / "config.yaml", "--ckpt_path", "second")
    run_main("fit", "--resume", "second", "--trainer.max_epochs", 2)
    assert summary(tmp_path / "second")["steps"] == 4
    message = error_of(run_main, capsys, "fit", *FAST, *CSV, "--model.weights", weights)
    assert f"There are no weights {weights}: give a file" in message


@pytest.mark.parametrize("command", ["validate", "test", "predict"])
@pytest.mark.usefixtures("run")
def test_a_run_is_evaluated_from_its_config_and_best_checkpoint(
    command: str, run_main: Callable[..., None], tmp_path: Path
) -> None:
    run_main(command, "--config", tmp_path / "run" / "config.yaml", "--ckpt_path", "run", "--run_dir", command)
    record = summary(tmp_path / command)
    assert (record["command"], record["status"]) == (command, "completed")
    if command == "validate":
        assert record["metrics"]["val/acc1"] == summary(tmp_path / "run")["metrics"]["val/acc1"]
    if command == "test":
        assert 0 <= record["metrics"]["test/acc5"] <= 1


def test_refusals_are_one_line(
    run_main: Callable[..., None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def refused(*words: object) -> str:
        return error_of(run_main, capsys, *words)

    assert "test needs trained weights" in refused("test", *FAST)
    assert "no checkpoint or run nowhere" in refused("test", *FAST, "--ckpt_path", "nowhere")
    assert "not from http://host/x.ckpt" in refused("test", *FAST, "--ckpt_path", "http://host/x.ckpt")
    assert "nowhere has no checkpoint that verifies" in refused("fit", *FAST, "--resume", "nowhere")
    assert "name that with --run_dir" in refused("fit", *FAST, "--resume", "auto")
    assert "model.num_classes is 7, but the data set digits has 10" in refused("fit", *FAST, "--model.num_classes", 7)
    assert "at most 1200" in refused("fit", *FAST, *CSV, "--data.batch_size", 2000)
    assert "did you mean depth" in refused("fit", *FAST, "--model.dept", 20)
    assert "did you mean ResNet" in refused("fit", "--data", "Digits", "--model", "ResNt")
    assert not list(tmp_path.glob("runs/**/*.ckpt"))


@pytest.mark.usefixtures("run")
def test_another_network_than_the_checkpoints_is_refused(
    run_main: Callable[..., None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    refused = error_of(run_main, capsys, "test", *FAST, "--model.depth", 14, "--ckpt_path", tmp_path / "run")
    assert "holds a ResNet-8, but the command line names a ResNet-14" in refused


@pytest.mark.usefixtures("run")
def test_other_batches_than_the_checkpoints_are_refused(
    run_main: Callable[..., None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    refused = error_of(run_main, capsys, "fit", "--resume", "run", "--trainer.max_epochs", 2, "--data.batch_size", 16)
    assert "global_batch_size 8 → 16" in refused


def test_a_loss_that_is_not_finite_ends_the_run_before_the_update(
    run_main: Callable[..., None], tmp_path: Path
) -> None:
    words = [*FAST, *CSV, "--run_dir", "run", "--model.optimizer.lr", "1e30", "--trainer.limit_train_batches", "8"]
    with pytest.raises(SystemExit, match=r"^error: The training loss is \w+ at step 1 of epoch 0 \(rank 0\)"):
        run_main("fit", *words)
    record = summary(tmp_path / "run")
    assert record["status"] == "failed"
    assert record["error"].startswith("NonFiniteLossError: The training loss is nan")
    assert not list((tmp_path / "run").glob("checkpoints/*"))


def test_resumed_run_brings_its_config() -> None:
    assert with_config_of_resumed_run(["fit", "--resume", "none"]) == ["fit", "--resume", "none"]


def test_config_of_resumed_run_stands_before_what_overrides_it(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").touch()
    config = str(tmp_path / "config.yaml")
    expected = ["fit", "--config", config, "--resume", str(tmp_path), "--seed_everything", "1"]
    assert with_config_of_resumed_run(["fit", "--resume", str(tmp_path), "--seed_everything", "1"]) == expected
    assert with_config_of_resumed_run(["fit", f"--resume={tmp_path}"])[1:3] == ["--config", config]
    given = ["fit", "-c", "other.yaml", "--resume", str(tmp_path)]
    assert with_config_of_resumed_run(given) == given


def test_differences_are_named() -> None:
    assert differences({"depth": 20, "stem": "small"}, {"depth": 32, "stem": "small", "x": 1}) == ["depth: 20 → 32"]
