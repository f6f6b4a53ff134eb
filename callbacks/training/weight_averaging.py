"""A network of averaged weights beside the one that is trained, for evaluation and for use.

GoogLeNet (Szegedy et al. 2014, §6): "Polyak averaging was used to create the final model used at inference time",
without a word of which steps. Polyak and Juditsky 1992 (Acceleration of Stochastic Approximation by Averaging) take
the mean of all iterates; here, of those from `start` on. An exponential average forgets the early ones instead; with
one, Inception v3 is evaluated (Szegedy et al. 2015, Rethinking the Inception Architecture, §8).

Lightning's WeightAveraging does the work. Differences, each tested:
    - Before the first average, evaluation, checkpoints and the end of the training have the trained weights; Lightning
      puts the initial ones in their place until its first update.
    - Only floating-point values are averaged. The mean of a counter, such as that of BatchNorm's batches, has no
      meaning; the newest is taken.
    - If an error interrupts a validation, the trained weights come back first.
"""

from typing import Any, Literal

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import WeightAveraging
from torch import Tensor


def averaged(average: Tensor, current: Tensor, count: int, decay: float | None) -> Tensor:
    """The next average of one tensor.

    Args:
        average: Average of `count` tensors, shape as `current`.
        current: The next one.
        count: How many are in the average.
        decay: Part of the old average in an exponential one; None for the mean of all.
    """
    if not current.is_floating_point():
        return current
    share = 1 / (count + 1) if decay is None else 1 - min(decay, (1 + count) / (10 + count))
    return torch.lerp(average, current.to(average.dtype), share)  # with bf16-true, the average alone is float32


class PolyakAveraging(WeightAveraging):
    """Averages the weights over the steps; validation, test and the files in checkpoints have the averages.

    A checkpoint holds both: `state_dict` is the average, `current_model_state` what training goes on with. The running
    means and variances of batch normalization are averaged like weights: near enough to those of the averaged network
    while the rate is small, but not the same (Izmailov et al. 2018, Averaging Weights Leads to Wider Optima, §3.2,
    pass the training set through the network once more).

    Args:
        kind: Kind of average. mean: over all steps from start on; exponential: the newest steps count most.
        decay: Share of the old average that an exponential one keeps at each update; at first less: min(decay, (1 +
            updates) / (10 + updates)), as in TensorFlow's ExponentialMovingAverage.
        start: Number of epochs or steps before the first weights enter the average.
        unit: Unit of start: epoch or step.
        every_n_steps: Number of steps between two updates of the average.

    Raises:
        ValueError: An argument is out of its range; in `setup`: the module is one of several networks.
    """

    def __init__(
        self,
        kind: Literal["mean", "exponential"] = "mean",
        decay: float = 0.999,
        start: int = 0,
        unit: Literal["epoch", "step"] = "epoch",
        every_n_steps: int = 1,
    ) -> None:
        if not 0 < decay < 1:
            raise ValueError(f"PolyakAveraging.decay must lie between 0 and 1, such as 0.999: {decay} does not.")
        if start < 0 or every_n_steps < 1:
            raise ValueError("PolyakAveraging.start must be at least 0, and every_n_steps at least 1.")
        self.decay = decay if kind == "exponential" else None
        self.start = start
        self.unit = unit
        self.every_n_steps = every_n_steps
        self._epoch = 0
        self._has_average = False
        self._swapped = False
        super().__init__(
            use_buffers=True,
            avg_fn=lambda average, current, count: averaged(average, current, int(count), self.decay),
        )

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Refuse what is more than one network, whose optimizers have steps of their own, then make the copy."""
        if not pl_module.automatic_optimization:
            raise ValueError(
                f"PolyakAveraging averages one network, {type(pl_module).__name__} has two: use model.ema_decay for "
                "the generator's mean."
            )
        super().setup(trainer, pl_module, stage)
        if stage == "fit":
            self._has_average = self._swapped = False

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Note the epoch, which `should_update` is not told."""
        self._epoch = trainer.fit_loop.epoch_progress.current.processed  # type: ignore[attr-defined]

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Update the average if it is its turn, and note that there is one."""
        super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)
        if trainer.global_step and self.should_update(step_idx=trainer.global_step - 1):
            self._has_average = True

    def should_update(self, step_idx: int | None = None, epoch_idx: int | None = None) -> bool:
        """Whether the weights after this step, counted from 0, enter the average."""
        if step_idx is None or (step_idx + 1) % self.every_n_steps:
            return False
        return (self._epoch if self.unit == "epoch" else step_idx) >= self.start

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Put the averages in the place of the trained weights, once there are any."""
        if self._has_average:
            super().on_validation_epoch_start(trainer, pl_module)
            self._swapped = True

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Bring the trained weights back."""
        if self._swapped:
            super().on_validation_epoch_end(trainer, pl_module)
            self._swapped = False

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Leave the averages in the network, if there are any."""
        if self._has_average:
            super().on_train_end(trainer, pl_module)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Bring the trained weights back if a validation had the averages."""
        self.on_validation_epoch_end(trainer, pl_module)

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Save both networks; until there is an average, the trained one in its place."""
        super().on_save_checkpoint(trainer, pl_module, checkpoint)
        if not self._has_average and "current_model_state" in checkpoint:
            average = checkpoint["state_dict"]  # in float32 where the network is in bf16
            trained = checkpoint["current_model_state"].items()
            checkpoint["state_dict"] = {name: value.to(average[name].dtype) for name, value in trained}

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Go on with both networks."""
        super().on_load_checkpoint(trainer, pl_module, checkpoint)
        self._has_average = bool(checkpoint.get("averaging_state", {}).get("n_averaged", 0) > 0)
