"""The layers of the GAN networks against their definitions, computed literally, and against the published code."""

import math
from collections.abc import Iterator
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lightning_modules.gan.networks import build_networks
from lightning_modules.gan.networks.improved import ImprovedDiscriminator, ImprovedGenerator
from lightning_modules.gan.networks.improved_layers import (
    MinibatchDiscrimination,
    VirtualBatchNorm,
    initialize_from_data,
    weight_norm,
)
from lightning_modules.gan.networks.mlp import Maxout, MLPGenerator
from lightning_modules.gan.networks.resnet import ClassBatchNorm


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def weights(network: nn.Module) -> Iterator[Tensor]:
    """Weights and biases of the linear layers and convolutions, as they act, in order."""
    for module in network.modules():
        if isinstance(module, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
            yield module.weight
            if module.bias is not None:
                yield module.bias


# Goodfellow 2014


def test_maxout_is_the_largest_of_its_pieces() -> None:
    layer = Maxout(3, units=2, pieces=4)
    x = torch.randn(5, 3)
    for unit in range(2):
        pieces = [layer.linear.weight[4 * unit + i] @ x.T + layer.linear.bias[4 * unit + i] for i in range(4)]
        torch.testing.assert_close(layer(x)[:, unit], torch.stack(pieces).amax(0))


def test_mlp_begins_with_small_weights() -> None:
    for network, limit in zip(build_networks("mlp", image_size=28, in_channels=1), (0.05, 0.005), strict=True):
        for parameter in network.parameters():
            assert parameter.abs().max() <= limit
            if parameter.ndim == 2:
                assert parameter.std().item() == pytest.approx(limit / math.sqrt(3), rel=0.1)
            else:
                assert not parameter.any()


def test_mlp_generator_can_begin_with_the_mean_image() -> None:
    generator = MLPGenerator(image_size=4, in_channels=1, width=8)
    images = torch.rand(50, 1, 4, 4) * 2 - 1
    images[:, :, 0] = -1  # a margin that is always black
    generator.set_output_bias(images)
    with torch.no_grad():
        generator.output.weight.zero_()
    torch.testing.assert_close(generator(torch.randn(1, 100))[0], images.mean(0), atol=1e-5, rtol=0)


def test_mlp_discriminator_drops_a_fifth_of_the_pixels_and_half_of_the_units() -> None:
    _, discriminator = build_networks("mlp", image_size=8, in_channels=1)
    kept = []
    for module in discriminator.modules():
        if isinstance(module, nn.Dropout):
            module.register_forward_hook(lambda _, __, output: kept.append((output != 0).float().mean().item()))
    discriminator(torch.ones(500, 1, 8, 8))
    assert kept == pytest.approx([0.8, 0.5, 0.5], abs=0.02)


# Radford 2015


def test_small_dcgan_is_that_of_the_pytorch_examples() -> None:
    generator, discriminator = build_networks("dcgan", image_size=64, in_channels=3, variant="small", width=4)

    def up(inputs: int, outputs: int, stride: int = 2, padding: int = 1) -> nn.Module:
        return nn.ConvTranspose2d(inputs, outputs, 4, stride, padding, bias=False)

    def down(inputs: int, outputs: int, stride: int = 2, padding: int = 1) -> nn.Module:
        return nn.Conv2d(inputs, outputs, 4, stride, padding, bias=False)

    netG = nn.Sequential(  # noqa: N806
        up(100, 32, 1, 0), nn.BatchNorm2d(32), nn.ReLU(),
        up(32, 16), nn.BatchNorm2d(16), nn.ReLU(),
        up(16, 8), nn.BatchNorm2d(8), nn.ReLU(),
        up(8, 4), nn.BatchNorm2d(4), nn.ReLU(),
        up(4, 3), nn.Tanh(),
    )  # fmt: skip
    netD = nn.Sequential(  # noqa: N806
        down(3, 4), nn.LeakyReLU(0.2),
        down(4, 8), nn.BatchNorm2d(8), nn.LeakyReLU(0.2),
        down(8, 16), nn.BatchNorm2d(16), nn.LeakyReLU(0.2),
        down(16, 32), nn.BatchNorm2d(32), nn.LeakyReLU(0.2),
        down(32, 1, 1, 0),
    )  # fmt: skip
    for ours, theirs in ((generator, netG), (discriminator, netD)):
        theirs.load_state_dict(dict(zip(theirs.state_dict(), ours.state_dict().values(), strict=True)))
    latents = torch.randn(4, 100)
    images = generator(latents)
    torch.testing.assert_close(images, netG(latents[:, :, None, None]))
    torch.testing.assert_close(discriminator(images), netD(images).flatten())


def test_dcgan_of_the_paper_has_5x5_kernels_of_half_padding() -> None:
    generator, discriminator = build_networks("dcgan", image_size=28, in_channels=1, width=4)
    latents = generator.draw_latents(3, torch.Generator().manual_seed(1))
    given = weights(generator)

    def norm(x: Tensor) -> Tensor:
        return F.batch_norm(x, None, None, training=True)

    for network in (generator, discriminator):
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                nn.init.ones_(module.weight)
    x = norm(torch.einsum("bz,zchw->bchw", latents, next(given))).relu()
    for shape in ((3, 4, 14, 14), (3, 1, 28, 28)):
        x = torch.nn.grad.conv2d_input(shape, next(given), x, stride=2, padding=2)
        x = norm(x).relu() if shape[1] == 4 else x.tanh()
    torch.testing.assert_close(generator(latents), x, atol=1e-5, rtol=1e-4)
    given = weights(discriminator)
    y = F.leaky_relu(F.conv2d(x, next(given), stride=2, padding=2), 0.2)
    y = F.leaky_relu(norm(F.conv2d(y, next(given), stride=2, padding=2)), 0.2)
    torch.testing.assert_close(discriminator(x), (y * next(given)).sum((1, 2, 3)), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("variant", ["paper", "small"])
def test_dcgan_begins_as_in_the_code(variant: Any) -> None:
    for network in build_networks("dcgan", image_size=32, in_channels=3, variant=variant, width=32):
        for module in network.modules():
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
                assert module.bias is None
                assert module.weight.std().item() == pytest.approx(0.02, rel=0.1)
            elif isinstance(module, nn.BatchNorm2d):
                assert module.weight.mean().item() == pytest.approx(1, abs=0.02)
                assert module.weight.std().item() == pytest.approx(0.02, rel=0.4)
                assert not module.bias.any()


def test_maps_of_a_28x28_dcgan_begin_with_7x7() -> None:
    generator, _ = build_networks("dcgan", image_size=28, in_channels=1, width=8)
    sizes = []
    for module in generator.modules():
        if isinstance(module, nn.ConvTranspose2d):
            module.register_forward_hook(lambda _, __, output: sizes.append(tuple(output.shape[1:])))
    generator(generator.draw_latents(1, torch.Generator()).expand(2, -1))
    assert sizes == [(16, 7, 7), (8, 14, 14), (1, 28, 28)]


# Salimans 2016


def test_minibatch_discrimination_is_the_sum_over_the_others() -> None:
    layer = MinibatchDiscrimination(features=6, kernels=3, kernel_size=2)
    with torch.no_grad():
        layer.log_scale.normal_()
    features = torch.randn(5, 6)
    output = layer(features).detach()
    assert torch.equal(output[:, :6], features)
    for i in range(5):
        for b in range(3):
            total = 0.0
            for j in range(5):
                distance = 0.0
                for c in range(2):
                    direction = layer.directions[:, b, c] / layer.directions[:, b, c].norm()
                    projection = (direction * layer.log_scale[b, c].exp()).detach()
                    distance += abs(float((features[i] - features[j]) @ projection))
                total += math.exp(-distance) if i != j else 0
            assert output[i, 6 + b].item() == pytest.approx(total - 1, abs=1e-5)


def test_minibatch_discrimination_sees_a_collapse() -> None:
    layer = MinibatchDiscrimination(features=6, kernels=4)
    closeness = layer(torch.randn(1, 6).expand(8, -1))[:, 6:]
    torch.testing.assert_close(closeness, torch.full((8, 4), 7.0 - 1))
    assert (layer(10 * torch.randn(8, 6))[:, 6:] < closeness).all()
    assert torch.equal(layer(torch.randn(1, 6))[:, 6:], torch.full((1, 4), -1.0))  # nobody else


def test_virtual_batch_norm_mixes_the_image_into_the_reference_batch() -> None:
    layer = VirtualBatchNorm(channels=2, reference_size=3)
    nn.init.normal_(layer.bias)
    x = torch.randn(3 + 4, 2, 5, 5) * 3 + 1
    output = layer(x)
    for i in range(7):
        for channel in range(2):
            reference = x[:3, channel]
            mean, square = reference.mean(), reference.square().mean()
            if i >= 3:
                own = x[i, channel]
                mean, square = 3 / 4 * mean + own.mean() / 4, 3 / 4 * square + own.square().mean() / 4
            expected = (x[i, channel] - mean) / (square - mean**2 + 1e-5).sqrt()
            expected = layer.gain[channel] * expected + layer.bias[channel]
            torch.testing.assert_close(output[i, channel], expected, atol=1e-5, rtol=1e-4)


def test_virtual_batch_norm_makes_images_independent_of_their_batch() -> None:
    generator = ImprovedGenerator(image_size=32, in_channels=3, width=32, reference_size=6)
    assert generator.training
    latents = generator.draw_latents(5, torch.Generator().manual_seed(1))
    together = generator(latents)
    torch.testing.assert_close(generator(latents[2:3]), together[2:3], atol=1e-5, rtol=1e-4)
    ordinary = ImprovedGenerator(image_size=32, in_channels=3, width=32, norm="batch")
    assert not torch.allclose(ordinary(latents)[2:3], ordinary(latents[1:3])[1:], atol=1e-3)


def test_weights_have_the_length_that_is_trained_or_not() -> None:
    layer = weight_norm(nn.Conv2d(3, 4, 3))
    assert isinstance(layer, nn.Conv2d)
    torch.testing.assert_close(layer.weight.flatten(1).norm(dim=1), torch.ones(4), atol=1e-4, rtol=0)
    assert [name for name, _ in layer.named_parameters()] == ["bias", "parametrizations.weight.original"]
    transposed = weight_norm(nn.ConvTranspose2d(3, 4, 5), trained_scale=True)
    assert isinstance(transposed, nn.ConvTranspose2d)
    lengths = transposed.weight.transpose(0, 1).flatten(1).norm(dim=1)
    torch.testing.assert_close(lengths, torch.ones(4), atol=1e-4, rtol=0)
    assert "parametrizations.weight.0.scale" in dict(transposed.named_parameters())


@pytest.mark.slow(1)
def test_improved_discriminator_is_initialized_from_data() -> None:
    _, discriminator = build_networks("improved", image_size=28, in_channels=1, num_classes=10, discriminator_width=16)
    assert isinstance(discriminator, ImprovedDiscriminator)
    images = torch.rand(100, 1, 28, 28) * 2 - 1
    for module in discriminator.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
        elif type(module).__name__ == "GaussianNoise":
            module.std = 0.0
    discriminator.initialize_from_data(images)
    outputs = []
    for module in discriminator.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            module.register_forward_hook(lambda _, __, output: outputs.append(output.movedim(1, 0).flatten(1)))
    closeness = discriminator.features(images)[:, 32:]
    class_logits = discriminator.class_logits(images)
    assert len(outputs) == 9 + 9 + 1
    for output in outputs[:9]:
        torch.testing.assert_close(output.mean(1), torch.zeros(len(output)), atol=1e-4, rtol=0)
        torch.testing.assert_close(output.std(1, correction=0), torch.ones(len(output)), atol=1e-3, rtol=0)
    torch.testing.assert_close(class_logits.std(0, correction=0), torch.full((10,), 0.1), atol=1e-3, rtol=0)
    torch.testing.assert_close(closeness.mean(0), torch.zeros(100), atol=1e-4, rtol=0)


def test_initialization_leaves_no_hooks_and_other_layers_alone() -> None:
    network = nn.Sequential(nn.Linear(3, 3), weight_norm(nn.Linear(3, 2)))
    first = network[0].weight.clone()
    initialize_from_data(network, torch.randn(50, 3))
    after = [parameter.clone() for parameter in network.parameters()]
    network(torch.randn(50, 3) * 9)
    assert torch.equal(network[0].weight, first)
    assert all(torch.equal(a, b) for a, b in zip(after, network.parameters(), strict=True))


@pytest.mark.parametrize("variant", ["cifar10", "mnist"])
def test_fake_is_the_class_whose_logit_is_zero(variant: Any) -> None:
    _, discriminator = build_networks("improved", image_size=28, in_channels=1, num_classes=10, variant=variant)
    discriminator.eval()
    assert isinstance(discriminator, ImprovedDiscriminator)
    images = torch.rand(3, 1, 28, 28) * 2 - 1
    class_logits = discriminator.class_logits(images)
    assert class_logits.shape == (3, 10)
    with_fake = torch.cat([class_logits, torch.zeros(3, 1)], 1).softmax(1)
    torch.testing.assert_close(discriminator(images).sigmoid(), 1 - with_fake[:, 10])


def test_discriminator_without_classes_refuses_to_tell_them() -> None:
    _, discriminator = build_networks("improved", image_size=28, in_channels=1, discriminator_width=8)
    assert isinstance(discriminator, ImprovedDiscriminator)
    with pytest.raises(ValueError, match="has no class logits: build it with num_classes"):
        discriminator.class_logits(torch.zeros(2, 1, 28, 28))


@pytest.mark.parametrize(("image_size", "padding"), [(32, 1), (28, 3)])
def test_improved_discriminator_has_the_layers_of_the_code(image_size: int, padding: int) -> None:
    _, discriminator = build_networks(
        "improved", image_size=image_size, in_channels=1, discriminator_width=4, minibatch_discrimination=False
    )
    discriminator.eval()
    x = images = torch.randn(2, 1, image_size, image_size)
    given = weights(nn.ModuleList([discriminator.hidden, discriminator.output]))  # type: ignore[list-item]
    paddings = [padding, 1, 1, 1, 1, 1, 0, 0, 0]
    strides = [1, 1, 2, 1, 1, 2, 1, 1, 1]
    shapes = [(4, 32), (4, 32), (4, 16), (8, 16), (8, 16), (8, 8), (8, 6), (8, 6), (8, 6)]
    for stride, around, shape in zip(strides, paddings, shapes, strict=True):
        x = F.leaky_relu(F.conv2d(x, next(given), next(given), stride, around), 0.2)
        assert x.shape[1:3] == shape
    torch.testing.assert_close(discriminator.features(images), x.mean((2, 3)))
    expected = F.linear(x.mean((2, 3)), next(given), next(given)).squeeze(1)
    torch.testing.assert_close(discriminator(images), expected)


def test_improved_generator_has_the_layers_of_the_code() -> None:
    generator = ImprovedGenerator(image_size=32, in_channels=3, width=16, norm="batch")
    latents = generator.draw_latents(4, torch.Generator().manual_seed(1))
    given = weights(generator)
    x = F.linear(latents, next(given))
    x = F.batch_norm(x, None, None, training=True, eps=1e-6).relu().view(4, 16, 4, 4)
    for size in (8, 16):
        # The code's transposed convolution is the gradient of one with half padding.
        weight = next(given)
        x = torch.nn.grad.conv2d_input((4, weight.shape[1], size, size), weight, x, stride=2, padding=2)
        x = F.batch_norm(x, None, None, training=True, eps=1e-6).relu()
    weight, bias = next(given), next(given)
    x = torch.nn.grad.conv2d_input((4, 3, 32, 32), weight, x, stride=2, padding=2) + bias[:, None, None]
    images = generator(latents)
    torch.testing.assert_close(images, x.tanh(), atol=1e-5, rtol=1e-4)
    smaller = ImprovedGenerator(image_size=28, in_channels=3, width=16, norm="batch")
    smaller.load_state_dict(generator.state_dict())
    smaller.eval(), generator.eval()
    assert torch.equal(smaller(latents), generator(latents)[:, :, 2:-2, 2:-2])


def test_improved_mlps_have_the_layers_of_the_code() -> None:
    generator, discriminator = build_networks("improved", image_size=8, in_channels=1, variant="mnist")
    latents = generator.draw_latents(4, torch.Generator().manual_seed(1))
    given, x = weights(generator), latents
    for _ in range(2):
        x = F.softplus(F.batch_norm(F.linear(x, next(given)), None, None, training=True, eps=1e-6))
    x = F.linear(x, next(given), next(given)).sigmoid()
    images = generator(latents)
    torch.testing.assert_close(images, 2 * x.view(4, 1, 8, 8) - 1, atol=1e-5, rtol=1e-4)
    discriminator.eval()
    given = weights(nn.ModuleList([discriminator.hidden, discriminator.output]))  # type: ignore[list-item]
    for width in (1000, 500, 250, 250, 250):
        x = F.linear(x, next(given), next(given)).relu()
        assert x.shape == (4, width)
    torch.testing.assert_close(discriminator.features(images), x, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(discriminator(images), F.linear(x, next(given), next(given))[:, 0], atol=1e-5, rtol=1e-4)


# Gulrajani 2017, Miyato 2018


@pytest.mark.parametrize("variant", ["sngan", "wgan_gp"])
def test_resnets_are_those_of_the_code(variant: Any) -> None:
    generator, discriminator = build_networks(
        "resnet", image_size=32, in_channels=3, variant=variant, generator_width=6, discriminator_width=6
    )
    discriminator.eval()
    latents = torch.randn(3, 128)

    given = weights(generator)

    def convolve(x: Tensor) -> Tensor:
        weight, bias = next(given), next(given)
        return F.conv2d(x, weight, bias, padding=weight.shape[2] // 2)

    def norm(x: Tensor) -> Tensor:
        return F.batch_norm(x, None, None, training=True, eps=2e-5)

    def twice(x: Tensor) -> Tensor:
        return x.repeat_interleave(2, 2).repeat_interleave(2, 3)

    h = F.linear(latents, next(given), next(given)).view(3, 6, 4, 4)
    for _ in range(3):
        y = convolve(twice(norm(h).relu()))
        y = convolve(norm(y).relu())
        h = y + convolve(twice(h))
    images = convolve(norm(h).relu()).tanh()
    torch.testing.assert_close(generator(latents), images, atol=1e-4, rtol=1e-4)

    given = weights(discriminator)
    y = convolve(convolve(images).relu())
    h = F.avg_pool2d(y, 2) + convolve(F.avg_pool2d(images, 2))
    y = convolve(convolve(h.relu()).relu())
    h = F.avg_pool2d(y, 2) + F.avg_pool2d(convolve(h), 2)
    for _ in range(2):
        y = convolve(convolve(h.relu()).relu())
        h = y + h
    h = h.relu().sum((2, 3)) if variant == "sngan" else h.relu().mean((2, 3))
    expected = F.linear(h, next(given), None if variant == "sngan" else next(given)).squeeze(1)
    torch.testing.assert_close(discriminator(images), expected, atol=1e-4, rtol=1e-4)


def test_normalization_of_a_class_is_that_of_its_gain_and_bias() -> None:
    layer = ClassBatchNorm(2, num_classes=3)
    assert layer.gains is not None
    assert layer.biases is not None
    x = torch.randn(4, 2, 5, 5)
    labels = torch.tensor([0, 2, 2, 1])
    plain = F.batch_norm(x, None, None, training=True, eps=2e-5)
    torch.testing.assert_close(layer(x, labels), plain)  # gains 1, biases 0
    nn.init.normal_(layer.gains.weight)
    nn.init.normal_(layer.biases.weight)
    expected = [plain[i] * layer.gains.weight[c][:, None, None] for i, c in enumerate(labels)]
    expected = [y + layer.biases.weight[c][:, None, None] for y, c in zip(expected, labels, strict=True)]
    torch.testing.assert_close(layer(x, labels), torch.stack(expected))


def test_projection_adds_the_inner_product_with_the_class() -> None:
    _, discriminator = build_networks("resnet", image_size=28, in_channels=1, num_classes=3, discriminator_width=6)
    discriminator.eval()
    images, labels = torch.randn(4, 1, 28, 28), torch.tensor([0, 1, 2, 1])
    features = discriminator.features(images)
    weight, vectors = discriminator.output.weight[0], discriminator.from_labels.weight  # type: ignore[union-attr]
    expected = (features * (weight + vectors[labels])).sum(1)  # type: ignore[operator,index]
    torch.testing.assert_close(discriminator(images, labels), expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", ["resnet", "dcgan"])
@pytest.mark.slow(1)
def test_spectral_normalization_makes_the_largest_singular_value_1(name: Any) -> None:
    options = {"resnet": {"discriminator_width": 16, "num_classes": 3}, "dcgan": {"width": 8}}[name]
    _, discriminator = build_networks(
        name, image_size=28, in_channels=1, discriminator_norm="spectral", **options  # type: ignore[arg-type]
    )  # fmt: skip
    images = torch.randn(2, 1, 28, 28)
    labels = torch.tensor([0, 1]) if discriminator.num_classes else None
    with torch.no_grad():
        for parameter in discriminator.parameters():
            parameter.mul_(7)  # what the length of a weight is makes no difference
        for _ in range(100):  # one iteration of the power method each
            discriminator(images, labels)
    largest = [
        torch.linalg.svdvals(module.weight.flatten(1))[0].item()
        for module in discriminator.modules()
        if isinstance(module, nn.Conv2d | nn.Linear | nn.Embedding)
    ]
    assert len(largest) == {"resnet": 12, "dcgan": 3}[name]
    assert largest == pytest.approx([1.0] * len(largest), abs=0.02)


def test_evaluation_does_no_power_iteration() -> None:
    _, discriminator = build_networks("resnet", image_size=28, in_channels=1, discriminator_width=6)
    discriminator.eval()
    before = {name: value.clone() for name, value in discriminator.state_dict().items()}
    discriminator(torch.randn(2, 1, 28, 28))
    assert all(torch.equal(value, before[name]) for name, value in discriminator.state_dict().items())
    discriminator.train()(torch.randn(2, 1, 28, 28))
    assert any(not torch.equal(value, before[name]) for name, value in discriminator.state_dict().items())


def test_resnets_begin_with_glorots_weights() -> None:
    generator, discriminator = build_networks(
        "resnet", image_size=32, in_channels=3, generator_width=32, discriminator_width=32, discriminator_norm="none"
    )
    for network in (generator, discriminator):
        for name, parameter in network.named_parameters():
            if parameter.ndim > 1:
                fans = sum(nn.init._calculate_fan_in_and_fan_out(parameter))
                gain = math.sqrt(2) if "convolution" in name else 1
                assert parameter.std().item() == pytest.approx(gain * math.sqrt(2 / fans), rel=0.25)
