"""Which gradients the update of one player needs: its own."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


@contextmanager
def constant(network: nn.Module) -> Iterator[None]:
    """Let the weights of a network be constants: no gradient of them is computed."""
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    for parameter in trained:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in trained:
            parameter.requires_grad_(True)
