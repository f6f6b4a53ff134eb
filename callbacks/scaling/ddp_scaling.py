"""The recipe's learning rate on any number of devices.

Accurate, Large Minibatch SGD: Training ImageNet in 1 Hour (Priya Goyal, Piotr Dollár, Ross Girshick, Pieter Noordhuis,
Lukasz Wesolowski, Aapo Kyrola, Andrew Tulloch, Yangqing Jia, Kaiming He, 2017).
"""

from typing import Any, Literal, get_args

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_info, rank_zero_warn
from torch.optim import Optimizer

from lightning_modules.classifier import is_logged_step

Rule = Literal["linear", "sqrt", "none"]


def scaled_lr(lr: float, rule: Rule, global_batch_size: int, reference_batch_size: int) -> float:
    """Learning rate for a batch other than the recipe's.

    Args:
        lr: The recipe's learning rate.
        rule: linear: times the ratio of the batches, so that k small steps and one large step go equally far (Goyal et
            al. 2017, §2.1); sqrt: times its root, which keeps the variance of an update (Krizhevsky 2014, §2.1); none.
        global_batch_size: Images of one update, over all devices and accumulated batches.
        reference_batch_size: Images of one update of the recipe.
    """
    ratio = global_batch_size / reference_batch_size
    return lr * {"linear": ratio, "sqrt": ratio**0.5, "none": 1.0}[rule]


def warmup_factor(step: int, warmup_steps: int, scale: float) -> float:
    """Factor of the declared learning rate at one update: from 1 by equal increments to `scale`.

    Goyal et al. 2017, §2.2. A scale below 1 lowers the rate, which needs no warm-up.

    Args:
        step: Updates before this one.
        warmup_steps: Updates until the whole scale is in force.
        scale: Factor after the warm-up.
    """
    if scale <= 1 or step >= warmup_steps:
        return scale
    return 1 + (scale - 1) * step / warmup_steps


def momentum_correction(previous_lr: float, lr: float) -> float:
    """Factor for a momentum buffer that holds gradients times learning rate, when the rate changes.

    Goyal et al. 2017, Remark 2: v ← m (η'/η) v + η' g. Without it, gradients of the past keep the rate of their time.
    1 where the previous rate is 0, since no factor can bring back what it erased.
    """
    return lr / previous_lr if previous_lr else 1.0


def share_of_device(global_batch_size: int, devices: int, accumulated: int = 1) -> int:
    """Images in a batch of each device, where one update takes so many batches of each.

    Raises:
        ValueError: It does not divide.
    """
    parts = devices * accumulated
    if global_batch_size % parts:
        below = global_batch_size // parts * parts
        nearest = f"{below} or {below + parts}" if below else f"{parts}"
        raise ValueError(
            f"A global batch of {global_batch_size} images does not divide by {devices} processes x {accumulated} "
            f"accumulated batches: set global_batch_size to {nearest}, or change the number of devices."
        )
    return global_batch_size // parts


def accumulated_batches(trainer: Trainer, module: LightningModule) -> int:
    """Batches of each device in one update: as the Trainer adds them up, or a module that takes its steps itself."""
    return trainer.accumulate_grad_batches * getattr(module, "accumulate_batches", 1)


class DDPScaling(Callback):
    """Scales the learning rate with the global batch, after a gradual warm-up.

    The rate is scaled for the duration of each update and put back after it. Schedules, checkpoints and
    LearningRateMonitor only ever see the declared rate, so the callback works with any schedule and any number of
    optimizers and parameter groups, cannot scale twice, and a run that is resumed on another number of devices gets the
    factor of that number. `scaling/effective_lr` is what was really applied.

    Goyal's momentum correction (Remark 2) concerns optimizers that multiply the learning rate into their momentum, as
    Caffe's: v ← m v + η g, w ← w - v. There, past gradients keep an old rate when it changes, unless v is multiplied by
    the ratio of the rates. PyTorch's form, v ← m v + g, w ← w - η v, is what the correction restores: no rate is in
    its buffer, all of which moves at the new one, and correcting it would apply the ratio twice. For an optimizer of
    Caffe's form, name its buffer in `momentum_buffer`.

    DDP averages gradients over the ranks, so each rank's mean loss stays as it is. Batch normalization takes its
    statistics over the batch of one device, as Goyal et al. do (§3); another such batch is another loss function.

    Args:
        reference_batch_size: Number of images in an update for which the recipe's learning rate is meant, such as 256
            for ResNet-50.
        rule: Rule by which the learning rate grows with the batch: linear, sqrt, or none.
        warmup_epochs: Number of epochs in which the rate rises linearly from the declared to the scaled one; 5 in Goyal
            et al.
        global_batch_size: Number of images in an update over all devices, which replaces data.batch_size; null keeps
            data.batch_size images for each device.
        momentum_buffer: Name of the momentum buffer of an optimizer of Caffe's form, which multiplies the rate into its
            momentum; null for PyTorch's optimizers.

    Raises:
        ValueError: An argument is out of its range.
    """

    def __init__(
        self,
        reference_batch_size: int,
        rule: Rule = "linear",
        warmup_epochs: float = 5.0,
        global_batch_size: int | None = None,
        momentum_buffer: str | None = None,
    ) -> None:
        if rule not in get_args(Rule):
            raise ValueError(f"rule={rule!r} is not offered: it must be one of {', '.join(get_args(Rule))}.")
        for name, value in (("reference_batch_size", reference_batch_size), ("global_batch_size", global_batch_size)):
            if value is not None and value < 1:
                raise ValueError(f"{name}={value} is too small: it must be at least 1.")
        if warmup_epochs < 0:
            raise ValueError(f"warmup_epochs={warmup_epochs} is negative: 0 is no warm-up.")
        self.reference_batch_size = reference_batch_size
        self.rule: Rule = rule
        self.warmup_epochs = warmup_epochs
        self.global_batch_size = global_batch_size
        self.momentum_buffer = momentum_buffer
        self.scale = 1.0
        self.warmup_steps = 0
        self.steps: list[int] = []  # updates of each optimizer
        self.rates: list[list[float]] = []  # applied in its last update, for each optimizer and group
        self._declared: dict[int, list[Any]] = {}  # rates to put back, of the optimizers that are within an update
        self._hooks: list[Any] = []

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Share out a fixed global batch, before the loaders are built.

        Raises:
            ValueError: It does not divide, or the batch of a device is unknown.
        """
        if stage != "fit":
            return
        data = getattr(trainer, "datamodule", None)
        if getattr(data, "batch_size", None) is None:
            raise ValueError("DDPScaling needs a DataModule with a batch_size: pass one to trainer.fit(datamodule=…).")
        if self.global_batch_size is not None:
            data.batch_size = share_of_device(  # type: ignore[union-attr]
                self.global_batch_size, trainer.world_size, accumulated_batches(trainer, pl_module)
            )

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Determine the factor and say so; from now on, each update is scaled.

        Raises:
            ValueError: The warm-up is counted in epochs, but the loader does not know how long one is.
        """
        per_device = trainer.datamodule.batch_size  # type: ignore[attr-defined]
        accumulated = accumulated_batches(trainer, pl_module)
        global_batch_size = per_device * trainer.world_size * accumulated
        self.scale = scaled_lr(1.0, self.rule, global_batch_size, self.reference_batch_size)
        batches = trainer.num_training_batches
        if batches == float("inf") and self.warmup_epochs:
            raise ValueError("warmup_epochs needs a training loader with a length: set warmup_epochs to 0.")
        updates_an_epoch = -(-batches // accumulated) if self.warmup_epochs else 0
        self.warmup_steps = round(self.warmup_epochs * updates_an_epoch)
        optimizers = trainer.optimizers
        if trainer.global_step == 0 or len(self.steps) != len(
            optimizers
        ):  # a new run, or one saved without this callback
            self.steps = [trainer.global_step // len(optimizers)] * len(optimizers)
            self.rates = [[] for _ in optimizers]
        self._remove_hooks()
        for number, optimizer in enumerate(optimizers):
            self._hooks += [
                optimizer.register_step_pre_hook(lambda optimizer, *_, number=number: self._begin(number, optimizer)),
                optimizer.register_step_post_hook(lambda optimizer, *_, number=number: self._end(number, optimizer)),
            ]
        self._announce(trainer, per_device, accumulated)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Log the rate that was declared and the one that was applied."""
        if not is_logged_step(trainer):
            return
        for number, (optimizer, rates) in enumerate(zip(trainer.optimizers, self.rates, strict=True)):
            if rates:
                suffix = f"_{number}" if number else ""
                group = optimizer.param_groups[0]
                pl_module.log(f"scaling/declared_lr{suffix}", _base_rate(group, group["lr"]))
                pl_module.log(f"scaling/effective_lr{suffix}", _base_rate(group, rates[0]))

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Leave the optimizers as they were."""
        self._remove_hooks()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Put the declared rates back, if an update was interrupted."""
        for number, optimizer in enumerate(trainer.optimizers):
            self._restore(number, optimizer)
        self._remove_hooks()

    def state_dict(self) -> dict[str, Any]:
        """How far the warm-up is, and the last rates for the momentum correction."""
        return {"steps": list(self.steps), "rates": [list(rates) for rates in self.rates]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on with the warm-up where the saved run was."""
        self.steps = list(state_dict["steps"])
        self.rates = [list(rates) for rates in state_dict["rates"]]

    def _begin(self, number: int, optimizer: Optimizer) -> None:
        self._restore(number, optimizer)  # if an update before this one failed
        self._declared[number] = [group["lr"] for group in optimizer.param_groups]
        factor = warmup_factor(self.steps[number], self.warmup_steps, self.scale)
        for group in optimizer.param_groups:
            group["lr"] = group["lr"] * factor
        rates = [float(group["lr"]) for group in optimizer.param_groups]
        if self.momentum_buffer is not None and self.rates[number]:
            self._correct_momentum(optimizer, self.rates[number], rates)
        self.rates[number] = rates

    def _end(self, number: int, optimizer: Optimizer) -> None:
        self._restore(number, optimizer)
        self.steps[number] += 1

    def _restore(self, number: int, optimizer: Optimizer) -> None:
        for group, lr in zip(optimizer.param_groups, self._declared.pop(number, []), strict=False):
            group["lr"] = lr

    def _correct_momentum(self, optimizer: Optimizer, previous: list[float], rates: list[float]) -> None:
        for group, before, now in zip(optimizer.param_groups, previous, rates, strict=True):
            factor = momentum_correction(before, now)
            for parameter in group["params"] if factor != 1 else []:
                buffer = optimizer.state[parameter].get(self.momentum_buffer)
                if buffer is not None:
                    buffer.mul_(factor)

    def _remove_hooks(self) -> None:
        for hook in self._hooks:
            hook.remove()
        self._hooks = []

    def _announce(self, trainer: Trainer, per_device: int, accumulated: int) -> None:
        global_batch_size = trainer.world_size * per_device * accumulated
        groups = [optimizer.param_groups[0] for optimizer in trainer.optimizers]
        declared = [_first_rate(group) for group in groups]
        rates = ", ".join(f"{lr:g} → {lr * self.scale:g}" for lr in declared)
        warmup = f" after {self.warmup_steps} steps of warm-up" if self.scale > 1 and self.warmup_steps else ""
        rank_zero_info(
            f"DDPScaling: {trainer.world_size} processes x {per_device} images x {accumulated} accumulated "
            f"= global batch {global_batch_size}; the recipe's is {self.reference_batch_size}, rule "
            f"{self.rule}: learning rate {rates}{warmup}."
        )
        ratio = global_batch_size / self.reference_batch_size
        in_steps = any(scheduler.interval == "step" for scheduler in trainer.lr_scheduler_configs)
        if ratio != 1 and (in_steps or trainer.max_steps > 0) and not trainer.fast_dev_run:  # type: ignore[attr-defined]
            counted = f"max_steps={trainer.max_steps}" if trainer.max_steps > 0 else "the schedule"
            rank_zero_warn(
                f"An update now takes {ratio:g} times the recipe's images, and {counted} counts updates: divide what "
                f"is counted in steps by {ratio:g} to train on as many images as the recipe."
            )


def _base_rate(group: dict[str, Any], lr: Any) -> float:
    """A group's rate without the factor that a network gives to some of its layers."""
    return float(lr) / (group.get("lr_scale", 1.0) or 1.0)


def _first_rate(group: dict[str, Any]) -> float:
    """The declared rate before the first update, without that factor, which not every schedule is shown."""
    initial = group.get("initial_lr", group["lr"])
    return float(initial) if "declared_lr" in group else _base_rate(group, initial)
