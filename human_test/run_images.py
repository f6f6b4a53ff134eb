"""The images of a test: real ones that no network of the run was trained on, and samples of its generator."""

import random
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

import datamodules
from experiment.checkpoints import checkpoint_to_evaluate, load_verified
from lightning_modules.gan.module import GAN
from records.checkpoints import run_of
from records.config import arguments_of, class_name, read_config
from records.files import UnreadableError
from records.layout import CONFIG
from records.weights import TO_REBUILD, rebuild


def config_of(run: Path) -> dict[str, Any]:
    """The config of a run, given by its directory or by a checkpoint in it.

    Raises:
        ValueError: There is none, or it names no GAN, or no data of this project.
    """
    if not run.exists():
        raise ValueError(f"There is no run {run}: give the directory of a GAN's run, or a checkpoint in one.")
    file = run_of(run) / CONFIG
    try:
        config = read_config(run_of(run))
        model, data = (class_name(config.get(part)) for part in ("model", "data"))
    except UnreadableError:
        raise ValueError(
            f"There is no {file} that names a GAN and its data: give the directory of a GAN's run, or a checkpoint in "
            "one."
        ) from None
    if model != "GAN":
        raise ValueError(f"{run} holds {model}, which makes no images: give the run of a GAN.")
    if data not in datamodules.data_sets():
        raise ValueError(f"{file} names data {data}, which this project does not have: give another run.")
    return config


def model_name(config: dict[str, Any]) -> str:
    """The GAN of a config in a few words, such as GAN (dcgan)."""
    networks = arguments_of(config["model"]).get("networks")
    return f"GAN ({networks})" if networks else "GAN"


def data_name(config: dict[str, Any]) -> str:
    """The short name of a run's data, such as mnist."""
    return getattr(datamodules, class_name(config["data"])).name


def held_out_images(config: dict[str, Any], count: int, seed: int, root: Path | None = None) -> NDArray[np.uint8]:
    """Images drawn from the test split of a run's data, as its files hold them: neither augmented nor normalized.

    Args:
        config: Config of the run.
        count: How many.
        seed: Seed of the draw.
        root: Folder of the data, where it is not the one that the run names.

    Returns:
        Shape (count, H, W, C).

    Raises:
        ValueError: There are fewer, or the data cannot be read.
    """
    arguments = arguments_of(config["data"])
    if root is not None and "root" in arguments:
        arguments["root"] = str(root)
    data = getattr(datamodules, class_name(config["data"]))(**arguments)
    data.prepare_data()
    data.setup("test")
    split = data.test_dataloader().split
    if count > split.size:
        raise ValueError(f"{data.name} has {split.size} test images: ask for at most {2 * split.size} with --images.")
    indices = torch.tensor(random.Random(f"real {seed}").sample(range(split.size), count))
    (batch,) = split.batches([(indices, None)])
    return batch.images.permute(0, 2, 3, 1).numpy()


def samples_of(run: Path, count: int, seed: int) -> NDArray[np.uint8]:
    """Images of the run's generator, of its averaged weights where it has them.

    Args:
        run: Directory of the run, or a checkpoint in one.
        count: How many.
        seed: Seed of the latents.

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
    return rebuild(GAN, load_verified(checkpoint, needs=TO_REBUILD), checkpoint).eval()
