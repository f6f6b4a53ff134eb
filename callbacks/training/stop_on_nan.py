"""Ends a run whose gradients or whose validation loss are no longer finite, before either does damage.

A training loss that is NaN or infinite ends every run before its update (ImageClassifier.training_step). This adds what
that cannot see: a backward pass that overflows though the loss is finite, whose update would make every weight NaN; and
a network that answers NaN only in evaluation, as one does whose running variances have overflowed.
"""

import math

from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor, nn
from torch.optim import Optimizer

from lightning_modules.classifier import NonFiniteLossError

NAMED = 3


class NonFiniteGradientError(NonFiniteLossError):
    """A gradient became NaN or infinite; raised before the update, so the weights are still those of the last step."""


class NonFiniteValidationError(NonFiniteLossError):
    """The validation loss became NaN or infinite; raised before a checkpoint is chosen by it."""


def not_finite(gradients: dict[str, Tensor]) -> list[str]:
    """Names of the gradients that hold NaN or infinity. The host waits for the device once if there are none."""
    if not gradients:
        return []
    if bool(nn.utils.get_total_norm(gradients.values(), math.inf).isfinite()):
        return []
    return [name for name, gradient in gradients.items() if not bool(gradient.isfinite().all())]


class StopOnNaN(Callback):
    """Ends the run, with one line and exit code 1, when gradients or the validation loss are NaN or infinite.

    With 16-mixed, the loss scale is too high now and then, and Lightning leaves out that update: only `patience` of
    them in a row end the run. In any other precision, the first does.

    Args:
        patience: Number of updates in a row that the precision 16-mixed may leave out, halving its scale with each.

    Raises:
        ValueError: patience is less than 1.
    """

    def __init__(self, patience: int = 20) -> None:
        if patience < 1:
            raise ValueError(f"StopOnNaN.patience must be at least 1, not {patience}.")
        self.patience = patience
        self.left_out = 0

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer) -> None:
        """Check the gradients; under DDP, they are those of all ranks, so that all ranks stop together.

        Raises:
            NonFiniteGradientError: They are not finite.
        """
        gradients = {name: value.grad for name, value in pl_module.named_parameters() if value.grad is not None}
        names = not_finite(gradients)
        self.left_out = self.left_out + 1 if names else 0
        scaled = getattr(trainer.precision_plugin, "scaler", None) is not None
        if self.left_out >= (self.patience if scaled else 1):
            more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
            repeated = f" for {self.left_out} steps in a row" if scaled else ""
            raise NonFiniteGradientError(
                f"The gradients of {', '.join(names[:NAMED])}{more} are not finite{repeated} at step "
                f"{trainer.global_step} of epoch {trainer.current_epoch}, though the loss is; the weights were not "
                "updated: lower the learning rate or use more precision, then resume from the last checkpoint."
            )

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Check the validation loss, before a checkpoint is saved.

        Raises:
            NonFiniteValidationError: It is not finite.
        """
        loss = trainer.callback_metrics.get("val/loss")
        if loss is not None and not trainer.sanity_checking and not bool(loss.isfinite()):
            raise NonFiniteValidationError(
                f"The validation loss is {loss.item()} after step {trainer.global_step}, though the training loss is "
                "finite: look at the running variances and the largest weights, then resume from an earlier checkpoint."
            )

    def state_dict(self) -> dict[str, int]:
        """Updates left out in a row."""
        return {"left_out": self.left_out}

    def load_state_dict(self, state_dict: dict[str, int]) -> None:
        """Go on counting."""
        self.left_out = state_dict["left_out"]
