"""Weights follow their schedules, gradients are those that autograd finds, and a head that is off costs nothing."""

import csv
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from lightning.pytorch import Callback
from torch import nn

from callbacks.training.auxiliary_loss import (
    AuxiliaryLossWeighting,
    GradientsAtHead,
    WeightSchedule,
    averaged_ratio,
    weight_at,
)
from tests.callbacks.tiny_runs import NoClassifier, TinyNet, fit, loader, tiny_net
from tests.forked import run_main_on_ranks

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize(
    ("schedule", "weights"),
    [
        ({}, [0.4] * 5),
        ({"kind": "linear", "until": 4}, [0.4, 0.3, 0.2, 0.1, 0.0]),
        ({"kind": "linear", "until": 2, "end": 0.2}, [0.4, 0.3, 0.2, 0.2, 0.2]),
        ({"kind": "cosine", "until": 4}, [0.4, 0.2 * (1 + 2**-0.5), 0.2, 0.2 * (1 - 2**-0.5), 0.0]),
        ({"kind": "step", "milestones": [1, 3], "factor": 0.5}, [0.4, 0.2, 0.2, 0.1, 0.1]),
        ({"off_after": 2}, [0.4, 0.4, 0.0, 0.0, 0.0]),
        ({"kind": "balance"}, [0.4] * 5),
    ],
    ids=str,
)
def test_a_weight_is_a_function_of_time(schedule: dict[str, Any], weights: list[float]) -> None:
    computed = [weight_at(WeightSchedule(**schedule), 0.4, now) for now in range(5)]
    assert computed == pytest.approx(weights)
    assert [weight == 0 for weight in computed] == [weight == 0 for weight in weights]


def test_balance_keeps_the_gradients_in_proportion() -> None:
    schedule = WeightSchedule(kind="balance", maximum=2.0)
    ratio = averaged_ratio(None, rest=3.0, head=1.5)
    assert ratio == pytest.approx(2)
    assert weight_at(schedule, 0.3, 0, ratio) == pytest.approx(0.6)
    assert weight_at(schedule, 0.3, 0, 1e6) == 2.0
    assert averaged_ratio(2.0, rest=4.0, head=1.0) == pytest.approx(0.9 * 2 + 0.1 * 4)
    assert averaged_ratio(2.0, rest=float("nan"), head=1.0) == 2.0


@pytest.mark.parametrize(
    "schedule",
    [
        {"start": -1.0},
        {"start": float("nan")},
        {"kind": "linear"},
        {"kind": "step"},
        {"off_after": -1},
        {"kind": "balance", "start": 0.0},
    ],
    ids=str,
)
def test_a_schedule_without_meaning_is_refused(schedule: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"must be|needs|use kind"):
        WeightSchedule(**schedule)


def test_the_gradients_at_a_head_are_those_of_its_loss_and_of_the_rest() -> None:
    network = tiny_net()
    batch = next(iter(loader(network)))
    maps = network.first(batch.images)
    head_loss = 0.3 * F.cross_entropy(network.auxiliary_heads["low"](maps), batch.labels)
    rest_loss = F.cross_entropy(network.head(network.third(network.second(maps)).mean((2, 3))), batch.labels)
    expected = [torch.autograd.grad(loss, maps, retain_graph=True)[0].norm() for loss in (head_loss, rest_loss)]

    gradients = GradientsAtHead(network.auxiliary_heads["low"])
    logits, auxiliary = network.training_outputs(batch.images)
    (F.cross_entropy(logits, batch.labels) + 0.3 * F.cross_entropy(auxiliary["low"], batch.labels)).backward()
    assert gradients.head is not None
    assert gradients.rest is not None
    torch.testing.assert_close([gradients.head, gradients.rest], expected)
    gradients.remove()
    assert not network.auxiliary_heads["low"]._forward_pre_hooks


class Weights(Callback):
    """Notes the weights of each step, and whether a head ran."""

    def __init__(self) -> None:
        self.low: list[float] = []
        self.ran: list[bool] = []

    def on_fit_start(self, trainer: Any, pl_module: Any) -> None:
        pl_module.auxiliary_heads["low"].register_forward_hook(lambda *_: self.ran.append(True))

    def on_after_backward(self, trainer: Any, pl_module: Any) -> None:
        self.low.append(pl_module.auxiliary_loss_weights["low"])


@pytest.mark.slow(1)
def test_measuring_changes_no_bit(tmp_path: Path) -> None:
    plain, measured = tiny_net(), tiny_net()
    fit(plain, folder=tmp_path)
    _, rows = fit(measured, AuxiliaryLossWeighting(), folder=tmp_path)
    assert all(map(torch.equal, plain.state_dict().values(), measured.state_dict().values()))
    assert rows.values("train/weight_aux_low") == pytest.approx([0.3] * 8)
    for name in ("gradients/aux_low", "gradients/rest_high", "train/acc1_aux_low", "train/loss_aux_high"):
        assert len(rows.values(name)) == 8
        assert all(value >= 0 for value in rows.values(name))


@pytest.mark.slow(6)
def test_a_compiled_network_is_measured_alike(tmp_path: Path) -> None:
    """AOTAutograd frees its buffers in the backward pass, so that a second one would fail."""
    rows = {}
    for compiled in (False, True):
        network = tiny_net()
        if compiled:
            for part in (network.first, network.second, network.third, network.head):
                part.compile(backend="aot_eager")
        rows[compiled] = fit(network, AuxiliaryLossWeighting(), folder=tmp_path, max_epochs=1)[1]
    for name in ("gradients/aux_low", "gradients/rest_low", "gradients/aux_high", "gradients/rest_high"):
        assert rows[True].values(name) == pytest.approx(rows[False].values(name), rel=1e-4)


@pytest.mark.slow(1)
def test_gradients_do_not_depend_on_accumulation_and_are_logged_when_due(tmp_path: Path) -> None:
    rows = {}
    for batches in (1, 4):
        options = {"accumulate_grad_batches": batches, "max_epochs": 1, "log_every_n_steps": 1}
        network = tiny_net(optimizer=lambda parameters: torch.optim.SGD(parameters, lr=0.0))
        rows[batches] = fit(network, AuxiliaryLossWeighting(), folder=tmp_path, **options)[1]
    assert rows[4].values("gradients/rest_low") == pytest.approx(rows[1].values("gradients/rest_low")[-1:], rel=1e-5)

    _, sparse = fit(tiny_net(), AuxiliaryLossWeighting(every_n_steps=3), folder=tmp_path)
    assert [step for step, metrics in sparse.rows if "gradients/aux_low" in metrics] == [2, 5]


@pytest.mark.slow(1)
def test_the_scale_of_a_loss_is_taken_out(tmp_path: Path) -> None:
    class Scale(Callback):
        """The loss as 16-mixed scales it, which only GPUs do."""

        def on_fit_start(self, trainer: Any, pl_module: Any) -> None:
            trainer.precision_plugin.scaler = SimpleNamespace(get_scale=lambda: 8.0)

    plain = fit(tiny_net(), AuxiliaryLossWeighting(), folder=tmp_path)[1].values("gradients/rest_low")
    scaled = fit(tiny_net(), Scale(), AuxiliaryLossWeighting(), folder=tmp_path)[1].values("gradients/rest_low")
    assert scaled == pytest.approx([value / 8 for value in plain])


def test_a_head_that_is_off_does_not_run_and_stays_as_it_is(tmp_path: Path) -> None:
    network, weights = tiny_net(), Weights()
    schedule = {"low": WeightSchedule(off_after=1)}
    kept = {}

    class Keep(Callback):
        def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
            kept[trainer.current_epoch] = [
                parameter.clone() for parameter in network.auxiliary_heads["low"].parameters()
            ]

    _, rows = fit(network, AuxiliaryLossWeighting(schedule), weights, Keep(), folder=tmp_path)
    assert weights.low == [0.3] * 4 + [0.0] * 4
    assert len(weights.ran) == 4
    assert all(map(torch.equal, kept[0], kept[1]))  # SGD with momentum and decay
    assert rows.values("train/weight_aux_low")[-1] == 0
    assert len(rows.values("train/loss_aux_low")) == 4
    assert network.auxiliary_loss_weights == {"low": 0.3, "high": 0.3}


def test_a_network_is_left_as_it_was_after_an_error(tmp_path: Path) -> None:
    class Fail(Callback):
        def on_after_backward(self, trainer: Any, pl_module: Any) -> None:
            raise RuntimeError("full disk")

    network = tiny_net()
    with pytest.raises(RuntimeError, match="full disk"):
        fit(network, Fail(), AuxiliaryLossWeighting(others=WeightSchedule(start=0.9)), folder=tmp_path)
    assert network.auxiliary_loss_weights == {"low": 0.3, "high": 0.3}
    assert not any(head._forward_pre_hooks for head in network.auxiliary_heads.values())


@pytest.mark.parametrize("schedule", [{"kind": "balance"}, {"kind": "cosine", "until": 7}], ids=str)
@pytest.mark.slow(1)
def test_a_resumed_run_goes_on_with_the_same_weights(schedule: dict[str, Any], tmp_path: Path) -> None:
    def run(weights: Weights, **options: Any) -> tuple[Any, TinyNet]:
        network = tiny_net()
        callback = AuxiliaryLossWeighting(others=WeightSchedule(**schedule), unit="step")
        return fit(network, callback, weights, folder=tmp_path, **options)[0], network

    whole, first, second = Weights(), Weights(), Weights()
    _, expected = run(whole)
    trainer, _ = run(first, max_epochs=1)
    trainer.save_checkpoint(tmp_path / "half.ckpt")
    _, resumed = run(second, ckpt_path=tmp_path / "half.ckpt")
    assert len(set(whole.low)) > 6
    assert first.low + second.low == whole.low
    assert all(map(torch.equal, expected.state_dict().values(), resumed.state_dict().values()))


@pytest.mark.slow(2)
def test_balance_brings_the_gradient_to_its_share(tmp_path: Path) -> None:
    balance = AuxiliaryLossWeighting(others=WeightSchedule(kind="balance", start=0.5))
    network = tiny_net(optimizer=lambda parameters: torch.optim.SGD(parameters, lr=0.0))
    _, rows = fit(network, balance, folder=tmp_path, overfit_batches=1, max_epochs=80)
    head, rest = rows.values("gradients/aux_low")[-1], rows.values("gradients/rest_low")[-1]
    assert head == pytest.approx(0.5 * rest, rel=0.05)


def test_others_are_refused_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="NoClassifier is not: leave the callback out"):
        fit(NoClassifier(), AuxiliaryLossWeighting(), folder=tmp_path)
    network = tiny_net()
    with pytest.raises(ValueError, match="TinyNet has no auxiliary head 4a: it has low, high"):
        fit(network, AuxiliaryLossWeighting({"4a": WeightSchedule()}), folder=tmp_path)
    with pytest.raises(ValueError, match=r"every_n_steps must be at least 1, or null"):
        fit(network, AuxiliaryLossWeighting(every_n_steps=0), folder=tmp_path)
    network.auxiliary_heads = nn.ModuleDict()
    with pytest.raises(ValueError, match="TinyNet has no auxiliary heads to weight: leave"):
        fit(network, AuxiliaryLossWeighting(), folder=tmp_path)


@pytest.mark.slow
def test_two_ranks_switch_a_head_off_without_a_search_for_unused_parameters(tmp_path: Path) -> None:
    words = ["fit"]
    for config in ("base", "data/digits", "model/googlenet_32"):
        words += ["--config", str(ROOT / "configs" / f"{config}.yaml")]
    words += ["--trainer.logger", "experiment.csv_logger.ResumableCSVLogger", "--trainer.accelerator", "cpu"]
    words += ["--trainer.devices", "2", "--trainer.strategy", "ddp", "--trainer.enable_progress_bar", "false"]
    words += ["--trainer.max_epochs", "1", "--trainer.max_steps", "4", "--trainer.limit_val_batches", "0"]
    words += ["--trainer.log_every_n_steps", "1", "--data.batch_size", "4", "--run_dir", str(tmp_path / "run")]
    words += ["--model.width", "0.25", "--test_at_end", "false"]
    words += ["--trainer.callbacks+=AuxiliaryLossWeighting", "--trainer.callbacks.unit", "step"]
    words += ["--trainer.callbacks.heads", '{"4a": {"off_after": 2}, "4d": {"kind": "balance"}}']
    codes = run_main_on_ranks(words, ranks=2, log=tmp_path / "log")
    assert codes == [0, 0], (tmp_path / "log").read_text()[-2000:]
    with (tmp_path / "run" / "metrics.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["train/weight_aux_4a"]]
    assert [float(row["train/weight_aux_4a"]) for row in rows] == pytest.approx([0.3, 0.3, 0, 0])
    assert [bool(row["gradients/aux_4a"]) for row in rows] == [True, True, False, False]
    assert all(float(row["gradients/rest_4d"]) > 0 for row in rows)
    assert len({row["train/weight_aux_4d"] for row in rows}) == 4
