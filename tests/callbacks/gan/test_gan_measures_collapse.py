"""The alarm names what it saw, once, and stays quiet where nothing is wrong."""

import math
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn

from callbacks.gan.collapse_alarm import Check, CollapseAlarm
from tests.callbacks.tiny_runs import Batch, NoClassifier, fit

WELL = Check(0, diversity=0.5, real_diversity=0.6, loss=1.3, accuracy_real=0.6, accuracy_fake=0.7)


def test_the_rule_names_what_it_saw() -> None:
    rule = CollapseAlarm(checks=3)
    assert rule.collapses([WELL] * 3) == []
    alike = WELL._replace(diversity=0.06)
    assert rule.collapses([alike] * 2) == []
    assert rule.collapses([alike, WELL, alike, alike]) == []
    assert rule.collapses([WELL, alike, alike, alike]) == [
        "the samples differ by 0.06 from each other, 10% of what real images do (0.6; alarm below 30%)"
    ]
    assert rule.collapses([WELL._replace(loss=-1e-4)] * 3) == ["the discriminator's loss is -0.0001 (alarm below 0.01)"]
    right = WELL._replace(accuracy_real=1.0, accuracy_fake=0.9995)
    assert rule.collapses([right] * 3) == [
        "the discriminator is right on 100.0% of real and 100.0% of fake images (alarm from 99.9%)"
    ]
    assert rule.collapses([WELL._replace(accuracy_real=1.0)] * 3) == []  # it says real to all
    assert len(rule.collapses([right._replace(diversity=0.0, loss=0.0)] * 3)) == 3
    assert rule.collapses([Check(0)] * 3) == []  # nothing is known


def test_a_rule_without_meaning_is_refused() -> None:
    with pytest.raises(ValueError, match="checks must be at least 1"):
        CollapseAlarm(checks=0)
    with pytest.raises(ValueError, match="diversity_share must lie between 0 and 1: 30"):
        CollapseAlarm(diversity_share=30)
    with pytest.raises(ValueError, match="samples must be at least 2"):
        CollapseAlarm(samples=1)


class Generator(LightningModule):
    """Samples that are alike from some step on, and a discriminator that has won."""

    def __init__(self, alike_from: int, loss: float = 1.0) -> None:
        super().__init__()
        self.alike_from, self.loss_value = alike_from, loss
        self.weight = nn.Parameter(torch.zeros(1))

    def sample(self, count: int, labels: Tensor | None = None, *, seed: int = 0) -> Tensor:
        images = torch.rand(count, 3, 8, 8, generator=torch.Generator().manual_seed(seed)) * 2 - 1
        return images[:1].expand(count, -1, -1, -1) if self.global_step >= self.alike_from else images

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        self.log("train/loss_discriminator", self.loss_value)
        self.log("train/accuracy_real", 0.5)
        self.log("train/accuracy_fake", 0.5)
        return self.weight.sum()

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def alarm(**options: Any) -> CollapseAlarm:
    return CollapseAlarm(**{"every_n_steps": 1, "checks": 2, "skip_steps": 0, **options})


def test_a_collapse_is_told_once_and_can_end_the_run(tmp_path: Path) -> None:
    callback = alarm()
    with pytest.warns(UserWarning, match="has collapsed, by 2 checks until step 4: the samples differ by .* goes on"):
        trainer, rows = fit(Generator(3), callback, folder=tmp_path)
    assert trainer.global_step == 8
    assert rows.values("train/diversity")[0] == pytest.approx(math.sqrt(1 / 6), rel=0.05)  # of uniform noise
    assert rows.values("train/diversity")[-1] == pytest.approx(0, abs=1e-6)
    with pytest.warns(UserWarning, match="the discriminator's loss is 0.001 .*; the training ends here"):
        trainer, _ = fit(Generator(99, loss=0.001), alarm(stop=True), folder=tmp_path)
    assert trainer.global_step == 2


def test_a_healthy_run_and_the_first_steps_are_left_alone(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*collapsed")
        fit(Generator(99), alarm(), folder=tmp_path)
        fit(Generator(0), alarm(skip_steps=7), folder=tmp_path)
        critic = Generator(99, loss=0.0)
        critic.hparams["objective"] = "wasserstein"
        fit(critic, alarm(), folder=tmp_path)


def test_checks_go_on_in_a_resumed_run() -> None:
    callback, resumed = alarm(), alarm()
    callback.history, callback.has_warned = [WELL, WELL._replace(step=9, loss=None)], True
    resumed.load_state_dict(callback.state_dict())
    assert (resumed.history, resumed.has_warned) == (callback.history, True)


def test_a_module_without_samples_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="NoClassifier has no method sample: leave the callback out"):
        fit(NoClassifier(), alarm(), folder=tmp_path)
