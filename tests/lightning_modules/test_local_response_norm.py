"""The normalization is the sum of its formula, in as many digits as its input has; so are the penalties of GANs."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from lightning_modules.alexnet import SpatialResponseNorm
from lightning_modules.gan.networks.improved_layers import MinibatchDiscrimination, VirtualBatchNorm
from lightning_modules.gan.stabilizers import gradient_penalty, historical_penalty, r1_penalty
from lightning_modules.local_response_norm import LocalResponseNorm


def formula(x: Tensor, scale: float, k: float, columns: int) -> Tensor:
    """Krizhevsky et al. 2012, §3.3, one number at a time."""
    result, width = torch.empty_like(x), x.shape[1] // columns
    for n, c, h, w in torch.cartesian_prod(*map(torch.arange, x.shape)).tolist():
        first, last = c // width * width, (c // width + 1) * width
        window = range(max(first, c - 2), min(last, c + 3))
        result[n, c, h, w] = x[n, c, h, w] / (k + scale * sum(x[n, j, h, w] ** 2 for j in window)) ** 0.75
    return result


def doubles(*shape: int) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("columns", [1, 2])
def test_doubles_keep_their_digits(columns: int) -> None:
    x = 30 * doubles(2, 8, 2, 2)
    found = LocalResponseNorm(8, scale=1e-2, k=2, columns=columns).double()(x)
    assert found.dtype is torch.float64
    torch.testing.assert_close(found, formula(x, 1e-2, 2, columns), rtol=1e-13, atol=0)
    single = LocalResponseNorm(8, scale=1e-2, k=2, columns=columns)(x.float())
    torch.testing.assert_close(single.double(), found, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "layer", [LocalResponseNorm(6, 0.1, 2), LocalResponseNorm(6, 0.1, 2, 2), SpatialResponseNorm()]
)
def test_gradients_of_normalizations_are_exact(layer: nn.Module) -> None:
    assert torch.autograd.gradcheck(layer.double(), doubles(2, 6, 3, 3).requires_grad_())


def critic(images: Tensor, weight: Tensor) -> Tensor:
    return (images.flatten(1) @ weight).tanh().square().sum(1)


@pytest.mark.parametrize(
    "penalty",
    [
        lambda weight: gradient_penalty(
            lambda images: critic(images, weight), doubles(3, 1, 2, 2), -doubles(3, 1, 2, 2), torch.rand(3)
        ),
        lambda weight: r1_penalty(lambda images: critic(images, weight), doubles(3, 1, 2, 2)),
        lambda weight: historical_penalty([weight], [torch.ones_like(weight)]),
    ],
    ids=["gradient_penalty", "r1", "historical_averaging"],
)
def test_gradients_of_penalties_are_exact(penalty: Callable[[Tensor], Tensor]) -> None:
    def repeated(weight: Tensor) -> Tensor:
        torch.manual_seed(0)  # the same mixtures each time
        return penalty(weight)

    weight = doubles(4, 3).requires_grad_()
    assert repeated(weight).dtype is torch.float64
    assert torch.autograd.gradcheck(repeated, weight)


@pytest.mark.parametrize("layer", [MinibatchDiscrimination(4, 3, 2), VirtualBatchNorm(4, 2)])
def test_layers_of_gans_keep_doubles(layer: nn.Module) -> None:
    x = doubles(5, 4) if isinstance(layer, MinibatchDiscrimination) else doubles(5, 4, 2, 2)
    assert torch.autograd.gradcheck(layer.double(), x.requires_grad_())
