"""Steps that nobody reads log nothing and ask a device nothing, and a loss of NaN still changes no weight."""

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import LearningRateMonitor, ModelCheckpoint
from torch.optim import SGD, Adam, Optimizer, lr_scheduler
from torch.utils._python_dispatch import TorchDispatchMode

from callbacks import BestCheckpoint, EpochProgressBar, KeepFinite, LatestCheckpoint, StepSeed, Throughput
from lightning_modules import NonFiniteLossError, finite_loss
from lightning_modules.parameter_groups import fused
from tests.callbacks.tiny_runs import fit, tiny_net


@pytest.fixture
def on_a_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """Treat the processor, whose fused kernels can leave an update out too, as a device for which the host waits."""
    monkeypatch.setattr(finite_loss, "LOOKED_AT_IN_EACH_STEP", ())


class Spoil(Callback):
    """Makes the images of one step NaN."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        if trainer.global_step == self.step:
            batch.images.fill_(float("nan"))


class Keep(Callback):
    """Keeps weights and the state of the optimizer as they are before each step."""

    def __init__(self) -> None:
        self.before: dict[int, list[Any]] = {}
        self.now: list[Any] = []

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        self.before[trainer.global_step] = copy.deepcopy(self._state(trainer, pl_module))

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        self.now = self._state(trainer, pl_module)

    @staticmethod
    def _state(trainer: Trainer, network: LightningModule) -> list[Any]:
        states = trainer.optimizers[0].state.values()
        return [*network.parameters(), *(value for state in states for value in state.values())]


@pytest.mark.usefixtures("on_a_device")
@pytest.mark.parametrize(
    "optimizer", [lambda p: SGD(p, 0.1, momentum=0.9, nesterov=True, weight_decay=1e-3), lambda p: Adam(p, 0.01)]
)
@pytest.mark.parametrize("bad", [0, 1, 2, 5])
def test_after_a_loss_of_nan_no_weight_changes_until_the_host_asks(optimizer: Any, bad: int, tmp_path: Path) -> None:
    keep = Keep()
    with pytest.raises(
        NonFiniteLossError, match=f"loss is nan at step {bad} of epoch {bad // 4} .rank 0.; the weights"
    ):
        fit(tiny_net(optimizer=optimizer), keep, Spoil(bad), folder=tmp_path, log_every_n_steps=100)
    assert max(keep.before) == (3 if bad < 4 else 7)  # the host asks in the last step of an epoch
    wanted = keep.before[bad]
    assert len(keep.now) >= len(wanted)
    assert all(a.equal(b) for a, b in zip(keep.now, wanted, strict=False))


@pytest.mark.usefixtures("on_a_device")
def test_nothing_is_saved_after_a_loss_of_nan(tmp_path: Path) -> None:
    save = ModelCheckpoint(dirpath=tmp_path, every_n_train_steps=2, save_top_k=-1, filename="{step}")
    with pytest.raises(NonFiniteLossError, match="at step 2 "):
        fit(tiny_net(), Spoil(2), save, folder=tmp_path, log_every_n_steps=100, enable_checkpointing=True)
    assert [path.name for path in tmp_path.glob("*.ckpt")] == ["step=2.ckpt"]


@pytest.mark.usefixtures("on_a_device")
def test_an_optimizer_without_a_fused_kernel_has_its_loss_looked_at_in_each_step(tmp_path: Path) -> None:
    keep = Keep()
    plain = lambda parameters: SGD(parameters, 0.1, fused=False)  # noqa: E731
    with pytest.raises(NonFiniteLossError, match="at step 1 "):
        fit(tiny_net(optimizer=plain), keep, Spoil(1), folder=tmp_path, log_every_n_steps=100)
    assert max(keep.before) == 1


@pytest.mark.usefixtures("on_a_device")
def test_the_weights_are_those_of_a_run_whose_host_looks_in_each_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deferred, looked_at = tiny_net(), tiny_net()
    fit(deferred, folder=tmp_path)
    monkeypatch.undo()
    fit(looked_at, folder=tmp_path)
    assert all(a.equal(b) for a, b in zip(deferred.parameters(), looked_at.parameters(), strict=True))


class HostReads(TorchDispatchMode):
    """Counts, by step, the values that the host asks tensors for, each of which would wait for a GPU."""

    def __init__(self) -> None:
        super().__init__()
        self.step = -1
        self.steps: list[int] = []

    def __torch_dispatch__(self, function: Any, types: Any, arguments: Any = (), options: Any = None) -> Any:
        if "_local_scalar_dense" in str(function) or "is_nonzero" in str(function):
            self.steps.append(self.step)
        return function(*arguments, **(options or {}))


class Follow(Callback):
    """Tells which step it is; comes first and last, so that all of a step counts."""

    def __init__(self, reads: HostReads) -> None:
        self.reads = reads

    def on_train_batch_start(self, trainer: Trainer, *_: Any) -> None:
        self.reads.step = trainer.global_step

    def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
        self.reads.step = trainer.global_step - 1


@pytest.mark.usefixtures("on_a_device")
def test_a_step_that_is_not_logged_asks_a_device_nothing_and_logs_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    logged: list[tuple[int, str]] = []
    log = LightningModule.log

    def record(self: LightningModule, name: str, *arguments: Any, **options: Any) -> None:
        if self.trainer.training:
            logged.append((self.trainer.fit_loop.epoch_loop._batches_that_stepped, name))
        log(self, name, *arguments, **options)

    monkeypatch.setattr(LightningModule, "log", record)
    reads = HostReads()
    usual = [Throughput(), StepSeed(), KeepFinite(), LatestCheckpoint(), BestCheckpoint(), LearningRateMonitor()]
    with reads:
        schedule = lambda optimizer: lr_scheduler.StepLR(optimizer, 3)  # noqa: E731
        fit(
            tiny_net(lr_scheduler=schedule, lr_scheduler_interval="step"),
            Follow(reads),
            *usual,
            EpochProgressBar(refresh_rate=1),
            folder=tmp_path,
            log_every_n_steps=3,
            enable_progress_bar=True,
            enable_checkpointing=True,
        )
    due = {2, 5, 3, 7}  # every third, and the last of each epoch
    assert {step for step, _ in logged} == due
    assert {"train/loss", "train/acc1", "images_seen", "train/loss_aux_low"} <= {name for _, name in logged}
    assert due <= {*reads.steps}
    assert {0, 1, 4, 6}.isdisjoint(reads.steps)


def test_a_number_of_each_step_is_there_for_whoever_monitors_it(tmp_path: Path) -> None:
    save = ModelCheckpoint(dirpath=tmp_path, monitor="train/loss", every_n_train_steps=1, save_top_k=-1)
    fit(tiny_net(), save, folder=tmp_path, log_every_n_steps=100, enable_checkpointing=True)
    assert len(save.best_k_models) == 8
    assert len({float(loss) for loss in save.best_k_models.values()}) == 8


def test_the_numbers_of_the_last_step_are_those_of_a_run_that_logs_each(tmp_path: Path) -> None:
    for options in ({"max_epochs": 2}, {"max_steps": 6}):
        often, _ = fit(tiny_net(), folder=tmp_path, log_every_n_steps=1, **options)
        seldom, rows = fit(tiny_net(), folder=tmp_path, log_every_n_steps=100, **options)
        assert often.callback_metrics.keys() == seldom.callback_metrics.keys()
        assert all(often.callback_metrics[name] == seldom.callback_metrics[name] for name in often.callback_metrics)
        assert not rows.values("train/loss")


@pytest.mark.parametrize("make", [lambda p: SGD(p, 0.1, momentum=0.9), lambda p: SGD(p, 0.1), Adam])
def test_one_kernel_makes_the_same_update_but_for_rounding(make: Any) -> None:
    # In float64: Adam turns what rounding leaves of a gradient of zero into a whole step.
    networks = [tiny_net().double(), tiny_net().double()]
    optimizers: list[Optimizer] = [make(networks[0].parameters()), fused(make(networks[1].parameters()))]
    assert optimizers[1].param_groups[0]["fused"]
    for step in range(4):
        for network, optimizer in zip(networks, optimizers, strict=True):
            torch.manual_seed(step)
            network.head.requires_grad_(step > 1)  # trained later than the rest
            network(torch.randn(2, 3, 8, 8).double()).square().mean().backward()
            optimizer.step()
            optimizer.zero_grad()
    for one, other in zip(networks[0].parameters(), networks[1].parameters(), strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("make", [lambda p: SGD(p, 0.1, momentum=0.9), lambda p: Adam(p, 0.1)])
def test_the_memory_order_of_states_and_gradients_changes_no_update(make: Any) -> None:
    weights, gradients = torch.randn(4, 3, 3, 3), torch.randn(3, 4, 3, 3, 3)
    updated = []
    for one_kernel in (False, True):
        parameter = torch.nn.Parameter(weights.clone())
        before = make([parameter])
        parameter.grad = gradients[0].clone()
        before.step()
        parameter = torch.nn.Parameter(parameter.detach().to(memory_format=torch.channels_last))
        after = fused(make([parameter])) if one_kernel else make([parameter])
        kept = before.state_dict()
        kept["param_groups"] = after.state_dict()["param_groups"]
        after.load_state_dict(kept)  # as a resume with another model.channels_last
        assert bool(after.param_groups[0]["fused"]) is one_kernel
        for gradient in gradients[1:]:
            parameter.grad = gradient.clone()
            after.step()
        updated.append(parameter.detach())
    torch.testing.assert_close(updated[0], updated[1])


@pytest.mark.parametrize("options", [{"fused": False}, {"foreach": False}, {"momentum": 0.9, "dampening": 0.5}])
def test_an_optimizer_that_says_otherwise_stays_as_it_is(options: dict[str, Any]) -> None:
    optimizer = fused(SGD(tiny_net().parameters(), 0.1, **options))
    assert not optimizer.param_groups[0]["fused"]
