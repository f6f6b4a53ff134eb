"""The networks of the GAN papers, one paper a file, by the names that configs give them."""

import inspect
from collections.abc import Callable
from typing import Any, Literal

from lightning_modules.gan.networks import dcgan, improved, mlp, resnet
from lightning_modules.gan.networks.contract import DiscriminatorNetwork, GeneratorNetwork

NetworkName = Literal["mlp", "dcgan", "improved", "resnet"]
BUILDERS: dict[str, Callable[..., tuple[GeneratorNetwork, DiscriminatorNetwork]]] = {
    "mlp": mlp.build,
    "dcgan": dcgan.build,
    "improved": improved.build,
    "resnet": resnet.build,
}
"""What makes a generator and a discriminator, in the order of the papers; their arguments are the options."""


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
        name: mlp (Goodfellow 2014), dcgan (Radford 2015), improved (Salimans 2016) or resnet (Gulrajani 2017, Miyato
            2018).
        image_size: Height and width of the images in pixels.
        in_channels: Their channels.
        num_classes: Classes that both are told or, for improved, that the discriminator tells; None for none.
        options: Arguments of `build` in the paper's file.

    Raises:
        ValueError: There is no such name or option, or the networks cannot make such images.
    """
    if name not in BUILDERS:
        raise ValueError(f"networks must be one of {', '.join(BUILDERS)}, not {name}.")
    build = BUILDERS[name]
    known = [option for option in inspect.signature(build).parameters if option not in _OF_THE_DATA]
    unknown = sorted(set(options) - set(known))
    if unknown:
        raise ValueError(f"The networks {name} have no option {unknown[0]}: theirs are {', '.join(known)}.")
    return build(image_size=image_size, in_channels=in_channels, num_classes=num_classes, **options)


_OF_THE_DATA = ("image_size", "in_channels", "num_classes")

__all__ = ["BUILDERS", "DiscriminatorNetwork", "GeneratorNetwork", "NetworkName", "build_networks"]
