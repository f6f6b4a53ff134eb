"""What the processes of a training exchange: gradients at each update, statistics of batches before an evaluation."""

from collections.abc import Sequence

import torch
import torch.distributed
from torch import Tensor, nn


def average_over_ranks(gradients: Sequence[Tensor]) -> None:
    """Replace gradients by their means over all processes, in one message for each type of number."""
    world_size = _world_size()
    if world_size == 1:
        return
    for dtype in sorted({gradient.dtype for gradient in gradients}, key=str):
        same = [gradient for gradient in gradients if gradient.dtype == dtype]
        message = torch.cat([gradient.flatten() for gradient in same])
        torch.distributed.all_reduce(message)
        message /= world_size
        for gradient, part in zip(same, message.split([gradient.numel() for gradient in same]), strict=True):
            gradient.copy_(part.view_as(gradient))


def take_buffers_of_rank_0(network: nn.Module) -> None:
    """Give all processes the buffers of the first, which are those that a checkpoint holds.

    Running statistics follow each rank's own images, so they drift apart.
    """
    if _world_size() == 1:
        return
    for buffer in network.buffers():
        torch.distributed.broadcast(buffer, 0)


def _world_size() -> int:
    distributed = torch.distributed.is_available() and torch.distributed.is_initialized()
    return torch.distributed.get_world_size() if distributed else 1
