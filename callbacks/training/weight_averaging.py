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
        kind: mean: of all steps from start on; exponential: the newest count most.
        decay: Part of the old average that an exponential one keeps at each update; at first less, min(decay,
            (1 + updates) / (10 + updates)), as in TensorFlow's ExponentialMovingAverage.
        start: Epochs, or steps, without averaging.
        unit: What start counts.
        every_n_steps: Steps between two updates of the average.

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
        self._swapped = False
        super().__init__(
            use_buffers=True,
            avg_fn=lambda average, current, count: averaged(average, current, int(count), self.decay),
        )

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Refuse what is more than one network, then make the copy.

        Raises:
            ValueError: The module has several optimizers, of which each has its own steps.
        """
        if not pl_module.automatic_optimization:
            raise ValueError(
                f"PolyakAveraging averages one network, {type(pl_module).__name__} has two: use model.ema_decay for "
                "the generator's mean."
            )
        super().setup(trainer, pl_module, stage)

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Note the epoch, which `should_update` is not told."""
        self._epoch = trainer.fit_loop.epoch_progress.current.processed  # type: ignore[attr-defined]

    def should_update(self, step_idx: int | None = None, epoch_idx: int | None = None) -> bool:
        """Whether the weights after this step, counted from 0, enter the average."""
        if step_idx is None or (step_idx + 1) % self.every_n_steps:
            return False
        return (self._epoch if self.unit == "epoch" else step_idx) >= self.start

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Bring the trained weights back if a validation had the averages."""
        if self._swapped:
            self._swap_models(pl_module)

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Save both networks; until there is an average, the trained one in its place."""
        if self._average_model is not None and not self._has_average():
            self._average_model.module.load_state_dict(checkpoint["state_dict"])
        super().on_save_checkpoint(trainer, pl_module, checkpoint)

    def _has_average(self) -> bool:
        return self._average_model is not None and bool(self._average_model.n_averaged > 0)

    def _swap_models(self, pl_module: LightningModule) -> None:
        if self._has_average():
            super()._swap_models(pl_module)
            self._swapped = not self._swapped

    def _copy_average_to_current(self, pl_module: LightningModule) -> None:
        if self._has_average():
            super()._copy_average_to_current(pl_module)
