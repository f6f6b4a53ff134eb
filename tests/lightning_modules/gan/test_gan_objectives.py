"""Losses and penalties against their formulas, written out."""

import math

import pytest
import torch
from torch import Tensor, nn

from lightning_modules.gan.objectives import (
    EQUILIBRIUM,
    OBJECTIVES,
    feature_matching_loss,
    value_of_the_game,
)
from lightning_modules.gan.stabilizers import (
    WeightHistory,
    clip_weights,
    gradient_penalty,
    historical_penalty,
    r1_penalty,
)

REAL, FAKE = torch.tensor([2.0, -1.0, 0.5]), torch.tensor([-3.0, 1.0, 0.0])


def probability(logits: Tensor) -> Tensor:
    return 1 / (1 + (-logits).exp())


def test_the_minimax_game() -> None:
    real, fake = probability(REAL), probability(FAKE)
    expected = -(real.log().mean() + (1 - fake).log().mean())
    for name in ("minimax", "non_saturating"):
        torch.testing.assert_close(OBJECTIVES[name].discriminator(REAL, FAKE, 1.0), expected)
    torch.testing.assert_close(OBJECTIVES["minimax"].generator(FAKE), (1 - fake).log().mean())
    torch.testing.assert_close(OBJECTIVES["non_saturating"].generator(FAKE), -fake.log().mean())
    torch.testing.assert_close(value_of_the_game(REAL, FAKE), -expected)


def test_at_the_equilibrium_the_game_is_worth_minus_log_four() -> None:
    nothing = torch.zeros(7)
    assert float(value_of_the_game(nothing, nothing)) == pytest.approx(EQUILIBRIUM) == pytest.approx(-math.log(4))


def test_one_sided_label_smoothing_leaves_fake_images_alone() -> None:
    real, fake = probability(REAL), probability(FAKE)
    expected = -(0.9 * real.log() + 0.1 * (1 - real).log()).mean() - (1 - fake).log().mean()
    torch.testing.assert_close(OBJECTIVES["non_saturating"].discriminator(REAL, FAKE, 0.9), expected)


def test_the_other_objectives() -> None:
    zero = torch.tensor(0.0)
    hinge = torch.maximum(zero, 1 - REAL).mean() + torch.maximum(zero, 1 + FAKE).mean()
    torch.testing.assert_close(OBJECTIVES["hinge"].discriminator(REAL, FAKE, 1.0), hinge)
    torch.testing.assert_close(OBJECTIVES["wasserstein"].discriminator(REAL, FAKE, 1.0), FAKE.mean() - REAL.mean())
    for name in ("hinge", "wasserstein"):
        torch.testing.assert_close(OBJECTIVES[name].generator(FAKE), -FAKE.mean())
    squares = (((REAL - 1) ** 2).mean() + (FAKE**2).mean()) / 2
    torch.testing.assert_close(OBJECTIVES["least_squares"].discriminator(REAL, FAKE, 1.0), squares)
    torch.testing.assert_close(OBJECTIVES["least_squares"].generator(FAKE), ((FAKE - 1) ** 2).mean() / 2)


def test_losses_are_finite_where_probabilities_are_0_or_1() -> None:
    far = torch.tensor([-1000.0, 1000.0])
    for objective in OBJECTIVES.values():
        assert objective.discriminator(far, far, 1.0).isfinite()
        assert objective.generator(far).isfinite()


def test_a_saturated_generator_still_learns_from_the_non_saturating_loss() -> None:
    gradients = []
    for name in ("minimax", "non_saturating"):
        logit = torch.tensor([-20.0], requires_grad=True)
        OBJECTIVES[name].generator(logit).backward()
        assert logit.grad is not None
        gradients.append(abs(float(logit.grad)))
    assert gradients[0] < 1e-8
    assert gradients[1] == pytest.approx(1)


def test_feature_matching() -> None:
    real, fake = torch.randn(5, 3), torch.randn(7, 3)
    difference = real.mean(0) - fake.mean(0)
    torch.testing.assert_close(feature_matching_loss(real, fake, "squared"), (difference**2).sum())
    torch.testing.assert_close(feature_matching_loss(real, fake, "absolute"), difference.abs().sum() / 3)


def test_penalties_of_a_linear_critic_follow_from_its_weights() -> None:
    weight = torch.tensor([3.0, 4.0])
    real, fake = torch.randn(2, 6, 1, 1, 2)

    def critic(images: Tensor) -> Tensor:
        return images.flatten(1) @ weight

    torch.testing.assert_close(gradient_penalty(critic, real, fake, torch.rand(6)), torch.tensor((5.0 - 1) ** 2))
    torch.testing.assert_close(r1_penalty(critic, real), torch.tensor(25.0 / 2))


def test_the_gradient_is_penalized_between_real_and_fake() -> None:
    real, fake, mix = torch.randn(3, 1, 1, 1), torch.randn(3, 1, 1, 1), torch.tensor([0.0, 0.25, 1.0])
    between = mix.view(-1, 1, 1, 1) * real + (1 - mix.view(-1, 1, 1, 1)) * fake
    penalty = gradient_penalty(lambda images: (images**2).flatten(1).sum(1), real, fake, mix)
    torch.testing.assert_close(penalty, ((2 * between.abs() - 1) ** 2).mean())


def test_clipped_weights() -> None:
    network = nn.Linear(4, 4)
    clip_weights(network.parameters(), 0.01)
    assert max(float(parameter.abs().max()) for parameter in network.parameters()) == pytest.approx(0.01)


def test_the_history_holds_the_mean_of_all_weights() -> None:
    network = nn.Linear(2, 2)
    history = WeightHistory(network)
    seen = []
    for value in (1.0, 5.0, -3.0):
        nn.init.constant_(network.weight, value)
        history.add(network)
        seen.append(value)
    torch.testing.assert_close(history.means[0], torch.full((2, 2), sum(seen) / 3))
    penalty = historical_penalty(list(network.parameters()), history.means)
    torch.testing.assert_close(penalty, torch.tensor(4 * (-3.0 - 1.0) ** 2))
