"""Rules for the learning rate of a large batch, as pure functions."""

from typing import Literal

Rule = Literal["linear", "sqrt", "none"]


def scaled_lr(lr: float, rule: Rule, global_batch_size: int, reference_batch_size: int) -> float:
    """Learning rate for a batch other than the recipe's.

    Args:
        lr: The recipe's learning rate.
        rule: linear: times the ratio of the batches, so that k small steps and one large step go equally far (Goyal et
            al. 2017, §2.1); sqrt: times its root, which keeps the variance of an update (Krizhevsky 2014, §2.1); none.
        global_batch_size: Images of one update, over all devices and accumulated batches.
        reference_batch_size: Images of one update of the recipe.

    Returns:
        The learning rate.
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

    Returns:
        The factor.
    """
    if scale <= 1 or step >= warmup_steps:
        return scale
    return 1 + (scale - 1) * step / warmup_steps


def momentum_correction(previous_lr: float, lr: float) -> float:
    """Factor for a momentum buffer that holds gradients times learning rate, when the rate changes.

    Goyal et al. 2017, Remark 2: v ← m (η'/η) v + η' g. Without it, gradients of the past keep the rate of their time.

    Args:
        previous_lr: Rate of the update before.
        lr: Rate of this update.

    Returns:
        The factor; 1 where the previous rate is 0, since no factor can bring back what it erased.
    """
    return lr / previous_lr if previous_lr else 1.0


def share_of_device(global_batch_size: int, devices: int, accumulated: int = 1) -> int:
    """Images in a batch of each device.

    Args:
        global_batch_size: Images of one update.
        devices: Number of processes.
        accumulated: Batches of each device in one update.

    Returns:
        The share.

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
