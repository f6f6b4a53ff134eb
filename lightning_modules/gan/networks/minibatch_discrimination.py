"""Minibatch discrimination (Salimans et al. 2016, §3.2): a discriminator that sees how close samples are to each other.

As the released code has it (openai/improved-gan, mnist_svhn_cifar10/nn.py, MinibatchLayer): T is weight-normalized, a
sample is not compared with itself, and the sums have a bias.
"""

import torch
from torch import Tensor, nn


class MinibatchDiscrimination(nn.Module):
    """Adds to the features of each image how close it is to the others of its batch.

    With M = f · T, o(i)_b = Σ_j≠i exp(-‖M(i)_b - M(j)_b‖₁). A batch is what one call gets: real and fake images go
    through in calls of their own, each rank sees its own images only, and in evaluation too an image's answer depends
    on its batch.

    Args:
        features: Length A of the features.
        kernels: How many kinds of closeness B.
        kernel_size: In how many dimensions C each is measured.
    """

    def __init__(self, features: int, kernels: int = 100, kernel_size: int = 5) -> None:
        super().__init__()
        self.directions = nn.Parameter(torch.randn(features, kernels, kernel_size) * 0.05)
        self.log_scale = nn.Parameter(torch.zeros(kernels, kernel_size))
        self.bias = nn.Parameter(torch.full((kernels,), -1.0))

    def forward(self, features: Tensor) -> Tensor:
        """(N, A) → (N, A + B)."""
        # Distances of bfloat16 numbers would be mostly rounding.
        with torch.autocast(features.device.type, enabled=False):
            closeness = self._closeness(self._distances(features.float())) + self.bias
        return torch.cat([features, closeness.to(features.dtype)], 1)

    @torch.no_grad()
    def initialize(self, features: Tensor) -> None:
        """Set scales so that half the distance to the nearest is 1 on average, then biases so that the mean is 0."""
        distances = self._distances(features.float())
        others = distances + torch.eye(len(features), device=features.device)[:, :, None] * 1e6
        nearest = others.amin(1).mean(0).clamp_min(1e-6) / 2
        self.log_scale.sub_(nearest.log()[:, None])
        self.bias.copy_(-self._closeness(distances / nearest).mean(0))

    def _distances(self, features: Tensor) -> Tensor:
        """(N, A) → (N, N, B); one dimension at a time, which is C times less memory."""
        tensor = self.directions * (self.log_scale.exp() / self.directions.norm(dim=0))
        projected = torch.tensordot(features, tensor, 1)
        return torch.stack([(x[:, None] - x).abs() for x in projected.unbind(2)]).sum(0)

    def _closeness(self, distances: Tensor) -> Tensor:
        """(N, N, B) → (N, B)."""
        others = 1 - torch.eye(len(distances), device=distances.device)
        return (distances.neg().exp() * others[:, :, None]).sum(1)
