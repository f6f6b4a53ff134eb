"""The rates of parameter groups keep their factors under every schedule, held against torch's own on one group."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning.pytorch.cli
import pytest
import torch
import yaml
from lightning.pytorch import Callback, LightningDataModule, LightningModule, Trainer
from torch import Tensor, nn
from torch.optim import SGD, Adam, Optimizer, lr_scheduler
from torch.optim.swa_utils import SWALR

from callbacks import DDPScaling
from lightning_modules import AlexNet
from lightning_modules.classifier import ImageClassifier
from tests.callbacks.tiny_runs import Batch

STEPS = 14


class TwoLayers(ImageClassifier):
    architecture = "TwoLayers"

    def __init__(self, head_scale: float = 0.1, **training: Any) -> None:
        super().__init__(num_classes=3, in_channels=1, image_size=2, **training)
        self.body = nn.Linear(4, 5)
        self.head = nn.Linear(5, 3)
        self.lr_scales = {"head": head_scale}

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.body(images.flatten(1)).relu())


class Half(lr_scheduler.LRScheduler):
    """A user's own, which overwrites all rates."""

    def get_lr(self) -> list[Any]:
        return [1 / 2**self.last_epoch] * len(self.base_lrs)


class FlooredStep(lr_scheduler.StepLR):
    """One that inherits from a schedule that keeps factors, and does not keep them."""

    def get_lr(self) -> list[Any]:
        return [max(rate, 0.05) for rate in super().get_lr()]


SCHEDULES: dict[str, Callable[[Optimizer], Any]] = {
    "OneCycleLR": lambda optimizer: lr_scheduler.OneCycleLR(optimizer, max_lr=0.7, total_steps=STEPS),
    "OneCycleLR in phases": lambda optimizer: lr_scheduler.OneCycleLR(optimizer, 0.7, STEPS, three_phase=True),
    "CyclicLR": lambda optimizer: lr_scheduler.CyclicLR(optimizer, 0.01, 0.5, step_size_up=3),
    "CyclicLR exponential": lambda optimizer: lr_scheduler.CyclicLR(
        optimizer, 0.01, 0.5, 2, mode="exp_range", gamma=0.9
    ),
    "CosineAnnealingLR": lambda optimizer: lr_scheduler.CosineAnnealingLR(optimizer, 9, eta_min=0.03),
    "warm restarts": lambda optimizer: lr_scheduler.CosineAnnealingWarmRestarts(optimizer, 4, eta_min=0.03),
    "SWALR": lambda optimizer: SWALR(optimizer, swa_lr=0.5, anneal_epochs=5),
    "StepLR": lambda optimizer: lr_scheduler.StepLR(optimizer, 3),
    "LinearLR": lambda optimizer: lr_scheduler.LinearLR(optimizer, 0.1, total_iters=5),
    "PolynomialLR": lambda optimizer: lr_scheduler.PolynomialLR(optimizer, 9),
    "LambdaLR": lambda optimizer: lr_scheduler.LambdaLR(optimizer, lambda step: 1 / (1 + step)),
    "one after another": lambda optimizer: lr_scheduler.SequentialLR(
        optimizer,
        [lr_scheduler.LinearLR(optimizer, 0.1, total_iters=3), lr_scheduler.CosineAnnealingLR(optimizer, 9, 0.03)],
        milestones=[3],
    ),
    "at once": lambda optimizer: lr_scheduler.ChainedScheduler(
        [lr_scheduler.ConstantLR(optimizer, 0.5, 4), lr_scheduler.CosineAnnealingLR(optimizer, 9, 0.03)]
    ),
    "a user's own": Half,
    "a user's own of a known kind": lambda optimizer: FlooredStep(optimizer, 2),
}
OPTIMIZERS: dict[str, Callable[[Any], Optimizer]] = {
    "SGD": lambda parameters: SGD(parameters, lr=0.2, momentum=0.9),
    "Adam": lambda parameters: Adam(parameters, lr=0.2),
}


def rates_of_torch(make_optimizer: Callable[[Any], Optimizer], make: Callable[[Optimizer], Any]) -> list[float]:
    """The rate of each step, of one group without a factor."""
    optimizer = make_optimizer([nn.Parameter(torch.zeros(1))])
    schedule, rates = make(optimizer), []
    for _ in range(STEPS - 1):
        rates.append(float(optimizer.param_groups[0]["lr"]))
        optimizer.step()
        schedule.step()
    return rates


def rates_by_factor(network: ImageClassifier, optimizer: Optimizer) -> dict[str, float]:
    names = {id(parameter): name for name, parameter in network.named_parameters()}
    return {names[id(one)]: float(group["lr"]) for group in optimizer.param_groups for one in group["params"]}


FACTORS = {"body.weight": 1.0, "body.bias": 2.0, "head.weight": 0.1, "head.bias": 0.2}


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_factors_are_kept_at_every_step(schedule: str, optimizer: str) -> None:
    make_optimizer, make = OPTIMIZERS[optimizer], SCHEDULES[schedule]
    network = TwoLayers(bias_lr_scale=2.0, optimizer=make_optimizer, lr_scheduler=make)
    configured = network.configure_optimizers()
    updated, stepped = configured["optimizer"], configured["lr_scheduler"]["scheduler"]
    assert stepped.optimizer is updated
    for rate in rates_of_torch(make_optimizer, make):
        rates = rates_by_factor(network, updated)
        assert rates == pytest.approx({name: factor * rate for name, factor in FACTORS.items()})
        assert list(stepped.get_last_lr()) == [group["lr"] for group in updated.param_groups]
        updated.step()
        stepped.step()


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_schedules_without_factors_are_torchs_own(schedule: str) -> None:
    network = TwoLayers(1.0, optimizer=OPTIMIZERS["SGD"], lr_scheduler=SCHEDULES[schedule])
    expected = SCHEDULES[schedule](SGD([nn.Parameter(torch.zeros(1))], lr=0.2, momentum=0.9))
    assert type(network.configure_optimizers()["lr_scheduler"]["scheduler"]) is type(expected)


@pytest.mark.parametrize("own_class", [lr_scheduler.ReduceLROnPlateau, lightning.pytorch.cli.ReduceLROnPlateau])
def test_the_least_rate_of_a_plateau_has_the_factors(own_class: Any) -> None:
    more = {} if own_class is lr_scheduler.ReduceLROnPlateau else {"monitor": "val/loss"}
    network = TwoLayers(
        bias_lr_scale=2.0,
        optimizer=OPTIMIZERS["SGD"],
        lr_scheduler=lambda optimizer: own_class(optimizer, **more, factor=0.1, patience=0, min_lr=0.01),
    )
    configured = network.configure_optimizers()
    schedule = configured["lr_scheduler"]["scheduler"]
    assert isinstance(schedule, lr_scheduler.ReduceLROnPlateau)
    for rate in (0.2, 0.2, 0.02, 0.01, 0.01):
        found = rates_by_factor(network, configured["optimizer"])
        assert found == pytest.approx({name: factor * rate for name, factor in FACTORS.items()})
        schedule.step(1.0)


@pytest.mark.parametrize("schedule", [*SCHEDULES, "none", "plateau"])
def test_a_fixed_rate_of_biases_is_what_no_schedule_changes(schedule: str) -> None:
    more = {
        "none": None,
        "plateau": lambda optimizer: lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.1, patience=0),
    }
    network = TwoLayers(1.0, bias_lr=0.02, optimizer=OPTIMIZERS["SGD"], lr_scheduler=(SCHEDULES | more)[schedule])
    configured = network.configure_optimizers()
    optimizer = configured["optimizer"] if schedule != "none" else configured
    for _ in range(5):
        rates = rates_by_factor(network, optimizer)
        assert (rates["body.bias"], rates["head.bias"]) == (0.02, 0.02)
        optimizer.step()
        if schedule != "none":
            configured["lr_scheduler"]["scheduler"].step(*([1.0] if schedule == "plateau" else []))
    assert rates["body.weight"] == rates["head.weight"] != 0.02


def test_two_rules_for_biases_are_refused() -> None:
    with pytest.raises(ValueError, match="both set the rate of biases: leave one of them out"):
        TwoLayers(bias_lr=0.02, bias_lr_scale=2.0)


def test_the_biases_of_alexnets_authors_keep_their_rate() -> None:
    """layers/layer-params-145.cfg: epsW ends at 1e-5, epsB is 0.02 as in the beginning."""
    text = (Path(__file__).parents[2] / "configs/model/alexnet_authors2012.yaml").read_text()
    options = yaml.safe_load(text)["model"]["init_args"]
    schedule = options["lr_scheduler"]["init_args"]
    network = AlexNet(
        "authors2012",
        stem="small",
        fc_width=8,
        bias_lr=options["bias_lr"],
        optimizer=lambda groups: SGD(groups, **options["optimizer"]["init_args"]),
        lr_scheduler=lambda optimizer: lr_scheduler.MultiStepLR(optimizer, **schedule),
    )
    configured = network.configure_optimizers()
    for _ in range(80):
        configured["optimizer"].step()
        configured["lr_scheduler"]["scheduler"].step()
    rates = rates_by_factor(network, configured["optimizer"])
    assert len(rates) == 16
    for name, rate in rates.items():
        assert rate == pytest.approx(0.02 if name.endswith("bias") else 1e-5)
    decay = {group["weight_decay"] for group in configured["optimizer"].param_groups if "fixed_lr" in group}
    assert decay == {0.0}
    assert not re.search(r"bias_lr_scale", text)


def trained(tmp_path: Path, batches: int, *callbacks: Any, ckpt_path: Path | None = None) -> tuple[Any, list[Any]]:
    """Rates of each update, as the optimizer applied them."""
    torch.manual_seed(0)
    network = TwoLayers(
        bias_lr_scale=2.0,
        optimizer=OPTIMIZERS["SGD"],
        lr_scheduler=SCHEDULES["OneCycleLR"],
        lr_scheduler_interval="step",
    )
    applied: list[Any] = []

    class Watch(Callback):
        def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
            (optimizer,) = trainer.optimizers
            optimizer.register_step_pre_hook(lambda *_: applied.append(rates_by_factor(network, optimizer)))

    images = torch.randn(4, 1, 2, 2, generator=torch.Generator().manual_seed(1))
    data = [Batch(images, torch.arange(4) % 3, torch.arange(4))] * 99

    class Data(LightningDataModule):
        batch_size = 4

        def train_dataloader(self) -> Any:
            return torch.utils.data.DataLoader(data, batch_size=None)  # type: ignore[arg-type]

    trainer = Trainer(
        max_steps=batches,
        callbacks=[*callbacks, Watch()],
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        default_root_dir=tmp_path,
    )
    trainer.fit(network, datamodule=Data(), ckpt_path=ckpt_path)
    return trainer, applied


def test_ddp_scaling_multiplies_what_the_schedule_declares(tmp_path: Path) -> None:
    _, applied = trained(tmp_path, STEPS - 1, DDPScaling(2, warmup_epochs=0))  # twice the recipe's batch
    expected = rates_of_torch(OPTIMIZERS["SGD"], SCHEDULES["OneCycleLR"])
    assert len(applied) == len(expected)
    for found, rate in zip(applied, expected, strict=True):
        assert found == pytest.approx({name: 2 * factor * rate for name, factor in FACTORS.items()})


def test_a_resumed_run_goes_on_with_the_same_rates_and_weights(tmp_path: Path) -> None:
    whole, expected = trained(tmp_path, 10)
    first, rates = trained(tmp_path, 4)
    first.save_checkpoint(tmp_path / "w.ckpt")
    second, more = trained(tmp_path, 10, ckpt_path=tmp_path / "w.ckpt")
    assert rates + more == expected
    for name, value in whole.model.state_dict().items():
        assert torch.equal(value, second.model.state_dict()[name])
