"""Images of a run's generator."""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from experiment.checkpoint_io import load_verified
from experiment.resume import checkpoint_to_evaluate
from lightning_modules.gan.module import GAN


def samples_of(run: Path, count: int, seed: int) -> NDArray[np.uint8]:
    """Images of the run's generator, of its averaged weights where it has them.

    Args:
        run: Directory of the run, or a checkpoint in one.
        count: How many.
        seed: Of the latents.

    Returns:
        Rounded to whole numbers from 0 to 255, as the files of real images hold them. Shape (count, H, W, C).

    Raises:
        ValueError: There is no checkpoint of a GAN, or its images are not finite.
    """
    images = read_gan(checkpoint_to_evaluate(str(run))).sample(count, seed=seed).float().cpu()
    if not images.isfinite().all():
        raise ValueError(f"The generator of {run} makes images that are not finite: give another checkpoint.")
    return ((images + 1) * 127.5).round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).numpy()


def read_gan(checkpoint: Path) -> GAN:
    """The GAN of a checkpoint.

    Raises:
        ValueError: It holds something else.
    """
    content = load_verified(checkpoint)
    arguments, state = content.get("hyper_parameters"), content.get("state_dict")
    if not isinstance(arguments, dict) or not isinstance(state, dict):
        raise ValueError(f"{checkpoint} is no checkpoint of a network of this project: give another file of the run.")
    try:
        gan = GAN(**{name: value for name, value in arguments.items() if not name.startswith("_")})
        gan.load_state_dict(state)
    except (TypeError, RuntimeError):
        raise ValueError(
            f"{checkpoint} does not fit the GAN of its own arguments: use the version of this project that wrote it."
        ) from None
    return gan.eval()
