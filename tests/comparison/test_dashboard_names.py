"""The names that the dashboard shows are names that real runs log: a classifier's and a GAN's, as they reach W&B."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from comparison.dashboard import names
from experiment.wandb_logger import STEP_AXIS, best_key
from records.metrics import BETTER
from tests.experiment.wandb_server import WandbServer, account_on, end_of_process

SHORT = (
    *("--trainer.accelerator", "cpu", "--trainer.max_epochs", 1, "--trainer.log_every_n_steps", 1),
    *("--trainer.limit_train_batches", 5, "--trainer.limit_val_batches", 1, "--data.batch_size", 16),
    *("--data.eval_batch_size", 64, "--run_dir"),
)
BASE = ("fit", "--config", "configs/base.yaml", "--config", "configs/data/digits.yaml", "--config")
TESTED = ("--test_at_end", "true", "--trainer.limit_test_batches", 1)
LOOK_INSIDE = (  # as in configs/experiment/look_inside.yaml, but after few steps
    *("--trainer.callbacks+=GradientFlow", "--trainer.callbacks.every_n_steps", 1),
    *("--trainer.callbacks+=ActivationStatistics", "--trainer.callbacks+=FirstLayerFilters"),
    "--trainer.callbacks+=ClassActivationMaps",
)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[WandbServer]:
    with WandbServer() as server, account_on(server, tmp_path):
        yield server


def paths(content: Any, path: str = "") -> Iterator[str]:
    """The dotted paths of all values in nested mappings."""
    if isinstance(content, dict):
        for key, value in content.items():
            yield from paths(value, f"{path}.{key}" if path else key)
    else:
        yield path


def test_panels_show_what_runs_log(server: WandbServer, run_main: Callable[..., None]) -> None:
    run_main(*BASE, "configs/model/resnet20.yaml", *LOOK_INSIDE, *SHORT, "classifier", *TESTED)
    run_main(*BASE, "configs/gan/dcgan.yaml", *SHORT, "gan")
    end_of_process()
    classifier, gan = server.runs
    history = {run: {key for row in server.runs[run]["rows"] for key in row} for run in server.runs}

    shown = {*names.CURVES.values(), *names.SPEED_CURVES.values(), *names.INSIDE_PICTURES.values(), names.AXIS}
    assert shown <= history[classifier]
    assert {*names.GAN_CURVES.values(), *names.GAN_PICTURES.values(), names.AXIS} <= history[gan]
    assert set(names.CONFIG_COLUMNS) <= set(paths(server.config(classifier)))
    assert set(names.SUMMARY_COLUMNS) <= set(paths(server.runs[classifier]["summary"]))
    assert server.config(classifier)["command"] == "fit"
    pictures = [row for row in server.runs[classifier]["rows"] if "pictures/most_confused" in row]
    assert all(row["images_seen"] for row in pictures)  # their place on the axis


def test_names_of_the_logger_stand_here_again() -> None:
    assert names.AXIS == STEP_AXIS
    assert {names.BEST_ACCURACY, names.BEST_LOSS} <= {best_key(metric) for metric in BETTER}
