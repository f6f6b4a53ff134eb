"""Ends a run whose weights, losses or gradients are no longer finite, before they replace or choose a checkpoint.

A training loss that is NaN or infinite ends every run before its update (ImageClassifier.training_step). This adds what
that cannot see: an update that made weights NaN; a network that answers NaN only in evaluation, as one does whose
running variances have overflowed; and, in each step, a backward pass that overflows though the loss is finite.
"""

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor, nn
from torch.optim import Optimizer

from lightning_modules.classifier import NonFiniteLossError

NAMED = 3
LIKE_LOSSES = ("loss", "distance_from_equilibrium")
"""Words in the names of metrics that are finite in a sound run."""


class NonFiniteGradientError(NonFiniteLossError):
    """A gradient became NaN or infinite; raised before the update, so the weights are still those of the last step."""


class NonFiniteValidationError(NonFiniteLossError):
    """The validation loss became NaN or infinite; raised before a checkpoint is chosen by it."""


class NonFiniteStateError(NonFiniteLossError):
    """Weights or the state of an optimizer became NaN or infinite; raised before they are saved."""


def not_finite(tensors: Mapping[str, Tensor]) -> list[str]:
    """Names of the tensors that hold NaN or infinity. The host waits for the device once if there are none."""
    if not tensors:
        return []
    if bool(nn.utils.get_total_norm(tensors.values(), math.inf).isfinite()):
        return []
    return [name for name, tensor in tensors.items() if not bool(tensor.isfinite().all())]


def check_state(checkpoint: Mapping[str, Any]) -> None:
    """Refuse to save a checkpoint whose weights or states of optimizers are not finite.

    Args:
        checkpoint: What is about to be saved.

    Raises:
        NonFiniteStateError: They are not.
    """
    parts = {key: checkpoint.get(key) for key in ("state_dict", "current_model_state", "optimizer_states")}
    tensors = {
        name.removeprefix("state_dict.").removeprefix("current_model_state."): tensor.detach()
        for name, tensor in _tensors(parts)
        if tensor.is_floating_point() and tensor.numel()
    }
    if names := not_finite(tensors):
        position = f"step {checkpoint.get('global_step')} of epoch {checkpoint.get('epoch')}"
        raise NonFiniteStateError(
            f"{_some(names)} {'is' if len(names) == 1 else 'are'} not finite after {position}, so nothing of it was "
            "saved: lower the learning rate or use more precision, then resume from the last checkpoint."
        )


def last_checkpoint(trainer: Trainer) -> Path | None:
    """The checkpoint that a run saved last, if that is still there."""
    named = [path for one in trainer.checkpoint_callbacks for path in (getattr(one, "best_model_path", ""),) if path]
    files = [path for path in map(Path, named) if path.is_file()]
    return max(files, key=lambda path: path.stat().st_mtime, default=None)


class KeepFinite(Callback):
    """Ends a run before weights that are not finite replace a checkpoint, and before a loss that is not chooses one.

    It is in every run of the command line. No step waits for it: the weights and the state of the optimizers are looked
    at when they are saved and at the end of the run, losses at the end of an epoch and of an evaluation.
    """

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Check the losses, before a checkpoint is chosen by them."""
        if not trainer.sanity_checking:
            self._check_losses(trainer)

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Check the losses."""
        self._check_losses(trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Check the losses of the last steps."""
        self._check_losses(trainer)

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Check what is about to be saved; on all ranks, so that all of them stop."""
        check_state(checkpoint)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Check what the last steps made, which need not be saved."""
        optimizers = [optimizer.state_dict() for optimizer in trainer.optimizers]
        position = {"epoch": trainer.current_epoch, "global_step": trainer.global_step}
        check_state({"state_dict": pl_module.state_dict(), "optimizer_states": optimizers, **position})

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Say which checkpoint is the last good one, and how the run goes on from there."""
        if not isinstance(exception, Exception) or trainer.state.fn != TrainerFn.FITTING:
            return
        last = last_checkpoint(trainer)
        if isinstance(exception, NonFiniteLossError):
            exception.add_note(f"The last good one is {last}." if last else "None was saved before.")
        elif last:
            exception.add_note(f"Go on from {last.name} with python main.py fit --resume {trainer.default_root_dir}")

    @staticmethod
    def _check_losses(trainer: Trainer) -> None:
        metrics = trainer.callback_metrics.items()
        losses = {name: value for name, value in metrics if any(word in name for word in LIKE_LOSSES)}
        wrong = [name for name, value in losses.items() if not bool(torch.as_tensor(value).isfinite())]
        if not wrong:
            return
        value = float(losses[wrong[0]])
        loss = {"val/loss": "validation loss", "test/loss": "test loss"}.get(wrong[0], wrong[0])
        if trainer.state.fn != TrainerFn.FITTING:
            raise NonFiniteValidationError(
                f"The {loss} is {value}: look at the running variances and the largest weights, or test another "
                "checkpoint."
            )
        raise NonFiniteValidationError(
            f"The {loss} is {value} after step {trainer.global_step}, though the training loss is finite: look at the "
            "running variances and the largest weights, then resume from an earlier checkpoint."
        )


class StopOnNaN(KeepFinite):
    """Ends the run, with one line and exit code 1, when gradients or the validation loss are NaN or infinite.

    The gradients are looked at in each step, for which the host waits; the rest is as in every run.

    With 16-mixed, the loss scale is too high now and then, and Lightning leaves out that update: only `patience` of
    them in a row end the run. In any other precision, the first does.

    Args:
        patience: Number of updates in a row that precision 16-mixed may skip, each time halving its loss scale.

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
            repeated = f" for {self.left_out} steps in a row" if scaled else ""
            raise NonFiniteGradientError(
                f"The gradients of {_some(names)} are not finite{repeated} at step "
                f"{trainer.global_step} of epoch {trainer.current_epoch}, though the loss is; the weights were not "
                "updated: lower the learning rate or use more precision, then resume from the last checkpoint."
            )

    def state_dict(self) -> dict[str, int]:
        """Updates left out in a row."""
        return {"left_out": self.left_out}

    def load_state_dict(self, state_dict: dict[str, int]) -> None:
        """Go on counting."""
        self.left_out = state_dict["left_out"]


def _tensors(part: Any, name: str = "") -> Iterator[tuple[str, Tensor]]:
    """All tensors of nested dictionaries and lists, by the path to them."""
    if isinstance(part, Tensor):
        yield name, part
    elif isinstance(part, Mapping):
        for key, value in part.items():
            yield from _tensors(value, f"{name}.{key}" if name else str(key))
    elif isinstance(part, list | tuple):
        for index, value in enumerate(part):
            yield from _tensors(value, f"{name}.{index}")


def _some(names: list[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more
