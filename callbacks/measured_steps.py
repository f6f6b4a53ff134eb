"""On which steps a callback measures, of which network, and where the numbers go: what callbacks share."""

from collections.abc import Iterable, Mapping

import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor

from lightning_modules.classifier import ImageClassifier


def steps_between(every_n_steps: int | None, log_every_n_steps: int, callback: str) -> int:
    """Steps between two measurements: as asked for, or as often as the Trainer logs.

    Raises:
        ValueError: It is less than one.
    """
    if every_n_steps is not None and every_n_steps < 1:
        raise ValueError(f"{callback}.every_n_steps must be at least 1, or null for trainer.log_every_n_steps.")
    return every_n_steps or max(1, log_every_n_steps)


def is_due(trainer: Trainer, every: int) -> bool:
    """Whether the Trainer is in the last batch before an update, and that update is one to be measured."""
    batches = trainer.fit_loop.epoch_loop.batch_progress.current.ready
    last = trainer.is_last_batch or batches >= trainer.num_training_batches
    updates = batches % trainer.accumulate_grad_batches == 0 or (
        last and not trainer.strategy.handles_gradient_accumulation
    )
    return updates and (trainer.global_step + 1) % every == 0


def log_at_this_step(trainer: Trainer, values: Mapping[str, float]) -> None:
    """Give numbers to the loggers once, at the step of the update that is under way.

    What a module logs, Lightning gives to the loggers again and again until the end of the epoch.
    """
    if values:
        trainer.callback_metrics.update({name: torch.tensor(value) for name, value in values.items()})
        for logger in trainer.loggers:
            logger.log_metrics(dict(values), step=trainer.global_step)


def alert(trainer: Trainer, title: str, text: str) -> None:
    """Have the loggers tell the user of something, if they can."""
    for logger in trainer.loggers:
        if callable(send := getattr(logger, "alert", None)):
            send(title, text)


def evaluated_split(trainer: Trainer) -> str:
    """The split that is evaluated, as the names of metrics begin: val or test."""
    return "test" if trainer.testing else "val"


def log_evaluation(trainer: Trainer, module: LightningModule, values: Mapping[str, float]) -> None:
    """Log numbers of a whole evaluation, which are the same on all ranks, as those of its split."""
    for name, value in values.items():
        # The maximum of equal values is that value, to the bit.
        module.log(f"{evaluated_split(trainer)}/{name}", value, sync_dist=True, reduce_fx="max")


def on_one_device(values: Iterable[Tensor]) -> Tensor:
    """Tensors of one shape as one in float32; AlexNetPair has its layers on two devices."""
    listed = list(values)
    return torch.stack([value.float().to(listed[0].device) for value in listed])


def image_classifier(module: LightningModule, callback: str) -> ImageClassifier:
    """The module, if it keeps the contract of ImageClassifier.

    Raises:
        ValueError: It does not.
    """
    if isinstance(module, ImageClassifier):
        return module
    raise ValueError(
        f"{callback} looks into an ImageClassifier, which {type(module).__name__} is not: leave the callback out."
    )
