"""How much each auxiliary classifier counts, from step to step, and what its gradient does where it attaches.

GoogLeNet adds the losses of its auxiliary classifiers with weight 0.3 (Szegedy et al. 2014, §5). Here a weight is a
function of time, or is set so that the head's gradient keeps a given size beside the rest's where both meet:

    weight = start · ‖∇ rest‖ / (‖∇ head's loss‖ + 1e-6)

That is the adaptive weight of Esser, Rombach and Ommer 2021 (Taming Transformers for High-Resolution Image Synthesis,
eq. 7), which they compute anew at each step, for the weights of the decoder's last layer.

Departures:
    - The gradients are those of the maps that the head reads, not of weights: they come from the step's own backward
      pass. (Sener and Koltun 2018, §3.3, bound the gradients of shared weights by those of the maps in the same way.)
    - "Rest" is everything behind the head: the main loss, and later heads with their weights.
    - The ratio is measured on the steps that are logged, and averaged (0.9 of the old, 0.1 of the new).
    - GradNorm (Chen et al. 2018) learns such weights by a second optimizer and lets slower tasks have larger gradients
      (its alpha); neither is here. With alpha 0 it aims at the same equality, for start 1.
"""

import math
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils.hooks import RemovableHandle

from callbacks.measured_steps import image_classifier, is_due, log_at_this_step, steps_between
from lightning_modules.classifier import ImageClassifier

MEMORY = 0.9
DELTA = 1e-6


@dataclass(frozen=True)
class WeightSchedule:
    """Weight of one head over time, counted in epochs or in steps.

    Attributes:
        kind: Course of the weight: constant; linear or cosine, from start to end; step, multiplied by factor at each
            milestone; balance, where start is the size of the head's gradient beside the rest's.
        start: Weight at the beginning; null takes the network's own.
        end: Weight that a linear or cosine schedule comes to.
        until: Epoch or step at which a linear or cosine schedule comes to end.
        milestones: Epochs or steps at which a step schedule multiplies the weight.
        factor: Factor by which a step schedule multiplies the weight at each milestone.
        off_after: Epoch or step from which on the head is switched off and no longer computed; null for never.
        maximum: Largest weight that balance may choose.
    """

    kind: Literal["constant", "linear", "cosine", "step", "balance"] = "constant"
    start: float | None = None
    end: float = 0.0
    until: int | None = None
    milestones: list[int] = field(default_factory=list)
    factor: float = 0.1
    off_after: int | None = None
    maximum: float = 10.0

    def __post_init__(self) -> None:
        """Refuse what has no meaning."""
        for name in ("start", "end", "factor", "maximum"):
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and value >= 0):
                raise ValueError(f"{name}={value} is no weight: it must be a finite number, 0 or more.")
        if self.kind in ("linear", "cosine") and not (self.until and self.until > 0):
            raise ValueError(f"A {self.kind} schedule needs until, the epoch or step at which it ends.")
        if self.kind == "step" and not self.milestones:
            raise ValueError("A step schedule needs milestones, the epochs or steps at which it multiplies.")
        if self.kind == "balance" and self.start == 0:
            raise ValueError("A balance of 0 is a head that is off: use kind constant with start 0.")
        if self.off_after is not None and self.off_after < 0:
            raise ValueError(f"off_after={self.off_after} is no time: it must be 0 or more.")


def weight_at(schedule: WeightSchedule, start: float, now: int, ratio: float | None = None) -> float:
    """Weight of a head.

    Args:
        schedule: Its schedule.
        start: What the schedule's start is, or stands for.
        now: Epochs, or steps, that are over.
        ratio: For balance, ‖∇ rest‖ / ‖∇ head's loss‖; None before the first measurement, when the weight is start.
    """
    if schedule.off_after is not None and now >= schedule.off_after:
        return 0.0
    if schedule.kind in ("linear", "cosine"):
        assert schedule.until is not None
        progress = min(1.0, now / schedule.until)
        left = 1 - progress if schedule.kind == "linear" else (1 + math.cos(math.pi * progress)) / 2
        return schedule.end + (start - schedule.end) * left if progress < 1 else schedule.end
    if schedule.kind == "step":
        return start * schedule.factor ** sum(now >= milestone for milestone in schedule.milestones)
    if schedule.kind == "balance" and ratio is not None:
        return min(start * ratio, schedule.maximum)
    return start


def averaged_ratio(previous: float | None, rest: float, head: float) -> float | None:
    """Running mean of ‖∇ rest‖ / (‖∇ head's loss‖ + δ); a measurement that is not finite changes nothing."""
    ratio = rest / (head + DELTA)
    if not math.isfinite(ratio):
        return previous
    return ratio if previous is None else MEMORY * previous + (1 - MEMORY) * ratio


class GradientsAtHead:
    """Norms of the gradients that meet in the maps that a head reads, taken from one ordinary backward pass.

    The head is given an alias of its maps. The gradient of the alias is the head's share, and that of the maps is the
    sum, so the difference is what comes from behind.

    Attributes:
        head: Norm of the head's share, its weight included; None before the backward pass.
        rest: Norm of the rest.
    """

    def __init__(self, head: nn.Module) -> None:
        self.head: Tensor | None = None
        self.rest: Tensor | None = None
        self._share: Tensor | None = None
        self._hook: RemovableHandle = head.register_forward_pre_hook(self._watch)

    def remove(self) -> None:
        """Watch no further pass."""
        self._hook.remove()

    def _watch(self, head: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...] | None:
        (maps,) = inputs
        if not maps.requires_grad:
            return None
        alias = maps.view_as(maps)
        alias.register_hook(self._from_head)
        maps.register_hook(self._from_all)
        return (alias,)

    def _from_head(self, gradient: Tensor) -> None:
        self._share = gradient

    def _from_all(self, gradient: Tensor) -> None:
        assert self._share is not None  # the share is a part of this sum
        self.head = self._share.float().norm()
        self.rest = (gradient.float() - self._share.float()).norm()
        self._share = None


class AuxiliaryLossWeighting(Callback):
    """Weights the losses of auxiliary classifiers by a schedule or by their gradients, and logs what they do.

    On steps that are due it logs, for each head, `train/weight_aux_<head>`, and at the maps that it reads the norms of
    the gradients `gradients/aux_<head>` (of the head's loss, its weight included) and `gradients/rest_<head>` (of the
    main loss and of later heads). Loss and accuracy of a head are logged by the network.

    A head of weight 0 is not computed, and its weights stay as they are: neither momentum nor decay moves them.

    Args:
        heads: Schedules of the weights of auxiliary heads, by the names of the heads.
        others: Schedule for the auxiliary heads that are not in heads.
        unit: Unit in which schedules count: epoch or step (update).
        every_n_steps: Number of steps between two measurements of the gradients; null measures as often as the Trainer
            logs.
    """

    def __init__(
        self,
        heads: dict[str, WeightSchedule] | None = None,
        others: WeightSchedule | None = None,
        unit: Literal["epoch", "step"] = "epoch",
        every_n_steps: int | None = None,
    ) -> None:
        self.heads = heads or {}
        self.others = others or WeightSchedule()
        self.unit = unit
        self.every_n_steps = every_n_steps
        self.ratios: dict[str, float | None] = {}
        self._prior: dict[str, float] = {}
        self._watched: dict[str, GradientsAtHead] = {}

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Check the names against the network's heads.

        Raises:
            ValueError: The network has no auxiliary heads, or none of that name.
        """
        if stage != "fit":
            return
        network = image_classifier(pl_module, "AuxiliaryLossWeighting")
        known = list(network.auxiliary_heads)
        if not known:
            raise ValueError(
                f"{network.architecture} has no auxiliary heads to weight: leave AuxiliaryLossWeighting out, "
                "or train GoogLeNet with model.auxiliary true."
            )
        for name in self.heads:
            if name not in known:
                raise ValueError(f"{network.architecture} has no auxiliary head {name}: it has {', '.join(known)}.")
        logged: int = trainer.log_every_n_steps  # type: ignore[attr-defined]
        self.every = steps_between(self.every_n_steps, logged, "AuxiliaryLossWeighting")
        self._prior = dict(network.auxiliary_loss_weights)

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Set the weights of this step, and watch the heads if it is due."""
        assert isinstance(pl_module, ImageClassifier)
        # not trainer.current_epoch, which lags after a resume at an epoch's end if the run is counted in steps
        epoch = trainer.fit_loop.epoch_progress.current.processed  # type: ignore[attr-defined]
        now = epoch if self.unit == "epoch" else trainer.global_step
        for name, prior in self._prior.items():
            schedule = self.heads.get(name, self.others)
            start = prior if schedule.start is None else schedule.start
            pl_module.auxiliary_loss_weights[name] = weight_at(schedule, start, now, self.ratios.get(name))
        if is_due(trainer, self.every):
            active = {name: head for name, head in pl_module.auxiliary_heads.items() if _weight(pl_module, name)}
            self._watched = {name: GradientsAtHead(head) for name, head in active.items()}

    def on_after_backward(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log the step if it is due, and let its gradients set the weights of the next."""
        assert isinstance(pl_module, ImageClassifier)
        if not is_due(trainer, self.every):
            return
        values = {f"train/weight_aux_{name}": _weight(pl_module, name) for name in pl_module.auxiliary_heads}
        for name, (head, rest) in self._measured(trainer).items():
            values |= {f"gradients/aux_{name}": head, f"gradients/rest_{name}": rest}
            self.ratios[name] = averaged_ratio(self.ratios.get(name), rest, head / _weight(pl_module, name))
        log_at_this_step(trainer, values)

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer) -> None:
        """Take from the heads that are off the zeros that DDP needed, so that the optimizer passes them over."""
        assert isinstance(pl_module, ImageClassifier)
        for name, head in pl_module.auxiliary_heads.items():
            if not _weight(pl_module, name):
                for parameter in head.parameters():
                    parameter.grad = None

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Leave the network as it was."""
        self.teardown(trainer, pl_module, "fit")

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Leave the network as it was."""
        for gradients in self._watched.values():
            gradients.remove()
        self._watched = {}
        if self._prior:
            assert isinstance(pl_module, ImageClassifier)
            pl_module.auxiliary_loss_weights.update(self._prior)
            self._prior = {}

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run carries on; the schedules follow from the time alone."""
        return {"ratios": self.ratios}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Carry on with the measured ratios."""
        self.ratios = dict(state_dict["ratios"])

    def _measured(self, trainer: Trainer) -> dict[str, tuple[float, float]]:
        """Norms of each watched head and of the rest, the mean over all ranks, as if the loss were not scaled."""
        watched, self._watched = self._watched, {}
        norms = []
        for gradients in watched.values():
            gradients.remove()
            if gradients.head is None or gradients.rest is None:
                return {}
            norms += [gradients.head, gradients.rest]
        if not norms:
            return {}
        scaler = getattr(trainer.precision_plugin, "scaler", None)
        scale = (scaler.get_scale() if scaler else 1.0) / trainer.accumulate_grad_batches
        reduced = trainer.strategy.reduce(torch.stack(norms) / scale, reduce_op="mean")
        assert isinstance(reduced, Tensor)
        values = iter(reduced.tolist())  # the one time that the host waits for the device
        return {name: (next(values), next(values)) for name in watched}


def _weight(network: ImageClassifier, head: str) -> float:
    return network.auxiliary_loss_weights[head]
