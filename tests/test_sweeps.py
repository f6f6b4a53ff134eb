"""Sweep files, by wandb's own reading of them: the command of an agent is one that main.py understands."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from wandb.sdk.lib import config_util

from experiment.wandb_logger import ResilientWandbLogger, best_key
from tests.experiment.wandb_server import ENTITY, WandbServer, account_on, end_of_process

ROOT = Path(__file__).parents[1]
SWEEPS = sorted((ROOT / "configs" / "sweep").glob("*.yaml"))
LEARNING_RATE = "model.optimizer.init_args.lr"
ONE_STEP = (
    "--trainer.fast_dev_run",
    "true",
    "--trainer.accelerator",
    "cpu",
    "--data.batch_size",
    "8",
    "--data.eval_batch_size",
    "8",
)


def agent_command(sweep: Path, **arguments: Any) -> list[str]:
    """What an agent runs, as wandb.wandb_agent.Agent._command_run puts it together."""
    # 2 seconds, which only these tests need
    from wandb.sdk.launch.sweeps.utils import create_sweep_command, create_sweep_command_args, load_sweep_config

    config = load_sweep_config(str(sweep))
    assert config is not None
    given = create_sweep_command_args({"args": {name: {"value": value} for name, value in arguments.items()}})
    given |= {"env": ["/usr/bin/env"], "interpreter": ["python"], "program": [config["program"]]}
    words: list[str] = []
    for word in map(str, create_sweep_command(config["command"])):
        words += given[word[2:-1]] if word.startswith("${") and word.endswith("}") else [word]
    return words


@pytest.fixture
def words_for_main(tmp_path: Path) -> Callable[[list[str]], list[str]]:
    """Run a command, with a `python` that only tells which words it was given after main.py."""
    python = tmp_path / "bin" / "python"
    python.parent.mkdir()
    python.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    python.chmod(0o755)

    def run(command: list[str]) -> list[str]:
        environment = os.environ | {"PATH": f"{python.parent}{os.pathsep}{os.environ['PATH']}"}
        done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True, timeout=60)
        program, *words = done.stdout.splitlines()
        assert program == "main.py"
        # The fixture run_main takes configs as words of their own.
        return [part for word in words for part in (word.split("=", 1) if word.startswith("--config=") else [word])]

    return run


@pytest.mark.parametrize("sweep", SWEEPS, ids=lambda path: path.stem)
def test_a_sweep_aims_at_what_runs_record(sweep: Path) -> None:
    content = yaml.safe_load(sweep.read_text())
    assert content["metric"] == {"name": best_key("val/acc1"), "goal": "maximize"}
    assert "config" not in content["parameters"]  # the name of a run's own config on W&B


@pytest.mark.parametrize("rate", [0.05, 1e-05])
def test_a_learning_rate_reaches_the_optimizer(
    rate: float,
    words_for_main: Callable[[list[str]], list[str]],
    run_main: Callable[..., None],
    capsys: pytest.CaptureFixture[str],
) -> None:
    command = agent_command(ROOT / "configs/sweep/learning_rate.yaml", **{LEARNING_RATE: rate})
    with pytest.raises(SystemExit):
        run_main(*words_for_main(command), "--print_config")
    assert yaml.safe_load(capsys.readouterr().out)["model"]["init_args"]["optimizer"]["init_args"]["lr"] == rate


def test_lists_and_booleans_reach_their_options(
    words_for_main: Callable[[list[str]], list[str]], run_main: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    command = agent_command(
        ROOT / "configs/sweep/learning_rate.yaml",
        **{"trainer.overfit_batches": 0.0, "data.horizontal_flip": True, "model.channels_last": False},
        **{"trainer.devices": [0, 1], "trainer.min_epochs": "null"},
    )
    with pytest.raises(SystemExit):
        run_main(*words_for_main(command), "--print_config")
    config = yaml.safe_load(capsys.readouterr().out)
    assert config["data"]["init_args"]["horizontal_flip"] is True
    assert config["model"]["init_args"]["channels_last"] is False
    assert config["trainer"]["devices"] == [0, 1]
    assert config["trainer"]["min_epochs"] is None


def test_a_run_of_each_sweep_trains(
    words_for_main: Callable[[list[str]], list[str]], run_main: Callable[..., None]
) -> None:
    commands = [
        agent_command(ROOT / "configs/sweep/learning_rate.yaml", **{LEARNING_RATE: 0.2}),
        agent_command(ROOT / "configs/sweep/architecture_by_seed.yaml", recipe="nin_32", seed_everything=3),
    ]
    for command in commands:
        run_main(*words_for_main(command), *ONE_STEP)


def test_recipes_of_the_sweep_are_there_and_the_seed_arrives(words_for_main: Callable[[list[str]], list[str]]) -> None:
    sweep = ROOT / "configs/sweep/architecture_by_seed.yaml"
    recipes = yaml.safe_load(sweep.read_text())["parameters"]["recipe"]["values"]
    for recipe in recipes:
        words = words_for_main(agent_command(sweep, recipe=recipe, seed_everything=2))
        assert (ROOT / "configs/model" / f"{recipe}.yaml").is_file()
        assert f"configs/model/{recipe}.yaml" in words
        assert words[-2:] == ["--seed_everything", "2"]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[WandbServer]:
    with WandbServer() as server, account_on(server, tmp_path):
        yield server


@pytest.mark.slow(15)
def test_an_agent_takes_a_run_from_the_server_and_trains_it(server: WandbServer, tmp_path: Path) -> None:
    sweep = yaml.safe_load((ROOT / "configs/sweep/architecture_by_seed.yaml").read_text())
    short = "--trainer.max_epochs 1 --trainer.limit_train_batches 1 --trainer.limit_val_batches 1 --test_at_end false"
    sweep["command"][-1] += (
        f" {short} --data.batch_size 8 --data.eval_batch_size 8 --trainer.accelerator cpu --run_dir {tmp_path / 'run'}"
    )
    server.sweeps["sweep1"] = yaml.safe_dump(sweep)
    given = {"recipe": {"value": "resnet20"}, "seed_everything": {"value": 3}}
    server.commands = [{"type": "run", "run_id": "run1", "program": sweep["program"], "args": given}]
    python = Path(sys.executable)
    environment = os.environ | {"PATH": f"{python.parent}{os.pathsep}{os.environ['PATH']}", "WANDB_DIR": str(tmp_path)}
    agent = [str(python), "-m", "wandb", "agent", "--count", "1", f"{ENTITY}/networks/sweep1"]
    done = subprocess.run(agent, cwd=ROOT, env=environment, check=False, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stdout + done.stderr
    assert server.runs["run1"]["sweep"] == "sweep1", done.stdout + done.stderr
    config = server.config("run1")
    assert (config["recipe"], config["seed"], config["model"]["architecture"]) == ("resnet20", 3, "ResNet-20")
    assert best_key("val/acc1") in server.runs["run1"]["summary"]


@pytest.mark.slow(1)
def test_a_run_of_an_agent_is_the_sweeps_and_keeps_its_config(
    server: WandbServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parameters = tmp_path / "parameters.yaml"
    config_util.save_config_file_from_dict(
        str(parameters), {"recipe": {"value": "nin_32"}, "seed_everything": {"value": 3}}
    )
    # What an agent gives its runs.
    monkeypatch.setenv("WANDB_SWEEP_ID", "sweep1")
    monkeypatch.setenv("WANDB_RUN_ID", "run1")
    monkeypatch.setenv("WANDB_SWEEP_PARAM_PATH", str(parameters))
    logger = ResilientWandbLogger(save_dir=str(tmp_path))
    logger.fill_in("digits", [], "NIN on digits", None)
    logger.record_config({"config": {"seed_everything": 3}, "seed": 3, "model": {"architecture": "NIN"}})
    logger.log_metrics({"images_seen": 8, "val/acc1": 0.5}, step=0)
    end_of_process()
    assert server.runs["run1"]["sweep"] == "sweep1"
    config = server.config("run1")
    assert (config["recipe"], config["seed_everything"]) == ("nin_32", 3)
    assert (config["config"], config["seed"]) == ({"seed_everything": 3}, 3)
    assert server.runs["run1"]["summary"]["best/val_acc1"] == 0.5
