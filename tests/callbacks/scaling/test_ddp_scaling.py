"""The callback on real ranks (gloo), and its promises about optimizers, schedules and resume."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import LightningDataModule, LightningModule, Trainer
from torch import Tensor, nn
from torch.utils.data import DataLoader

from callbacks import DDPScaling
from tests.callbacks.ranks import train_on_ranks

pytestmark = [pytest.mark.slow(1), pytest.mark.xdist_group("scaling over ranks")]

Results = list[dict[str, Any]]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    """Runs on 1, 2 and 4 ranks with 64 images an update; that on 2, resumed on 1; one with 32 on each of 2."""
    folder = tmp_path_factory.mktemp("ranks")
    fixed = {"reference_batch_size": 32, "warmup_epochs": 0.5, "global_batch_size": 64}
    plan: list[dict[str, Any]] = [{"ranks": ranks, "steps": 24, "scaling": fixed} for ranks in (1, 2, 4)]
    plan[1]["save_at"] = 5
    plan.append({"ranks": 1, "steps": 24, "scaling": fixed, "resume": str(folder / "run-1.ckpt")})
    plan.append({"ranks": 2, "steps": 24, "scaling": {"reference_batch_size": 32, "warmup_epochs": 0.5}})
    return [train_on_ranks(one, folder / f"run-{number}.json") for number, one in enumerate(plan)]


def test_the_same_global_batch_gives_the_same_curve_on_any_number_of_ranks(results: Results) -> None:
    one = results[0]
    for several in results[1:3]:
        assert [sorted(images) for images in several["images"]] == [sorted(images) for images in one["images"]]
        assert several["losses"] == pytest.approx(one["losses"], rel=1e-4)
        assert several["weights"] == pytest.approx(one["weights"], abs=1e-5)
    assert one["losses"][-1] < 0.5 * one["losses"][0]


def test_the_rate_rises_to_twice_the_schedules_and_the_schedule_stays_as_declared(results: Results) -> None:
    schedule = [0.01 * (1 + torch.tensor(torch.pi * step / 40).cos().item()) for step in range(24)]
    warmup = 9  # half an epoch of 18 updates
    expected = [lr * min(1 + step / warmup, 2) for step, lr in enumerate(schedule)]
    for run in (results[0], results[1], results[4]):
        assert run["rates"] == pytest.approx(expected, rel=1e-5)
        declared = 0.01 * (1 + torch.tensor(torch.pi * 24 / 40).cos().item())
        assert run["declared"] == pytest.approx([declared, 2 * declared])


def test_a_run_resumed_on_another_number_of_ranks_goes_on_as_if_it_had_not_stopped(results: Results) -> None:
    whole, resumed = results[0], results[3]
    assert resumed["rates"] == pytest.approx(whole["rates"][5:], rel=1e-5)
    assert [sorted(images) for images in resumed["images"]] == [sorted(images) for images in whole["images"][5:]]
    assert resumed["weights"] == pytest.approx(whole["weights"], abs=1e-5)


def test_a_batch_for_each_device_is_the_same_as_its_product_fixed(results: Results) -> None:
    assert results[4]["weights"] == pytest.approx(results[1]["weights"], abs=1e-7)
    assert [run["batch_size"] for run in results] == [64, 32, 16, 64, 32]


def test_one_line_says_what_is_in_force(results: Results) -> None:
    line = (
        "DDPScaling: 4 processes x 16 images x 1 accumulated = global batch 64; the recipe's is 32, rule linear: "
        "learning rate 0.02 → 0.04 after 9 steps of warm-up."
    )
    assert results[2]["log"].count(line) == 1
    assert "divide what is counted in steps by 2" in results[2]["log"].replace("\n", " ")


class TwoOptimizers(LightningModule):
    """One weight for each optimizer, moved by its rate in each step; as a GAN, with steps taken by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Parameter(torch.zeros(())), nn.Parameter(torch.zeros(()))
        self.automatic_optimization = False

    def training_step(self, batch: Any, batch_idx: int) -> None:
        for number, (optimizer, weight) in enumerate(zip(self.optimizers(), (self.first, self.second), strict=True)):
            if number == 1 and batch_idx % 2:
                continue  # the second takes every other step
            optimizer.zero_grad()
            self.manual_backward(-weight)
            optimizer.step()

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        return [torch.optim.SGD([self.first], lr=1.0), torch.optim.SGD([self.second], lr=10.0)]


class Numbers(LightningDataModule):
    def __init__(self, batch_size: int = 4) -> None:
        super().__init__()
        self.batch_size = batch_size

    def train_dataloader(self) -> DataLoader[Tensor]:
        return DataLoader(torch.zeros(8, 1), batch_size=1)  # type: ignore[arg-type]


@pytest.fixture
def trainer(tmp_path: Path) -> Callable[..., Trainer]:
    def make(*callbacks: Any, **options: Any) -> Trainer:
        quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
        common = {"accelerator": "cpu", "default_root_dir": tmp_path, "enable_checkpointing": False, "max_epochs": 1}
        return Trainer(**{**quiet, **common, "callbacks": list(callbacks), **options})

    return make


def test_several_optimizers_warm_up_each_by_its_own_updates(trainer: Callable[..., Trainer]) -> None:
    network = TwoOptimizers()
    scaling = DDPScaling(2, warmup_epochs=0.5)  # a factor of 2, after 4 updates
    trainer(scaling).fit(network, datamodule=Numbers())
    assert network.first.item() == pytest.approx(1 + 1.25 + 1.5 + 1.75 + 4 * 2)
    assert network.second.item() == pytest.approx(10 * (1 + 1.25 + 1.5 + 1.75))
    assert scaling.steps == [8, 4]


def test_batches_that_a_module_accumulates_count(trainer: Callable[..., Trainer]) -> None:
    network = TwoOptimizers()
    network.accumulate_batches = 4  # type: ignore[assignment]
    scaling = DDPScaling(4, warmup_epochs=0.5)
    trainer(scaling).fit(network, datamodule=Numbers())
    assert (scaling.scale, scaling.warmup_steps) == (4.0, 1)


def test_fitting_again_does_not_scale_twice(trainer: Callable[..., Trainer]) -> None:
    scaling = DDPScaling(2, warmup_epochs=0)
    for _ in range(2):
        network = TwoOptimizers()
        trainer(scaling).fit(network, datamodule=Numbers())
        assert network.first.item() == 16


class CaffeSGD(torch.optim.Optimizer):
    """v ← 0.9 v + lr g, w ← w - v."""

    def __init__(self, parameters: Any, lr: float) -> None:
        super().__init__(parameters, {"lr": lr})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:
        if closure is not None:
            with torch.enable_grad():
                closure()
        for group in self.param_groups:
            for weight in group["params"]:
                buffer = self.state[weight].setdefault("velocity", torch.zeros_like(weight))
                weight.sub_(buffer.mul_(0.9).add_(weight.grad, alpha=group["lr"]))


class OneWeight(LightningModule):
    def __init__(self, optimizer: Callable[..., Any]) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones((), dtype=torch.double))
        self.make_optimizer = optimizer

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return self.weight**2

    def configure_optimizers(self) -> Any:
        return self.make_optimizer([self.weight])


def test_a_buffer_that_holds_the_rate_is_corrected(trainer: Callable[..., Trainer]) -> None:
    def weight(optimizer: Callable[..., Any], **options: Any) -> float:
        network = OneWeight(optimizer)
        trainer(DDPScaling(1, warmup_epochs=0.75, **options)).fit(network, datamodule=Numbers())
        return network.weight.item()

    pytorch = weight(lambda parameters: torch.optim.SGD(parameters, lr=0.01, momentum=0.9))
    caffe = lambda parameters: CaffeSGD(parameters, lr=0.01)  # noqa: E731
    assert weight(caffe, momentum_buffer="velocity") == pytest.approx(pytorch)
    assert weight(caffe) != pytest.approx(pytorch, rel=0.01)


def test_an_update_that_fails_leaves_the_declared_rate(trainer: Callable[..., Trainer]) -> None:
    class Failing(OneWeight):
        def training_step(self, batch: Any, batch_idx: int) -> Tensor:
            raise ArithmeticError

    job = trainer(DDPScaling(2))
    with pytest.raises(ArithmeticError):
        job.fit(Failing(lambda parameters: torch.optim.SGD(parameters, lr=0.5)), datamodule=Numbers())
    assert job.optimizers[0].param_groups[0]["lr"] == 0.5


def test_what_cannot_work_is_refused(trainer: Callable[..., Trainer]) -> None:
    with pytest.raises(ValueError, match="rule='cube' is not offered"):
        DDPScaling(32, rule="cube")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="reference_batch_size=0 is too small"):
        DDPScaling(0)
    job = trainer(DDPScaling(32, global_batch_size=9), accumulate_grad_batches=2)
    with pytest.raises(ValueError, match="does not divide by 1 processes x 2 accumulated"):
        job.fit(OneWeight(lambda parameters: torch.optim.SGD(parameters, lr=0.5)), datamodule=Numbers())
