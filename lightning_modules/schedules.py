"""Learning rate schedules of papers that PyTorch has no class for."""

from bisect import bisect_right
from collections.abc import Sequence

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR


class ConstantWarmupMultiStepLR(LambdaLR):
    """A low constant rate at first, then the optimizer's own, reduced at each milestone.

    ResNet-110 needs it (He et al. 2015, §4.2): a tenth of the rate until the training error has fallen to 80 %, which
    took the authors some 400 updates. A number of updates stands here in the place of the error.

    Args:
        optimizer: The optimizer.
        warmup_steps: Calls of `step()` during which the rate is low.
        warmup_factor: What the optimizer's rate is multiplied with meanwhile.
        milestones: Calls after which the rate is reduced, in rising order.
        gamma: What it is multiplied with at each.

    Raises:
        ValueError: The milestones do not rise, or the first lies within the warm-up.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        warmup_steps: int,
        warmup_factor: float,
        milestones: Sequence[int],
        gamma: float = 0.1,
    ) -> None:
        if [*milestones] != sorted(milestones) or any(milestone < warmup_steps for milestone in milestones):
            raise ValueError(f"milestones {[*milestones]} must rise, and lie behind warmup_steps={warmup_steps}.")
        super().__init__(
            optimizer,
            lambda step: warmup_factor if step < warmup_steps else gamma ** bisect_right(milestones, step),
        )
