"""What every generator and every discriminator offers, whatever its paper."""

from itertools import repeat

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class GeneratorNetwork(nn.Module):
    """From latents (B, latent_size) to images (B, C, H, W) in [-1, 1].

    Args:
        latent_size: Length of a latent vector.
        latent_range: Latents are uniform between these two; None: normal, with mean 0 and variance 1.
        num_classes: Number of classes of a conditional generator; None for an unconditional one.
    """

    def __init__(self, latent_size: int, latent_range: tuple[float, float] | None, num_classes: int | None) -> None:
        super().__init__()
        require_positive(latent_size=latent_size, num_classes=num_classes)
        self.latent_size = latent_size
        self.latent_range = latent_range
        self.num_classes = num_classes

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        """Latents (B, latent_size) and, if it is conditional, labels (B,) → images (B, C, H, W) in [-1, 1]."""
        raise NotImplementedError

    def draw_latents(self, count: int, generator: torch.Generator) -> Tensor:
        """Latents as the paper draws them, on the device of `generator`. Shape (count, latent_size)."""
        shape = (count, self.latent_size)
        if self.latent_range is None:
            return torch.randn(shape, generator=generator, device=generator.device)
        low, high = self.latent_range
        return torch.rand(shape, generator=generator, device=generator.device) * (high - low) + low

    @torch.no_grad()
    def images_of(
        self, latents: Tensor, labels: Tensor | None, device: torch.device | str, batch_size: int = 250
    ) -> Tensor:
        """Images of any number of latents, made in evaluation mode by batches.

        Args:
            latents: Shape (N, latent_size).
            labels: Classes of the images, for a conditional generator; None for 0, 1, 2, … in turn. Shape (N,).
            device: Device of this network.
            batch_size: Number of images that are made at a time.

        Returns:
            In [-1, 1], on the device. Shape (N, C, H, W).
        """
        if labels is None and self.num_classes is not None:
            labels = torch.arange(len(latents)) % self.num_classes
        training = self.training
        self.eval()
        classes = repeat(None) if labels is None else labels.to(device).split(batch_size)
        parts = zip(latents.to(device).split(batch_size), classes, strict=False)
        images = [at_least_float32(self(*part)) for part in parts]
        self.train(training)
        return torch.cat(images)


class DiscriminatorNetwork(nn.Module):
    """From images (B, C, H, W) in [-1, 1] to logits (B,), which grow with the belief that an image is real.

    Args:
        num_classes: Number of classes of a conditional discriminator; None for an unconditional one.
    """

    def __init__(self, num_classes: int | None) -> None:
        super().__init__()
        require_positive(num_classes=num_classes)
        self.num_classes = num_classes

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """Images (B, C, H, W) and, if it is conditional, labels (B,) → logits (B,), before any sigmoid."""
        return self.logits(self.features(images, labels), labels)

    def features(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """What the last layer sees (B, F): the features that the generator can be made to match."""
        raise NotImplementedError

    def logits(self, features: Tensor, labels: Tensor | None = None) -> Tensor:
        """The last layer: features (B, F) → logits (B,)."""
        raise NotImplementedError


def at_least_float32(x: Tensor) -> Tensor:
    """The same numbers, in float32 where they have less precision than that, for losses and sums of many."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def paper_of(network: nn.Module) -> str:
    """Name of the file that has the network, by which configs call it."""
    return type(network).__module__.rpartition(".")[2]


def check_labels(num_classes: int | None, labels: Tensor | None) -> None:
    """Refuse labels that a network does not know, and none where it needs them, by a ValueError."""
    if num_classes is None and labels is not None:
        raise ValueError("This network is not conditional: leave the labels out, or build it with num_classes.")
    if num_classes is not None and labels is None:
        raise ValueError("This network is conditional: give it labels, or build it without num_classes.")


def one_hot(labels: Tensor, num_classes: int, dtype: torch.dtype) -> Tensor:
    """Labels (B,) → (B, num_classes), a 1 in the column of the class."""
    return F.one_hot(labels, num_classes).to(dtype)


def require_positive(**sizes: int | None) -> None:
    """Refuse sizes below 1 by a ValueError that names the first one; None stands for a part that is left out."""
    for name, value in sizes.items():
        if value is not None and value < 1:
            raise ValueError(f"{name} must be at least 1, not {value}.")
