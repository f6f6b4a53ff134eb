"""Schedules against the formulas of the released codes."""

import pytest
import torch
from torch import nn
from torch.optim import SGD, Adam

from lightning_modules.gan.schedules import ConstantThenLinear, DecayWithRisingMomentum


def optimizer() -> SGD:
    return SGD([nn.Parameter(torch.zeros(1))], lr=0.1, momentum=0.5)


def test_a_rate_that_stays_and_then_falls() -> None:
    sgd = optimizer()
    schedule = ConstantThenLinear(sgd, constant_updates=2, total_updates=6)
    rates = []
    for _ in range(8):
        rates.append(sgd.param_groups[0]["lr"])
        sgd.step()
        schedule.step()
    assert rates == pytest.approx([0.1, 0.1, 0.1, 0.075, 0.05, 0.025, 0, 0])


def test_a_rate_that_falls_while_the_momentum_rises() -> None:
    sgd = optimizer()
    schedule = DecayWithRisingMomentum(sgd, decay_factor=2, min_lr=0.02, momentum_updates=4)
    seen = []
    for _ in range(6):
        seen.append((sgd.param_groups[0]["lr"], sgd.param_groups[0]["momentum"]))
        sgd.step()
        schedule.step()
    assert [rate for rate, _ in seen] == pytest.approx([0.1, 0.05, 0.025, 0.02, 0.02, 0.02])
    assert [momentum for _, momentum in seen] == pytest.approx([0.5, 0.55, 0.6, 0.65, 0.7, 0.7])


def test_a_schedule_goes_on_where_it_was() -> None:
    for make in (
        lambda sgd: ConstantThenLinear(sgd, 2, 9),
        lambda sgd: DecayWithRisingMomentum(sgd, 1.5, momentum_updates=9),
    ):
        ahead, resumed = optimizer(), optimizer()
        one, other = make(ahead), make(resumed)
        for update in range(6):
            if update == 3:
                resumed.load_state_dict(ahead.state_dict())
                other.load_state_dict(one.state_dict())
            ahead.step()
            one.step()
            if update >= 3:
                resumed.step()
                other.step()
        assert resumed.param_groups[0] == ahead.param_groups[0]


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="constant_updates must be at least 0 and below total_updates, not 5 of 5"):
        ConstantThenLinear(optimizer(), 5, 5)
    with pytest.raises(ValueError, match="needs an optimizer with momentum, such as SGD"):
        DecayWithRisingMomentum(Adam([nn.Parameter(torch.zeros(1))]))
    with pytest.raises(ValueError, match="must be at least 1"):
        DecayWithRisingMomentum(optimizer(), decay_factor=0.5)
