"""Which parameters are trained, which decay, and at what rate each learns, whatever the schedule."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import (
    ConstantLR,
    ExponentialLR,
    LambdaLR,
    LinearLR,
    LRScheduler,
    MultiplicativeLR,
    MultiStepLR,
    PolynomialLR,
    ReduceLROnPlateau,
    StepLR,
)

BACKBONE = "backbone"
AUXILIARY = "auxiliary_heads"
NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.SyncBatchNorm)

PROPORTIONAL = (ConstantLR, ExponentialLR, LambdaLR, LinearLR, MultiplicativeLR, MultiStepLR, PolynomialLR, StepLR)
"""Schedules that only multiply the rates that they find, so that whatever factor a rate has stays in it."""


def parameter_groups(
    named_parameters: Iterable[tuple[str, Tensor]],
    decay_norms_and_biases: bool,
    lr_scales: Mapping[str, float],
    bias_lr_scale: float,
    bias_lr: float | None,
    backbone: Sequence[str] = (),
    backbone_lr_scale: float = 1.0,
) -> list[dict[str, Any]]:
    """Parameters by whether they decay, and by `lr_scale`, the factor of their learning rate, or `fixed_lr`.

    Weights decay; biases and normalization do not, unless `decay_norms_and_biases`.

    Args:
        named_parameters: All of the network; those that are not trained are left out.
        decay_norms_and_biases: See ImageClassifier.
        lr_scales: Factors of the learning rate by the first part of a parameter's name.
        bias_lr_scale: See ImageClassifier.
        bias_lr: See ImageClassifier.
        backbone: Parts that learn at another rate.
        backbone_lr_scale: Factor of their rate.
    """
    groups: dict[tuple[bool, bool, float], dict[str, Any]] = {}
    for name, parameter in named_parameters:
        if not parameter.requires_grad:
            continue
        exempt = parameter.ndim <= 1 and not decay_norms_and_biases
        bias = name.endswith("bias")
        fixed = bias and bias_lr is not None
        scale = next((scale for layer, scale in lr_scales.items() if name.startswith(f"{layer}.")), 1.0)
        scale *= bias_lr_scale if bias else 1.0
        factor = backbone_lr_scale if is_within(name, backbone) else 1.0
        scale *= factor
        group: dict[str, Any] = {"params": [], "lr_scale": scale}
        group |= {"fixed_lr": bias_lr * factor} if bias_lr is not None and fixed else {}
        group |= {"weight_decay": 0.0} if exempt else {}
        groups.setdefault((fixed, exempt, scale), group)["params"].append(parameter)
    return [groups[key] for key in sorted(groups)]


def fused(optimizer: Optimizer) -> Optimizer:
    """Have one kernel make the whole update, where the optimizer has one and its options leave this open.

    It reads and writes each weight once, and not once for each operation; it rounds otherwise.
    """
    for group in optimizer.param_groups:
        left_open = group.get("fused", False) is None and group.get("foreach") is None
        plain = not group.get("differentiable") and not group.get("dampening")
        devices = {parameter.device.type for parameter in group["params"] if parameter.is_floating_point()}
        if left_open and plain and devices <= {"cpu", "cuda"}:
            group["fused"] = True
    optimizer.register_step_pre_hook(_prepare_for_one_kernel)
    return optimizer


def _prepare_for_one_kernel(optimizer: Optimizer, *_: Any) -> None:
    """Give the fused kernels what they take for granted, where the other kernels of PyTorch ask.

    Gradients and states lie in memory as their weights do; they need not after a resume with another `channels_last`,
    and on a processor the kernel would mix them up without a word. Parameters that are trained for the first time,
    beside others, have a momentum of zeros.
    """
    for group in optimizer.param_groups:
        trained = [one for one in group["params"] if one.grad is not None] if group.get("fused") else []
        for parameter in trained:
            parameter.grad = _arranged_as(parameter, parameter.grad)
            state = optimizer.state[parameter]
            state.update({name: _arranged_as(parameter, value) for name, value in state.items()})
        new = [one for one in trained if optimizer.state[one].get("momentum_buffer") is None]
        if group.get("momentum") and len(new) < len(trained):
            for parameter in new:
                optimizer.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)


def _arranged_as(parameter: Tensor, value: Any) -> Any:
    """A tensor of the parameter's shape in the parameter's memory order; anything else as it is."""
    if not isinstance(value, Tensor) or value.shape != parameter.shape or value.stride() == parameter.stride():
        return value
    return torch.empty_like(parameter, dtype=value.dtype, requires_grad=False).copy_(value)


def scheduled(optimizer: Optimizer, make_lr_scheduler: Callable[[Optimizer], Any] | None) -> Any:
    """Put the factors of the parameter groups into their rates, and make a schedule that keeps them.

    Args:
        optimizer: Its groups have a `lr_scale`, the factor of their rate, or a `fixed_lr` that no schedule changes.
        make_lr_scheduler: From the optimizer to its schedule; None keeps the rates constant.

    Returns:
        The schedule, as it was made wherever that is possible; None without one.
    """
    groups = optimizer.param_groups
    declared = [dict(group) for group in groups]
    _apply_factors(groups)
    if make_lr_scheduler is None:
        return None
    schedule = make_lr_scheduler(optimizer)
    if isinstance(schedule, ReduceLROnPlateau):
        least = zip(groups, schedule.min_lrs, strict=True)
        schedule.min_lrs = [group.get("fixed_lr", group["lr_scale"] * rate) for group, rate in least]
        return schedule
    plain = all(group["lr_scale"] == 1 and "fixed_lr" not in group for group in groups)
    if plain or (_is_proportional(schedule) and not any("fixed_lr" in group for group in groups)):
        return schedule
    for group, before in zip(groups, declared, strict=True):
        group.clear()
        group.update(before)
    return ScheduleWithFactors(optimizer, make_lr_scheduler)


class ScheduleWithFactors(LRScheduler):
    """Any schedule, to whose rates each parameter group's own factor is applied afterwards.

    OneCycleLR and CyclicLR overwrite the rates of all groups, and cosines end at one smallest rate for all. So they are
    shown rates without factors, which the groups keep as `declared_lr`.

    Args:
        optimizer: The optimizer, with rates that have no factors yet; see `scheduled` for its groups.
        make_lr_scheduler: From the optimizer to its schedule.
    """

    def __init__(self, optimizer: Optimizer, make_lr_scheduler: Callable[[Optimizer], LRScheduler]) -> None:
        self.optimizer = optimizer
        for group in optimizer.param_groups:
            group["declared_lr"] = group["lr"]
        with _declared_rates(optimizer):
            self.schedule = make_lr_scheduler(optimizer)

    @property
    def last_epoch(self) -> int:  # type: ignore[override]
        """Steps of the schedule."""
        return self.schedule.last_epoch

    def step(self, *arguments: Any) -> None:
        """Go one step on."""
        with _declared_rates(self.optimizer):
            self.schedule.step(*arguments)

    def get_last_lr(self) -> list[Any]:
        """Rates of the parameter groups, with their factors."""
        return [group["lr"] for group in self.optimizer.param_groups]

    def state_dict(self) -> dict[str, Any]:
        """State of the schedule; its declared rates are in the optimizer's."""
        return self.schedule.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on where the saved schedule was."""
        self.schedule.load_state_dict(state_dict)


@contextmanager
def _declared_rates(optimizer: Optimizer) -> Iterator[None]:
    """Take the factors off the rates, and put them back at the end."""
    # Groups without a declared rate have been added by others, or are of a checkpoint whose schedule has the factors.
    groups = [group for group in optimizer.param_groups if "declared_lr" in group]
    for group in groups:
        group["lr"] = group["declared_lr"]
    yield
    for group in groups:
        group["declared_lr"] = group["lr"]
    _apply_factors(groups)


def _apply_factors(groups: Sequence[dict[str, Any]]) -> None:
    for group in groups:
        group["lr"] = group.get("fixed_lr", group["lr"] * group["lr_scale"])


def _is_proportional(schedule: LRScheduler) -> bool:
    own = type(schedule)
    return own.step is LRScheduler.step and any(own.get_lr is known.get_lr for known in PROPORTIONAL)


def is_within(name: str, parts: Iterable[str]) -> bool:
    """Whether a parameter or a module, by its name, is one of some parts or lies in one."""
    return any(name == part or name.startswith(f"{part}.") for part in parts)


def backbone_parts(network: nn.Module, output_layers: Sequence[str]) -> list[str]:
    """Names of the largest modules with parameters that hold none of the output layers and no auxiliary head."""
    heads = (*output_layers, AUXILIARY)
    found: list[str] = []
    for name, module in network.named_modules():
        holds_a_head = not name or any(is_within(head, [name]) for head in heads)
        if holds_a_head or is_within(name, [*heads, *found]) or next(module.parameters(), None) is None:
            continue
        found.append(name)
    return found


def freeze(network: nn.Module, asked: Sequence[str], output_layers: Sequence[str]) -> list[str]:
    """Have the parameters of some parts keep their values; returns the names of these parts.

    Args:
        network: The network.
        asked: `BACKBONE`, or names of parts.
        output_layers: Names of its output layers.

    Raises:
        ValueError: There is no such part, or nothing would be left to train.
    """
    known = [name for name, module in network.named_modules() if name and next(module.parameters(), None) is not None]
    parts = [part for part in asked if part != BACKBONE]
    for part in parts:
        if part not in known:
            some = ", ".join(name for name in known if name.count(".") < 2 and not is_within(name, [AUXILIARY]))
            raise ValueError(f"model.freeze: there is no part {part}: choose {BACKBONE}, or among {some}.")
    parts += backbone_parts(network, output_layers) if BACKBONE in asked else []
    for name, parameter in network.named_parameters():
        if is_within(name, parts):
            parameter.requires_grad_(False)
    if not any(parameter.requires_grad for parameter in network.parameters()):
        raise ValueError(f"model.freeze {', '.join(parts)} leaves nothing to train: freeze less, such as {BACKBONE}.")
    return parts


def keep_norms_evaluating(network: nn.Module, parts: Sequence[str]) -> None:
    """Have the batch normalization of frozen parts use its running statistics, and leave them as they are."""
    for name, module in network.named_modules():
        if isinstance(module, NORMS) and is_within(name, parts):
            module.eval()
