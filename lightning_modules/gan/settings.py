"""Which settings of a GAN cannot be."""

from collections.abc import Mapping
from typing import Any

from lightning_modules.gan.objectives import OBJECTIVES

LEAST = {
    "supervised_weight": 0,
    "discriminator_steps": 1,
    "generator_batch": 1,
    "gradient_penalty": 0,
    "r1": 0,
    "historical_averaging": 0,
    "instance_noise": 0,
    "instance_noise_steps": 1,
    "accumulate_batches": 1,
}


def check_settings(settings: Mapping[str, Any]) -> None:
    """Refuse arguments of GAN, by their names, that are out of range or contradict each other.

    Raises:
        ValueError: Names the first one.
    """
    for name, least in LEAST.items():
        if settings[name] < least:
            raise ValueError(f"{name} must be at least {least}, not {settings[name]}.")
    for name in ("weight_clip", "gradient_clip_val"):
        if settings[name] is not None and settings[name] <= 0:
            raise ValueError(f"{name} must be above 0, not {settings[name]}: null is for none.")
    smoothing, decay, objective = (settings[name] for name in ("label_smoothing", "ema_decay", "objective"))
    if not 0 <= smoothing < 0.5:
        raise ValueError(f"label_smoothing must be at least 0 and below 0.5, not {smoothing}.")
    if smoothing and not OBJECTIVES[objective].is_probability:
        raise ValueError(f"label_smoothing has no meaning for the objective {objective}: set it to 0.")
    if decay is not None and not 0 < decay < 1:
        raise ValueError(f"ema_decay must lie between 0 and 1, such as 0.9999: {decay} does not.")
