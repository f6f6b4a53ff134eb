"""What a run has besides its user's callbacks: the best checkpoint, the latest, the progress bar."""

import importlib.util
from collections.abc import Callable
from functools import wraps
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import EarlyStopping, LearningRateMonitor, ModelCheckpoint, ProgressBar

from callbacks import BestCheckpoint, EpochProgressBar, LatestCheckpoint, SamplePictures

BASE, DIGITS = "configs/base.yaml", "configs/data/digits.yaml"
SMALL = ["--trainer.accelerator", "cpu", "--data.val_size", "100", "--data.eval_batch_size", "100"]
SMALL += ["--trainer.limit_train_batches", "2", "--trainer.max_epochs", "2", "--run_dir", "run"]
SMALL += ["--trainer.max_steps", "-1"]


def config(*files: str) -> list[str]:
    return [word for file in files for word in ("--config", file)]


CLASSIFIER = [*config(BASE, DIGITS, "configs/model/resnet20.yaml"), "--model.depth", "8", *SMALL]


@pytest.fixture
def callbacks(run_main: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[Any]]:
    """The callbacks of the Trainer that a command makes, without the run."""
    made: list[Trainer] = []

    @wraps(Trainer.fit)  # of whose arguments the command line makes options
    def fit(trainer: Trainer, *_: Any, **__: Any) -> None:
        made.append(trainer)

    monkeypatch.setattr(Trainer, "fit", fit)

    def of(*words: object) -> list[Any]:
        run_main("fit", *words)
        return made[-1].callbacks  # type: ignore[attr-defined]

    return of


def kinds(callbacks: list[Any], kind: type) -> list[type]:
    return [type(callback) for callback in callbacks if isinstance(callback, kind)]


def names(run: Path) -> list[str]:
    return sorted(path.name for path in (run / "checkpoints").glob("*.ckpt"))


def test_a_classifier_keeps_its_best_and_its_latest_epoch(run_main: Callable[..., None], tmp_path: Path) -> None:
    run_main("fit", *CLASSIFIER, "--trainer.logger", "false")
    best, last = names(tmp_path / "run")
    assert best in ("best-0000.ckpt", "best-0001.ckpt")
    assert last == "last-00000004.ckpt"
    run_main("fit", "--resume", "run", "--trainer.max_epochs", "3")
    best, last = names(tmp_path / "run")  # of all epochs, those before the resume included
    assert best.startswith("best-")
    assert last == "last-00000006.ckpt"


@pytest.mark.parametrize("files", permutations([BASE, DIGITS, "configs/gan/mlp.yaml"]))
def test_the_order_of_a_gans_files_does_not_matter(files: tuple[str, ...], callbacks: Callable[..., list[Any]]) -> None:
    if files.index(DIGITS) > files.index("configs/gan/mlp.yaml"):
        pytest.skip("values for a data set stand behind its name")
    made = callbacks(*config(*files), *SMALL)
    assert kinds(made, SamplePictures) == [SamplePictures]
    assert kinds(made, ModelCheckpoint) == [BestCheckpoint, LatestCheckpoint]
    assert kinds(made, LearningRateMonitor) == [LearningRateMonitor]


def test_a_gan_keeps_its_latest_state_alone(run_main: Callable[..., None], tmp_path: Path) -> None:
    run_main("fit", *config(DIGITS, "configs/gan/mlp.yaml", BASE), *SMALL, "--trainer.logger", "false")
    assert names(tmp_path / "run") == ["last-00000004.ckpt"]
    assert (tmp_path / "run" / "pictures" / "samples.png").exists()


def test_a_users_own_checkpoint_chooses_the_best(run_main: Callable[..., None], tmp_path: Path) -> None:
    own = ["--trainer.callbacks+=ModelCheckpoint", "--trainer.callbacks.monitor", "val/loss"]
    own += ["--trainer.callbacks.filename", "mine-{epoch}"]
    run_main("fit", *CLASSIFIER, *own, "--trainer.logger", "false")
    last, mine = names(tmp_path / "run")
    assert last == "last-00000004.ckpt"
    assert mine.startswith("mine-epoch=")


def test_snapshots_stand_beside_the_best(run_main: Callable[..., None], tmp_path: Path) -> None:
    own = ["--trainer.callbacks+=ModelCheckpoint", "--trainer.callbacks.save_top_k", "-1"]
    run_main("fit", *CLASSIFIER, *own, "--trainer.logger", "false")
    best, first, second, last = names(tmp_path / "run")
    assert best.startswith("best-")
    assert (first, second) == ("epoch=0-step=2.ckpt", "epoch=1-step=4.ckpt")
    assert last == "last-00000004.ckpt"


def test_a_users_own_latest_checkpoint_replaces_that_of_the_base(callbacks: Callable[..., list[Any]]) -> None:
    made = callbacks(*CLASSIFIER, "--trainer.callbacks+=LatestCheckpoint", "--trainer.callbacks.every_n_steps", "7")
    latest = [callback for callback in made if isinstance(callback, LatestCheckpoint)]
    assert [callback.every_n_steps for callback in latest] == [7]


@pytest.mark.parametrize("name", ["TQDMProgressBar", "RichProgressBar"])
def test_a_users_own_progress_bar_is_the_only_one(name: str, callbacks: Callable[..., list[Any]]) -> None:
    if name == "RichProgressBar" and importlib.util.find_spec("rich") is None:
        pytest.skip("rich is not installed")
    bars = kinds(callbacks(*CLASSIFIER, f"--trainer.callbacks+={name}"), ProgressBar)
    assert [bar.__name__ for bar in bars] == [name]


def test_a_users_own_early_stopping_is_taken_as_it_is(callbacks: Callable[..., list[Any]]) -> None:
    stop = ["--trainer.callbacks+=EarlyStopping", "--trainer.callbacks.monitor", "val/loss"]
    made = callbacks(*CLASSIFIER, *stop, "--trainer.callbacks.patience", "5")
    (early,) = (callback for callback in made if isinstance(callback, EarlyStopping))
    assert (early.monitor, early.patience) == ("val/loss", 5)
    assert kinds(made, ModelCheckpoint) == [BestCheckpoint, LatestCheckpoint]
    assert kinds(made, ProgressBar) == [EpochProgressBar]


def test_without_checkpoints_none_is_saved(run_main: Callable[..., None], tmp_path: Path) -> None:
    run_main("fit", *CLASSIFIER, "--trainer.logger", "false", "--trainer.enable_checkpointing", "false")
    assert not list((tmp_path / "run").rglob("*.ckpt"))


def test_without_a_logger_nothing_monitors_the_rate(callbacks: Callable[..., list[Any]]) -> None:
    made = callbacks(*CLASSIFIER, "--trainer.logger", "false")
    assert not kinds(made, LearningRateMonitor)
    assert kinds(made, ModelCheckpoint) == [BestCheckpoint, LatestCheckpoint]


def test_without_a_progress_bar_there_is_none(callbacks: Callable[..., list[Any]]) -> None:
    assert not kinds(callbacks(*CLASSIFIER, "--trainer.enable_progress_bar", "false"), ProgressBar)


def test_a_trial_step_saves_nothing(run_main: Callable[..., None], tmp_path: Path) -> None:
    run_main("fit", *CLASSIFIER, "--trainer.fast_dev_run", "true")
    assert not list(tmp_path.rglob("*.ckpt"))
