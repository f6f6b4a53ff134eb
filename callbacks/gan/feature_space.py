"""What a network must offer so that images are compared in its features."""

from typing import Any, Protocol

import torch
from torch import Tensor


class FeatureSpace(Protocol):
    """A network that turns images into features and class probabilities, and says what it is.

    Attributes:
        name: How metrics name it, such as inception or resnet20.
        score_name: How the score of its probabilities is named.
    """

    name: str
    score_name: str

    def check(self, in_channels: int, image_size: int) -> None:
        """Refuse images that the network was not made for.

        Raises:
            ValueError: They are of another kind.
        """

    def to(self, device: torch.device) -> None:
        """Move the network."""

    def __call__(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Features (B, F) and class probabilities (B, K) of uint8 images (B, C, H, W) on the network's device."""

    def description(self) -> dict[str, Any]:
        """What the figures depend on, for the record."""
