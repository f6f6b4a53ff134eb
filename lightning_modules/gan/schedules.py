"""Schedules of the papers that PyTorch has not; each counts the updates of its optimizer."""

from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler


class ConstantThenLinear(LambdaLR):
    """The rate stays, then falls in a line to 0 (openai/improved-gan, train_cifar_feature_matching.py).

    Args:
        optimizer: Whose rate it is.
        constant_updates: Updates before it begins to fall.
        total_updates: Updates until it is 0.

    Raises:
        ValueError: It would not fall.
    """

    def __init__(self, optimizer: Optimizer, constant_updates: int, total_updates: int) -> None:
        if not 0 <= constant_updates < total_updates:
            raise ValueError(
                f"constant_updates must be at least 0 and below total_updates, not {constant_updates} of "
                f"{total_updates}."
            )
        falling = total_updates - constant_updates
        super().__init__(optimizer, lambda update: max(0.0, min(1.0, (total_updates - update) / falling)))


class DecayWithRisingMomentum(LRScheduler):
    """The rate falls by a factor at each update, the momentum rises in a line (goodfeli/adversarial, mnist.yaml).

    Args:
        optimizer: Whose rate and momentum they are.
        decay_factor: What the rate is divided by.
        min_lr: What it does not fall below.
        final_momentum: Where the momentum ends.
        momentum_updates: Updates until it does.

    Raises:
        ValueError: The optimizer has no momentum, or an argument is out of its range.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        decay_factor: float = 1.000004,
        min_lr: float = 1e-6,
        final_momentum: float = 0.7,
        momentum_updates: int = 125_000,
    ) -> None:
        if decay_factor < 1 or momentum_updates < 1 or not 0 <= final_momentum < 1:
            raise ValueError(
                "decay_factor and momentum_updates must be at least 1, and final_momentum at least 0 and below 1."
            )
        if any("momentum" not in group for group in optimizer.param_groups):
            raise ValueError("DecayWithRisingMomentum needs an optimizer with momentum, such as SGD.")
        self.decay_factor = decay_factor
        self.min_lr = min_lr
        self.final_momentum = final_momentum
        self.momentum_updates = momentum_updates
        for group in optimizer.param_groups:
            group.setdefault("initial_momentum", group["momentum"])
        super().__init__(optimizer)

    def get_lr(self) -> list[Any]:
        """Rates of the parameter groups after `last_epoch` updates; sets their momentum, too."""
        part = min(1.0, self.last_epoch / self.momentum_updates)
        for group in self.optimizer.param_groups:
            group["momentum"] = (1 - part) * group["initial_momentum"] + part * self.final_momentum
        return [max(self.min_lr, rate / self.decay_factor**self.last_epoch) for rate in self.base_lrs]
