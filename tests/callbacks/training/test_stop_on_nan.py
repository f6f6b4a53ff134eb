"""A run ends before an update with gradients that are not finite, and before a checkpoint that NaN would choose."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback
from lightning.pytorch.callbacks import ModelCheckpoint

from callbacks.training.stop_on_nan import NonFiniteGradientError, NonFiniteValidationError, StopOnNaN, not_finite
from lightning_modules import NonFiniteLossError
from tests.callbacks.tiny_runs import fit, tiny_net


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_the_gradients_to_blame_are_named(value: float) -> None:
    gradients = {name: torch.randn(3, 2) for name in "abc"}
    assert not_finite(gradients) == []
    gradients["b"][1, 1] = value
    assert not_finite(gradients) == ["b"]
    assert not_finite({}) == []


class Spoil(Callback):
    """Makes a gradient infinite on one step."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_after_backward(self, trainer: Any, pl_module: Any) -> None:
        if trainer.global_step == self.step:
            pl_module.first[0].weight.grad[0] = float("inf")


def test_a_run_ends_before_the_update(tmp_path: Path) -> None:
    network = tiny_net()
    with pytest.raises(
        NonFiniteGradientError, match=r"gradients of first.0.weight are not finite at step 3 of epoch 0"
    ):
        fit(network, Spoil(3), StopOnNaN(), folder=tmp_path)
    assert all(bool(value.isfinite().all()) for value in network.state_dict().values())
    assert issubclass(NonFiniteGradientError, NonFiniteLossError)  # for which the command line has one line


def test_a_loss_scale_may_leave_out_some_updates_in_a_row() -> None:
    stop, network = StopOnNaN(patience=2), tiny_net()
    trainer = SimpleNamespace(global_step=5, current_epoch=0, precision_plugin=SimpleNamespace(scaler=object()))

    def step(gradient: float) -> None:
        network.head.bias.grad = torch.full((3,), gradient)
        stop.on_before_optimizer_step(trainer, network, None)  # type: ignore[arg-type]

    for gradient in (float("inf"), 1.0, float("inf")):
        step(gradient)
    resumed = StopOnNaN(patience=2)
    resumed.load_state_dict(stop.state_dict())
    stop = resumed
    with pytest.raises(NonFiniteGradientError, match="for 2 steps in a row"):
        step(float("inf"))


def test_no_checkpoint_is_chosen_by_nan(tmp_path: Path) -> None:
    class Overflow(Callback):
        def on_validation_start(self, trainer: Any, pl_module: Any) -> None:
            pl_module.second[1].running_var.fill_(float("nan"))

    best = ModelCheckpoint(tmp_path / "best", monitor="val/loss")
    with pytest.raises(NonFiniteValidationError, match="validation loss is nan after step 4"):
        fit(tiny_net(), Overflow(), StopOnNaN(), best, folder=tmp_path, enable_checkpointing=True)
    assert not list(tmp_path.rglob("*.ckpt"))


def test_patience_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="patience must be at least 1"):
        StopOnNaN(0)
