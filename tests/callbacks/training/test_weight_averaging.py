"""Averages are those of the formula, evaluation has them, training does not, and a resumed run has both to the bit."""

from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback
from torch import Tensor

from callbacks.training.weight_averaging import PolyakAveraging, averaged
from tests.callbacks.tiny_runs import TinyNet, fit, tiny_net

State = dict[str, Tensor]


class States(Callback):
    """Keeps the network after each step, and as validation sees it."""

    def __init__(self) -> None:
        self.trained: list[State] = []
        self.validated: list[State] = []

    def on_train_batch_end(self, trainer: Any, pl_module: Any, *_: Any) -> None:
        self.trained.append(copy_of(pl_module))

    def on_validation_batch_start(self, trainer: Any, pl_module: Any, *_: Any) -> None:
        self.validated.append(copy_of(pl_module))


def copy_of(network: TinyNet) -> State:
    return {name: value.clone() for name, value in network.state_dict().items()}


def assert_equal(state: State, other: State) -> None:
    assert state.keys() == other.keys()
    assert [name for name, value in state.items() if not torch.equal(value, other[name])] == []


def mean_of(states: list[State]) -> State:
    return {
        name: torch.stack([state[name] for state in states]).mean(0) if value.is_floating_point() else value
        for name, value in states[-1].items()
    }


def test_the_mean_is_that_of_all_and_an_exponential_average_forgets() -> None:
    values = torch.randn(5, 3)
    mean = values[0]
    for count in range(1, 5):
        mean = averaged(mean, values[count], count, decay=None)
    torch.testing.assert_close(mean, values.mean(0))
    assert averaged(torch.zeros(1), torch.ones(1), 10**6, decay=0.9) == pytest.approx(0.1)
    assert averaged(torch.zeros(1), torch.ones(1), 1, decay=0.9) == pytest.approx(1 - 2 / 11)
    assert averaged(torch.tensor(3), torch.tensor(4), 7, decay=None) == 4


@pytest.mark.slow(1)
def test_validation_has_the_mean_and_training_the_last_weights(tmp_path: Path) -> None:
    network, states = tiny_net(), States()
    fit(network, PolyakAveraging(), states, folder=tmp_path)
    plain_states = States()
    fit(tiny_net(), plain_states, folder=tmp_path)
    for state, plain in zip(states.trained, plain_states.trained, strict=True):
        assert_equal(state, plain)
    for epoch in (0, 1):
        torch.testing.assert_close(states.validated[epoch], mean_of(states.trained[: 4 * (epoch + 1)]))
    assert_equal(copy_of(network), states.validated[-1])
    assert int(network.second[1].num_batches_tracked) == 8


@pytest.mark.parametrize(("unit", "start", "first"), [("epoch", 1, 4), ("step", 6, 6), ("step", 100, None)])
def test_before_the_first_average_the_trained_weights_are_used(
    unit: Any, start: int, first: int | None, tmp_path: Path
) -> None:
    network, states = tiny_net(), States()
    trainer, _ = fit(network, PolyakAveraging(start=start, unit=unit), states, folder=tmp_path)
    assert_equal(states.validated[0], states.trained[3])
    expected = states.trained[-1] if first is None else mean_of(states.trained[first:])
    torch.testing.assert_close(copy_of(network), expected)
    trainer.save_checkpoint(tmp_path / "end.ckpt")
    saved = torch.load(tmp_path / "end.ckpt", weights_only=True)["state_dict"]
    torch.testing.assert_close(saved, expected)


@pytest.mark.parametrize("kind", ["mean", "exponential"])
@pytest.mark.parametrize("start", [0, 5])
def test_a_resumed_run_has_both_networks_to_the_bit(kind: Any, start: int, tmp_path: Path) -> None:
    class SaveInTheMiddle(Callback):
        def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
            if trainer.current_epoch == 0:
                trainer.save_checkpoint(tmp_path / "half.ckpt")

    def run(*callbacks: Callback, **options: Any) -> tuple[TinyNet, States]:
        network, states = tiny_net(), States()
        averaging = PolyakAveraging(kind, decay=0.7, start=start, unit="step", every_n_steps=2)
        fit(network, averaging, states, *callbacks, folder=tmp_path, **options)
        return network, states

    whole, states = run(SaveInTheMiddle())
    checkpoint = torch.load(tmp_path / "half.ckpt", weights_only=True)
    assert_equal(checkpoint["current_model_state"], states.trained[3])
    assert_equal(checkpoint["state_dict"], states.validated[0])
    resumed, resumed_states = run(ckpt_path=tmp_path / "half.ckpt")
    assert_equal(resumed_states.trained[-1], states.trained[-1])
    assert_equal(copy_of(resumed), copy_of(whole))


def test_an_error_in_validation_leaves_the_trained_weights(tmp_path: Path) -> None:
    class Fail(Callback):
        def on_validation_batch_end(self, *_: Any) -> None:
            raise RuntimeError("full disk")

    network, states = tiny_net(), States()
    with pytest.raises(RuntimeError, match="full disk"):
        fit(network, PolyakAveraging(), states, Fail(), folder=tmp_path)
    assert_equal(copy_of(network), states.trained[-1])


def test_each_update_counts_once_under_accumulation(tmp_path: Path) -> None:
    network, states = tiny_net(), States()
    fit(network, PolyakAveraging(), states, folder=tmp_path, accumulate_grad_batches=2)
    weights = [{"first.0.weight": state["first.0.weight"]} for state in states.trained[1::2]]
    torch.testing.assert_close(network.first[0].weight.detach(), mean_of(weights)["first.0.weight"])


def test_weights_of_bf16_are_averaged_too(tmp_path: Path) -> None:
    network, states = tiny_net(), States()
    fit(network, PolyakAveraging(), states, folder=tmp_path, precision="bf16-true", max_epochs=1)
    weights = torch.stack([state["first.0.weight"].float() for state in states.trained])
    torch.testing.assert_close(network.first[0].weight.detach().float(), weights.mean(0), rtol=0.01, atol=0.001)


@pytest.mark.parametrize("arguments", [{"decay": 1.0}, {"start": -1}, {"every_n_steps": 0}], ids=str)
def test_what_cannot_be_is_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="PolyakAveraging"):
        PolyakAveraging(**arguments)


def test_two_networks_are_refused(tmp_path: Path) -> None:
    network = tiny_net()
    network.automatic_optimization = False
    with pytest.raises(ValueError, match="has two: use model.ema_decay"):
        fit(network, PolyakAveraging(), folder=tmp_path)
