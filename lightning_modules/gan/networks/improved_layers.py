"""Layers of the improved GAN of 2016 (Salimans et al.), as the released code has them (openai/improved-gan)."""

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from lightning_modules.gan.networks.contract import at_least_float32


class ShiftBatchNorm(nn.Module):
    """Batch normalization with a bias but no gain (mnist_svhn_cifar10/nn.py, batch_norm); `norm` has neither."""

    def __init__(self, norm: nn.BatchNorm1d | nn.BatchNorm2d) -> None:
        super().__init__()
        self.norm = norm
        self.bias = nn.Parameter(torch.zeros(norm.num_features))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, …) → (B, C, …)."""
        return self.norm(x) + self.bias.view(-1, *[1] * (x.ndim - 2))


class GaussianNoise(nn.Module):
    """Noise of a standard deviation, in training only (nn.py, GaussianNoiseLayer)."""

    def __init__(self, std: float) -> None:
        super().__init__()
        self.std = std

    def forward(self, x: Tensor) -> Tensor:
        """(B, …) → (B, …)."""
        return x + self.std * torch.randn_like(x) if self.training else x


class MinibatchDiscrimination(nn.Module):
    """Minibatch discrimination (§3.2): adds to the features of an image how close it is to the others of its batch.

    With M = f · T, o(i)_b = Σ_j≠i exp(-‖M(i)_b - M(j)_b‖₁). A batch is what one call gets: real and fake images go
    through in calls of their own, each rank sees its own images only, and in evaluation too an image's answer depends
    on its batch. As in the released code, T is weight-normalized, a sample is not compared with itself, and the sums
    have a bias (mnist_svhn_cifar10/nn.py, MinibatchLayer).

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
            closeness = self._closeness(self._distances(at_least_float32(features))) + self.bias
        return torch.cat([features, closeness.to(features.dtype)], 1)

    @torch.no_grad()
    def initialize(self, features: Tensor) -> None:
        """Set scales so that half the distance to the nearest is 1 on average, then biases so that the mean is 0."""
        distances = self._distances(at_least_float32(features))
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


class VirtualBatchNorm(nn.Module):
    """Virtual batch normalization (§3.5): by the statistics of a reference batch and of the image itself.

    The reference batch goes through the network with the images, in front of them, and has statistics of its own. For
    the others, moments are means over the reference batch and the image: n / (n + 1) of the one, 1 / (n + 1) of the
    other. As the released code has it (imagenet/model.py, VBN).

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
        maps = at_least_float32(x)  # the variance is a difference of moments, for which bfloat16 is too coarse
        means, squares = maps.mean((2, 3)), maps.square().mean((2, 3))
        moments = []
        for moment in (means, squares):
            reference = moment[:n].mean(0, keepdim=True)
            moments.append(torch.cat([reference.expand(n, -1), (n * reference + moment[n:]) / (n + 1)]))
        mean, square = moments
        scale = self.gain * (square - mean.square() + 1e-5).rsqrt()
        return (maps * scale[:, :, None, None] + (self.bias - mean * scale)[:, :, None, None]).to(x.dtype)


class WeightNorm(nn.Module):
    """Parametrization: weights of each output have the length `scale` (Salimans and Kingma 2016).

    The released code trains the directions of hidden weights but not their lengths (nn.py, WeightNormLayer), which
    PyTorch's own weight normalization cannot be told.

    Args:
        outputs: Number of outputs.
        dim: Their dimension in the weights.
        trained: Whether the lengths are trained.
        initial_std: Standard deviation that the outputs are given by `initialize_from_data`.
    """

    scale: Tensor

    def __init__(self, outputs: int, dim: int, trained: bool, initial_std: float) -> None:
        super().__init__()
        self.dim = dim
        self.initial_std = initial_std
        if trained:
            self.scale = nn.Parameter(torch.ones(outputs))
        else:
            self.register_buffer("scale", torch.ones(outputs))

    def forward(self, weight: Tensor) -> Tensor:
        """Directions, as trained → weights, of the same shape."""
        others = [dim for dim in range(weight.ndim) if dim != self.dim]
        shape = [-1 if dim == self.dim else 1 for dim in range(weight.ndim)]
        length = (1e-6 + weight.square().sum(others)).sqrt()
        return weight * (self.scale / length).view(shape)


def weight_norm(
    layer: nn.Linear | nn.Conv2d | nn.ConvTranspose2d,
    *,
    std: float | None = 0.05,
    trained_scale: bool = False,
    initial_std: float = 1.0,
) -> nn.Module:
    """Give a layer normalized weights and biases 0; returns it.

    Args:
        layer: With a bias.
        std: Standard deviation of the directions; with Adam, a larger one turns them more slowly. None leaves them.
        trained_scale: Whether the lengths are trained.
        initial_std: Standard deviation that its outputs are given by `initialize_from_data`.
    """
    assert layer.bias is not None
    dim = 1 if isinstance(layer, nn.ConvTranspose2d) else 0
    if std is not None:
        nn.init.normal_(layer.weight, std=std)
    nn.init.zeros_(layer.bias)
    norm = WeightNorm(len(layer.bias), dim, trained_scale, initial_std)
    return parametrize.register_parametrization(layer, "weight", norm)


@torch.no_grad()
def initialize_from_data(network: nn.Module, inputs: Tensor) -> None:
    """Set lengths and biases so that each layer's outputs on `inputs` have mean 0 and the layer's standard deviation.

    Layers are set in the order in which the network uses them, minibatch discrimination likewise. Ranks of a
    distributed run need the same inputs and random state, or none of this.

    Args:
        network: With weight normalization; other layers stay as they are.
        inputs: What the network takes, a few hundred: real images or latents.
    """
    handles = []
    for module in network.modules():
        if isinstance(module, MinibatchDiscrimination):
            handles.append(module.register_forward_pre_hook(lambda layer, given: layer.initialize(*given)))
        elif parametrize.is_parametrized(module, "weight"):
            handles.append(module.register_forward_pre_hook(lambda layer, given: _initialize(layer, *given)))
    try:
        network(inputs)
    finally:
        for handle in handles:
            handle.remove()


def _initialize(layer: nn.Module, inputs: Tensor) -> None:
    norm = layer.parametrizations.weight[0]  # type: ignore[union-attr,index]
    if not isinstance(norm, WeightNorm):
        return
    layer.bias.zero_()  # type: ignore[operator]
    outputs = at_least_float32(layer.forward(inputs)).movedim(1, 0).flatten(1)
    mean = outputs.mean(1)
    factor = norm.initial_std / outputs.std(1, correction=0).clamp_min(1e-6)
    norm.scale.mul_(factor)
    layer.bias.copy_(-mean * factor)  # type: ignore[operator]
