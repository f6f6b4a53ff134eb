"""The networks of the GAN papers, one paper a file, by the names that configs give them."""

import inspect
from collections.abc import Callable
from importlib import import_module
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from lightning_modules.gan.networks.contract import DiscriminatorNetwork as DiscriminatorNetwork
from lightning_modules.gan.networks.contract import GeneratorNetwork as GeneratorNetwork
from lightning_modules.gan.networks.contract import at_least_float32 as at_least_float32
from lightning_modules.gan.networks.contract import paper_of as paper_of
from lightning_modules.gan.networks.contract import require_positive as require_positive

NetworkName = Literal[
    "mlp",
    "dcgan",
    "improved",
    "resnet",
]
"""Files of this folder, in the order of their papers; `build` of each makes a generator and a discriminator."""

INITIALIZATION_IMAGES = 500
_FITTED = ("initialize_from_data", "set_output_bias")
_OF_THE_DATA = ("image_size", "in_channels", "num_classes")


def build_networks(
    name: NetworkName,
    *,
    image_size: int,
    in_channels: int,
    num_classes: int | None = None,
    **options: Any,
) -> tuple[GeneratorNetwork, DiscriminatorNetwork]:
    """A generator and a discriminator of the same paper.

    Args:
        name: Name of the paper's file in this folder.
        image_size: Height and width of the images in pixels.
        in_channels: Number of channels of the images.
        num_classes: Classes that both are told or, for improved, that the discriminator tells; None for none.
        options: Arguments of `build` in the paper's file.

    Raises:
        ValueError: There is no such name or option, or the networks cannot make such images.
    """
    names = get_args(NetworkName)
    if name not in names:
        raise ValueError(f"networks must be one of {', '.join(names)}, not {name}.")
    build = import_module(f"{__name__}.{name}").build
    known = [option for option in inspect.signature(build).parameters if option not in _OF_THE_DATA]
    unknown = sorted(set(options) - set(known))
    if unknown:
        raise ValueError(f"The networks {name} have no option {unknown[0]}: theirs are {', '.join(known)}.")
    networks: tuple[GeneratorNetwork, DiscriminatorNetwork] = build(
        image_size=image_size, in_channels=in_channels, num_classes=num_classes, **options
    )
    return networks


def initialize_from_data(
    generator: GeneratorNetwork, discriminator: DiscriminatorNetwork, data: Any, draw_latents: Callable[[int], Tensor]
) -> None:
    """Give initial weights that fit the data to networks of which the paper says so.

    Args:
        generator: May have the methods `initialize_from_data`, of latents, and `set_output_bias`, of the mean of all
            training images.
        discriminator: May have the method `initialize_from_data`, of real images.
        data: The DataModule, which gives real images without augmentation.
        draw_latents: From a number to as many latents, on the device of the networks.

    Raises:
        ValueError: They need real images, and `data` cannot give any.
    """
    if not any(hasattr(network, name) for network in (generator, discriminator) for name in _FITTED):
        return
    if not hasattr(data, "plain_training_loader"):
        raise ValueError(
            f"The networks of {paper_of(discriminator)} begin with weights that fit the images: train them on a data "
            "set of this project, such as datamodules.ImageFolder, instead of a DataLoader."
        )
    batch = next(iter(data.plain_training_loader(INITIALIZATION_IMAGES)))
    latents = draw_latents(len(batch.images))
    real = data.on_after_batch_transfer(batch._replace(images=batch.images.to(latents.device)), 0).images
    for network, seen in ((generator, latents), (discriminator, real)):
        if (initialize := getattr(network, "initialize_from_data", None)) is not None:
            initialize(seen)
    if (set_output_bias := getattr(generator, "set_output_bias", None)) is not None:
        set_output_bias(_mean_image(data, latents.device))


def _mean_image(data: Any, device: torch.device) -> Tensor:
    """Mean of all training images, in [-1, 1], on `device`. Shape (1, C, H, W)."""
    total, count = torch.zeros((), dtype=torch.float64), 0
    for batch in data.plain_training_loader():
        images = data.on_after_batch_transfer(batch._replace(images=batch.images.to(device)), 0).images
        counted = images[batch.labels.to(device) >= 0].double().cpu()
        total, count = total + counted.sum(0, keepdim=True), count + len(counted)
    return (total / count).to(device)
