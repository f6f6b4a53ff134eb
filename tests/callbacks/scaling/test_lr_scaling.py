"""The rules, and the arguments of Goyal et al. 2017 that they rest on."""

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from callbacks.scaling.ddp_scaling import momentum_correction, scaled_lr, share_of_device, warmup_factor


def test_goyal_trains_8192_images_at_3_2() -> None:
    assert scaled_lr(0.1, "linear", 8192, 256) == pytest.approx(3.2)
    assert scaled_lr(0.1, "sqrt", 8192, 256) == pytest.approx(0.1 * 32**0.5)
    assert scaled_lr(0.1, "none", 8192, 256) == 0.1


def test_warmup_rises_by_equal_amounts_from_the_declared_rate() -> None:
    factors = [warmup_factor(step, 4, 9.0) for step in range(6)]
    assert factors == [1, 3, 5, 7, 9, 9]
    assert warmup_factor(0, 0, 9.0) == 9
    assert warmup_factor(0, 4, 0.5) == 0.5  # a lower rate needs none


def test_a_batch_that_does_not_divide_is_refused_with_the_nearest_that_do() -> None:
    assert share_of_device(256, 4, 2) == 32
    with pytest.raises(ValueError, match="set global_batch_size to 96 or 102"):
        share_of_device(100, 3, 2)
    with pytest.raises(ValueError, match="set global_batch_size to 8, or"):
        share_of_device(2, 8)


def problem() -> tuple[nn.Module, list[tuple[Tensor, Tensor]]]:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(5, 16), nn.Tanh(), nn.Linear(16, 3)).double()
    return network, [(torch.randn(8, 5, dtype=torch.double), torch.randint(3, (8,))) for _ in range(4)]


def trained(batches: list[tuple[Tensor, Tensor]], lr: float) -> Tensor:
    network, _ = problem()
    for images, labels in batches:
        gradients = torch.autograd.grad(
            nn.functional.cross_entropy(network(images), labels), list(network.parameters())
        )
        with torch.no_grad():
            for parameter, gradient in zip(network.parameters(), gradients, strict=True):
                parameter.sub_(lr * gradient)
    return torch.cat([parameter.detach().flatten() for parameter in network.parameters()])


def test_k_small_steps_equal_one_large_step_to_first_order() -> None:
    """§2.1: the two differ by O(lr²), so half the rate gives a quarter of the difference, and half of it unscaled."""
    _, batches = problem()
    large = [(torch.cat([images for images, _ in batches]), torch.cat([labels for _, labels in batches]))]

    def difference(lr: float, rule: str) -> float:
        large_lr = scaled_lr(lr, rule, 32, 8)  # type: ignore[arg-type]
        return float((trained(batches, lr) - trained(large, large_lr)).norm())

    assert difference(0.01, "linear") / difference(0.005, "linear") == pytest.approx(4, rel=0.05)
    assert difference(0.01, "none") / difference(0.005, "none") == pytest.approx(2, rel=0.05)
    assert difference(0.01, "linear") < 0.05 * difference(0.01, "none")


def rates() -> Iterator[float]:
    yield from (0.1, 0.1, 0.4, 0.4, 0.04)


def caffe(correct: bool) -> Tensor:
    """v ← m v + lr g, w ← w - v on w²/2 · (1, 2, 3)."""
    weights, buffer, previous = torch.ones(3, dtype=torch.double), torch.zeros(3, dtype=torch.double), 0.1
    for lr in rates():
        buffer *= momentum_correction(previous, lr) if correct else 1
        buffer = 0.9 * buffer + lr * weights * torch.arange(1, 4)
        weights, previous = weights - buffer, lr
    return weights


def test_pytorchs_momentum_is_the_corrected_form() -> None:
    weights = nn.Parameter(torch.ones(3, dtype=torch.double))
    optimizer = torch.optim.SGD([weights], lr=0.1, momentum=0.9)
    for lr in rates():
        optimizer.param_groups[0]["lr"] = lr
        weights.grad = weights.detach() * torch.arange(1, 4)
        optimizer.step()
    torch.testing.assert_close(weights.detach(), caffe(correct=True))
    assert (weights.detach() - caffe(correct=False)).abs().max() > 0.1


def test_a_rate_of_zero_cannot_be_corrected() -> None:
    assert momentum_correction(0.0, 0.1) == 1
