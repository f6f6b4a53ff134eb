"""The rate of a schedule after so many steps is the paper's."""

import pytest
import torch
from torch import nn
from torch.optim import SGD

from lightning_modules.schedules import ConstantWarmupMultiStepLR


def rates(steps: int, scheduler: ConstantWarmupMultiStepLR) -> list[float]:
    """Rate of each of so many steps."""
    found = []
    for _ in range(steps):
        found.append(scheduler.optimizer.param_groups[0]["lr"])
        scheduler.optimizer.step()
        scheduler.step()
    return found


def schedule(milestones: tuple[int, ...] = (5, 8)) -> ConstantWarmupMultiStepLR:
    optimizer = SGD([nn.Parameter(torch.zeros(1))], lr=0.1)
    return ConstantWarmupMultiStepLR(optimizer, warmup_steps=2, warmup_factor=0.1, milestones=milestones)


def test_the_rate_is_low_at_first_and_falls_at_each_milestone() -> None:
    expected = [0.01, 0.01, 0.1, 0.1, 0.1, 0.01, 0.01, 0.01, 0.001, 0.001]
    assert rates(10, schedule()) == pytest.approx(expected)


def test_a_resumed_schedule_goes_on() -> None:
    whole, half, resumed = schedule(), schedule(), schedule()
    expected = rates(10, whole)
    first = rates(4, half)
    resumed.load_state_dict(half.state_dict())
    resumed.optimizer.load_state_dict(half.optimizer.state_dict())
    assert first + rates(6, resumed) == pytest.approx(expected)


@pytest.mark.parametrize("milestones", [(8, 5), (1, 8)])
def test_milestones_that_do_not_rise_from_the_warm_up_are_refused(milestones: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="must rise, and lie behind warmup_steps=2"):
        schedule(milestones)
