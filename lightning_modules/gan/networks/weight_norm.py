"""Weight normalization (Salimans, Kingma 2016) with initialization from data, as the improved GAN of 2016 uses it.

The released code (openai/improved-gan, mnist_svhn_cifar10/nn.py, WeightNormLayer) trains the directions of hidden
weights but not their lengths, which PyTorch's own weight normalization cannot be told.
"""

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from lightning_modules.gan.networks.minibatch_discrimination import MinibatchDiscrimination


class WeightNorm(nn.Module):
    """Parametrization: weights of each output have the length `scale`.

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
    """Give a layer normalized weights and biases 0.

    Args:
        layer: With a bias.
        std: Standard deviation of the directions; with Adam, a larger one turns them more slowly. None leaves them.
        trained_scale: Whether the lengths are trained.
        initial_std: Standard deviation that its outputs are given by `initialize_from_data`.

    Returns:
        The layer.
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
    outputs = layer.forward(inputs).float().movedim(1, 0).flatten(1)
    mean = outputs.mean(1)
    factor = norm.initial_std / outputs.std(1, correction=0).clamp_min(1e-6)
    norm.scale.mul_(factor)
    layer.bias.copy_(-mean * factor)  # type: ignore[operator]
