"""Which gradients the update of one player needs: its own, averaged over all processes."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
import torch.distributed
from torch import Tensor, nn


def average_over_ranks(gradients: Sequence[Tensor]) -> None:
    """Replace gradients by their means over all processes, in one message for each type of number."""
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return
    world_size = torch.distributed.get_world_size()
    if world_size == 1:
        return
    for dtype in sorted({gradient.dtype for gradient in gradients}, key=str):
        same = [gradient for gradient in gradients if gradient.dtype == dtype]
        message = torch.cat([gradient.flatten() for gradient in same])
        torch.distributed.all_reduce(message)
        message /= world_size
        for gradient, part in zip(same, message.split([gradient.numel() for gradient in same]), strict=True):
            gradient.copy_(part.view_as(gradient))


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
