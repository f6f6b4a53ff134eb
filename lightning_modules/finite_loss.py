"""Ends a run before the update that a loss of NaN or infinity would make."""

import math

import torch
from lightning.pytorch import LightningModule
from torch import Tensor
from torch.optim import Optimizer

from lightning_modules.logged_steps import is_logged_step

LOOKED_AT_IN_EACH_STEP = ("cpu", "mps")
"""Types of devices of which a number is at hand, or whose optimizers cannot leave an update out by themselves."""


class NonFiniteLossError(ArithmeticError):
    """The loss became NaN or infinite; raised before the update, so the weights are still those of the last step."""


class FiniteLoss:
    """Looks at the loss of each step, without the host waiting for a GPU in steps that are not logged.

    On a GPU the first loss that is not finite is kept there, with its step. From then on the fused kernel of the
    optimizer leaves out every update, for it reads on the device whether it should, as for a gradient scaler. The host
    asks when a step is logged and before anything is saved, and finds the weights as they were before that step. An
    optimizer without such a kernel has its loss looked at in each step.
    """

    def __init__(self) -> None:
        self._first: Tensor | None = None  # on the device: 1 if one was found, its step, its value

    def check(self, loss: Tensor, module: LightningModule, optimizer: Optimizer | None) -> None:
        """Look at the loss () of a step before its update by `optimizer`, or have the device do so.

        Without an optimizer, as in a loop by hand, the host looks.

        Raises:
            NonFiniteLossError: It, or one before it, is NaN or infinite; no weight was updated since.
        """
        loss, step = loss.detach(), module.global_step
        by_host = loss.device.type in LOOKED_AT_IN_EACH_STEP
        if by_host or optimizer is None or not all(group.get("fused") for group in optimizer.param_groups):
            if not loss.isfinite():
                raise _error(loss.item(), step, module)
            return
        loss = loss.double()
        wrong = (~loss.isfinite()).float()
        if module.trainer.world_size > 1:  # the gradients of all ranks are not finite if those of one are not
            wrong = torch.as_tensor(module.trainer.strategy.reduce(wrong, reduce_op="max"))
        if self._first is None:
            self._first = torch.zeros(3, dtype=loss.dtype, device=loss.device)
        this = torch.stack([wrong.to(loss.dtype), torch.full_like(loss, step), loss])
        self._first = torch.where(self._first[0] > 0, self._first, this)
        optimizer.found_inf = self._first[0].float()  # type: ignore[attr-defined]
        if is_logged_step(module.trainer):
            self.ask(module)

    def ask(self, module: LightningModule) -> None:
        """Wait for the device and ask it what it has found.

        Raises:
            NonFiniteLossError: A loss that is NaN or infinite, after which no weight was updated.
        """
        if self._first is not None:
            found, step, value = self._first.tolist()
            if found:
                raise _error(value, int(step), module)


def _error(value: float, step: int, module: LightningModule) -> NonFiniteLossError:
    found = "not finite on another rank" if math.isfinite(value) else value
    return NonFiniteLossError(
        f"The training loss is {found} at step {step} of epoch {module.current_epoch} (rank {module.global_rank}); the "
        "weights were not updated: lower the learning rate or use more precision, then resume from the last checkpoint."
    )
