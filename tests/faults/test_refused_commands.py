"""A refused command leaves nothing behind, and a run stays as it is if going on with it is refused."""

from collections.abc import Callable
from pathlib import Path

import pytest

pytestmark = [pytest.mark.faults, pytest.mark.slow(1), pytest.mark.xdist_group("refused")]

REFUSED = {
    "a batch that is too large": ["--data.batch_size=2000"],
    "a rate that the optimizer refuses": ["--model.optimizer.lr=-0.1"],
    "a schedule that lacks an argument": ["--model.lr_scheduler=OneCycleLR", "--model.lr_scheduler.max_lr=0.1"],
    "a checkpoint that is not there": ["--ckpt_path=nowhere"],
    "weights that are not there": ["--model.weights=nowhere.pth"],
    "a precision that does not exist": ["--trainer.precision=16-false"],
    "a validation less often than there are batches": ["--trainer.val_check_interval=7"],
    "settings that exclude each other": ["--trainer.barebones=true"],
    "no step": ["--trainer.max_steps=0"],
    "no epoch": ["--trainer.max_epochs=0"],
    "no batch": ["--trainer.limit_train_batches=0"],
}


def is_refused(fit_here: Callable[..., int], *words: object) -> bool:
    try:
        return fit_here(*words) != 0
    except ValueError:  # whatever the sentence is
        return True


@pytest.mark.parametrize("words", REFUSED.values(), ids=REFUSED)
def test_a_refused_command_leaves_nothing(
    words: list[str], fit_here: Callable[..., int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert is_refused(fit_here, *words)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("word", ["--data.batch_size=8", "--model.optimizer.lr=-1", "--trainer.precision=16-false"])
def test_a_run_stays_as_it_is_if_going_on_is_refused(
    word: str, fit_here: Callable[..., int], undisturbed_here: Callable[..., Path]
) -> None:
    run = undisturbed_here()
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    assert is_refused(fit_here, "--resume", run, "--trainer.max_epochs=4", word)
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before
