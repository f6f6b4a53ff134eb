"""Virtual batch normalization (Salimans et al. 2016, §3.5): a sample does not depend on what else is in its batch.

As the released code has it (openai/improved-gan, imagenet/model.py, VBN).
"""

import torch
from torch import Tensor, nn


class VirtualBatchNorm(nn.Module):
    """Normalizes each image by the statistics of a reference batch and of itself.

    The reference batch goes through the network with the images, in front of them, and has statistics of its own. For
    the others, moments are means over the reference batch and the image: n / (n + 1) of the one, 1 / (n + 1) of the
    other.

    Args:
        channels: Channels of the maps.
        reference_size: Images n of the reference batch.
    """

    def __init__(self, channels: int, reference_size: int) -> None:
        super().__init__()
        self.reference_size = reference_size
        self.gain = nn.Parameter(1 + 0.02 * torch.randn(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """(n + B, C, H, W) → (n + B, C, H, W)."""
        n = self.reference_size
        maps = x.float()  # the variance is a difference of moments, for which bfloat16 is too coarse
        means, squares = maps.mean((2, 3)), maps.square().mean((2, 3))
        moments = []
        for moment in (means, squares):
            reference = moment[:n].mean(0, keepdim=True)
            moments.append(torch.cat([reference.expand(n, -1), (n * reference + moment[n:]) / (n + 1)]))
        mean, square = moments
        scale = self.gain * (square - mean.square() + 1e-5).rsqrt()
        return (maps * scale[:, :, None, None] + (self.bias - mean * scale)[:, :, None, None]).to(x.dtype)
