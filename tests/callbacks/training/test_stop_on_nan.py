"""A run ends before an update with gradients that are not finite, and before a checkpoint that NaN would choose."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint

from callbacks.training.stop_on_nan import (
    KeepFinite,
    NonFiniteGradientError,
    NonFiniteStateError,
    NonFiniteValidationError,
    StopOnNaN,
    not_finite,
)
from experiment.checkpoints import VerifiedCheckpointIO
from lightning_modules import NonFiniteLossError
from tests.callbacks.tiny_runs import fit, loader, tiny_net


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


@pytest.mark.parametrize("stop", [KeepFinite, StopOnNaN])
def test_a_loss_of_nan_ends_a_test(stop: type[KeepFinite], tmp_path: Path) -> None:
    network = tiny_net()
    network.second[1].running_var.fill_(float("nan"))
    trainer = Trainer(accelerator="cpu", logger=False, callbacks=[stop()], enable_progress_bar=False)
    with pytest.raises(NonFiniteValidationError, match=r"^The test loss is nan: .* test another checkpoint\.$"):
        trainer.test(network, loader(network, 1))


def test_a_validation_loss_that_is_partly_nan_is_seen(tmp_path: Path) -> None:
    class SpoilABatch(Callback):
        def on_validation_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
            batch.images[0] = float("nan")

    with pytest.raises(NonFiniteValidationError, match="validation loss is nan after step 4"):
        fit(tiny_net(), SpoilABatch(), KeepFinite(), folder=tmp_path)


class SpoilTheLastStep(Callback):
    """Makes weights or momentum infinite in the last step of the second epoch."""

    def __init__(self, part: str) -> None:
        self.part = part

    def on_train_batch_end(self, trainer: Any, pl_module: Any, *_: Any) -> None:
        if trainer.global_step == 8:
            parameter = pl_module.head.weight
            momentum = trainer.optimizers[0].state[parameter]["momentum_buffer"]
            {"weights": parameter.data, "momentum": momentum}[self.part].fill_(float("inf"))


@pytest.mark.parametrize("part", ["weights", "momentum"])
def test_what_the_last_step_of_an_epoch_spoiled_is_not_saved(part: str, tmp_path: Path) -> None:
    last = ModelCheckpoint(tmp_path, filename="last", enable_version_counter=False)
    with pytest.raises(NonFiniteStateError, match="not finite after step 8 of epoch 1") as caught:
        fit(
            *(tiny_net(), SpoilTheLastStep(part), KeepFinite(), last),
            **{"folder": tmp_path, "enable_checkpointing": True, "limit_val_batches": 0},
        )
    assert torch.load(tmp_path / "last.ckpt", weights_only=True)["global_step"] == 4
    assert caught.value.__notes__ == [f"The last good one is {tmp_path / 'last.ckpt'}."]


def test_what_the_last_step_of_all_spoiled_ends_the_run(tmp_path: Path) -> None:
    with pytest.raises(NonFiniteStateError, match="head.weight is not finite after step 8") as caught:
        fit(tiny_net(), SpoilTheLastStep("weights"), KeepFinite(), folder=tmp_path, limit_val_batches=0)
    assert caught.value.__notes__ == ["None was saved before."]


def test_weights_that_are_saved_alone_are_checked_by_the_writer(tmp_path: Path) -> None:
    file = tmp_path / "last.ckpt"
    VerifiedCheckpointIO().save_checkpoint({"state_dict": {"weight": torch.ones(2)}}, file)
    before = file.read_bytes()
    with pytest.raises(NonFiniteStateError, match="weight is not finite"):
        VerifiedCheckpointIO().save_checkpoint({"state_dict": {"weight": torch.tensor([1, torch.inf])}}, file)
    assert file.read_bytes() == before


def test_patience_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="patience must be at least 1"):
        StopOnNaN(0)
