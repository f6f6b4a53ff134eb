"""Real images that no network of the run was trained on."""

import random
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

import datamodules
from human_test.run_config import arguments_of, class_name


def held_out_images(config: dict[str, Any], count: int, seed: int, root: Path | None = None) -> NDArray[np.uint8]:
    """Images drawn from the test split of a run's data, as its files hold them: neither augmented nor normalized.

    Args:
        config: Of the run.
        count: How many.
        seed: Of the draw.
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


def data_name(config: dict[str, Any]) -> str:
    """The short name of a run's data, such as mnist."""
    return getattr(datamodules, class_name(config["data"])).name
