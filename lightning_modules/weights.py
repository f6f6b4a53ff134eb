"""Trained weights from elsewhere: this project's checkpoints, plain state dicts, torchvision's by name."""

from torch import nn


def load_weights(network: nn.Module, source: str) -> None:
    """Load the weights at `source` into `network`."""
    raise NotImplementedError
