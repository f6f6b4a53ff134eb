"""What every GAN network must do, whatever its paper."""

import copy
from typing import Any

import pytest
import torch
from torch import Tensor

from lightning_modules.gan.networks import DiscriminatorNetwork, GeneratorNetwork, build_networks

SMALL = {
    "mlp": {"width": 24, "units": 10, "pieces": 3},
    "dcgan": {"width": 8},
    "improved": {"generator_width": 32, "discriminator_width": 8, "kernels": 6, "reference_size": 5},
    "resnet": {"generator_width": 8, "discriminator_width": 8},
}
CONFIGURATIONS: list[tuple[Any, dict[str, Any]]] = [
    ("mlp", {}),
    ("dcgan", {}),
    ("dcgan", {"variant": "small", "discriminator_norm": "spectral"}),
    ("dcgan", {"variant": "small", "discriminator_norm": "none"}),
    ("improved", {}),
    ("improved", {"generator_norm": "batch", "minibatch_discrimination": False}),
    ("improved", {"variant": "mnist"}),
    ("resnet", {}),
    ("resnet", {"variant": "wgan_gp", "discriminator_norm": "layer"}),
]
SIZES = [(28, 1), (32, 3)]
both_sizes = pytest.mark.parametrize(("image_size", "in_channels"), SIZES)
every_network = pytest.mark.parametrize(("name", "options"), CONFIGURATIONS)
with_and_without_classes = pytest.mark.parametrize("num_classes", [None, 3])
Networks = tuple[GeneratorNetwork, DiscriminatorNetwork]


def build(name: Any, image_size: int = 28, in_channels: int = 1, **options: Any) -> Networks:
    torch.manual_seed(0)
    small: dict[str, Any] = SMALL[name]
    return build_networks(name, image_size=image_size, in_channels=in_channels, **small | options)


def inputs(generator: GeneratorNetwork, count: int = 4) -> tuple[Tensor, Tensor | None]:
    """Latents and labels that a generator takes."""
    latents = generator.draw_latents(count, torch.Generator().manual_seed(1))
    return latents, None if generator.num_classes is None else torch.arange(count) % generator.num_classes


@every_network
@both_sizes
@with_and_without_classes
def test_shapes_ranges_and_gradients(
    name: Any, options: dict[str, Any], image_size: int, in_channels: int, num_classes: int | None
) -> None:
    generator, discriminator = build(name, image_size, in_channels, num_classes=num_classes, **options)
    latents, labels = inputs(generator)
    assert latents.shape == (4, generator.latent_size)
    images = generator(latents, labels)
    assert images.shape == (4, in_channels, image_size, image_size)
    assert images.abs().max() <= 1
    assert images.min() < 0 < images.max()
    logits = discriminator(images, labels)
    features = discriminator.features(images, labels)
    assert logits.shape == (4,)
    assert features.ndim == 2
    assert len(features) == 4

    logits.square().sum().backward()
    for network in (generator, discriminator):
        assert all(parameter.grad is not None for parameter in network.parameters())
        assert all(parameter.grad.isfinite().all() for parameter in network.parameters())  # type: ignore[union-attr]


@every_network
@with_and_without_classes
def test_evaluation_is_deterministic(name: Any, options: dict[str, Any], num_classes: int | None) -> None:
    generator, discriminator = (network.eval() for network in build(name, num_classes=num_classes, **options))
    latents, labels = inputs(generator)
    images = generator(latents, labels)
    assert torch.equal(images, generator(latents, labels))
    assert torch.equal(discriminator(images, labels), discriminator(images, labels))
    # One image at a time is the same: no image depends on its neighbors.
    alone = [generator(latents[i : i + 1], None if labels is None else labels[i : i + 1]) for i in range(4)]
    torch.testing.assert_close(torch.cat(alone), images, atol=1e-5, rtol=1e-4)


@every_network
def test_logits_are_the_last_layer_on_the_features(name: Any, options: dict[str, Any]) -> None:
    _, discriminator = build(name, num_classes=3, **options)
    discriminator.eval()
    images = torch.rand(4, 1, 28, 28) * 2 - 1
    labels = None if discriminator.num_classes is None else torch.tensor([0, 1, 2, 0])
    features = discriminator.features(images, labels)
    assert torch.equal(discriminator.logits(features, labels), discriminator(images, labels))


@pytest.mark.parametrize(("name", "options"), [case for case in CONFIGURATIONS if case[0] != "improved"])
def test_classes_matter(name: Any, options: dict[str, Any]) -> None:
    generator, discriminator = build(name, num_classes=3, **options)
    with torch.no_grad():  # a new generator's classes may be the same: gains 1, biases 0
        for parameter in generator.parameters():
            parameter.add_(0.01 * torch.randn_like(parameter))
    generator.eval(), discriminator.eval()
    latents = generator.draw_latents(1, torch.Generator().manual_seed(1)).expand(3, -1)
    images = generator(latents, torch.arange(3))
    assert not torch.equal(images[0], images[1])
    same = images[:1].expand(3, -1, -1, -1)
    assert len(discriminator(same, torch.arange(3)).unique()) == 3


@every_network
def test_copies_and_checkpoints_are_the_same_network(name: Any, options: dict[str, Any]) -> None:
    for network, other in zip(build(name, **options), build(name, **options), strict=True):
        copied = copy.deepcopy(network)
        with torch.no_grad():
            for parameter in other.parameters():
                parameter.zero_()
        other.load_state_dict(network.state_dict(), strict=True)
        for again in (copied, other):
            again.eval()
        network.eval()
        if isinstance(network, GeneratorNetwork):
            given = inputs(network)[0]
        else:
            given = torch.rand(4, 1, 28, 28, generator=torch.Generator().manual_seed(1))
        assert torch.equal(network(given), copied(given))
        assert torch.equal(network(given), other(given))


def test_names_of_weights_stay_as_checkpoints_have_them() -> None:
    def names(index: int, name: Any, **options: Any) -> list[str]:
        return list(build(name, **options)[index].state_dict())

    assert names(0, "mlp") == [
        "from_latents.weight", "from_latents.bias", "hidden.weight", "hidden.bias", "output.weight", "output.bias",
    ]  # fmt: skip
    assert names(1, "dcgan", discriminator_norm="none") == [
        "stages.0.0.weight", "stages.0.0.bias", "stages.1.0.weight", "stages.1.0.bias", "output.weight", "output.bias",
    ]  # fmt: skip
    assert [name for name in names(1, "resnet", num_classes=3) if name.startswith(("output", "from_labels"))] == [
        "output.parametrizations.weight.original",
        "output.parametrizations.weight.0._u",
        "output.parametrizations.weight.0._v",
        "from_labels.parametrizations.weight.original",
        "from_labels.parametrizations.weight.0._u",
        "from_labels.parametrizations.weight.0._v",
    ]
    assert [name for name in names(1, "improved") if not name.startswith("hidden")] == [
        "closeness.directions",
        "closeness.log_scale",
        "closeness.bias",
        "output.1.bias",
        "output.1.parametrizations.weight.original",
        "output.1.parametrizations.weight.0.scale",
    ]
    assert names(0, "improved")[:4] == ["reference", "hidden.0.weight", "hidden.2.gain", "hidden.2.bias"]


@every_network
def test_gradient_penalties_have_gradients(name: Any, options: dict[str, Any]) -> None:
    _, discriminator = build(name, **options)
    images = (torch.rand(4, 1, 28, 28) * 2 - 1).requires_grad_()
    (gradient,) = torch.autograd.grad(discriminator(images).sum(), images, create_graph=True)
    gradient.square().sum().backward()
    assert sum(float(p.grad.abs().sum()) for p in discriminator.parameters() if p.grad is not None) > 0


@every_network
def test_bfloat16(name: Any, options: dict[str, Any]) -> None:
    generator, discriminator = build(name, **options)
    latents, _ = inputs(generator)
    with torch.autocast("cpu", torch.bfloat16):
        logits = discriminator(generator(latents))
    logits.float().sum().backward()
    assert logits.isfinite().all()
    buffers = [*generator.buffers(), *discriminator.buffers()]
    assert {buffer.dtype for buffer in buffers} <= {torch.float32, torch.int64}


@pytest.mark.parametrize(
    ("name", "options", "low", "high", "std"),
    [
        ("mlp", {}, -(3**0.5), 3**0.5, 1),
        ("mlp", {"num_classes": 3}, 0, 1, 12**-0.5),
        ("dcgan", {}, -1, 1, 3**-0.5),
        ("dcgan", {"variant": "small"}, None, None, 1),
        ("improved", {}, 0, 1, 12**-0.5),
        ("resnet", {}, None, None, 1),
    ],
)
def test_latents_are_drawn_as_in_the_paper(
    name: Any, options: dict[str, Any], low: float | None, high: float | None, std: float
) -> None:
    generator, _ = build(name, **options)
    latents = generator.draw_latents(2000, torch.Generator().manual_seed(0))
    assert torch.equal(latents, generator.draw_latents(2000, torch.Generator().manual_seed(0)))
    assert not torch.equal(latents, generator.draw_latents(2000, torch.Generator().manual_seed(1)))
    assert latents.std().item() == pytest.approx(std, rel=0.01)
    if low is None or high is None:
        assert latents.mean().item() == pytest.approx(0, abs=0.01)
        assert latents.abs().max() > 3.5
    else:
        assert latents.min().item() == pytest.approx(low, abs=0.01)
        assert latents.max().item() == pytest.approx(high, abs=0.01)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("vae", {}, "networks must be one of mlp, dcgan, improved, resnet, not vae"),
        ("dcgan", {"widht": 64}, "no option widht: theirs are variant, latent_size, width, discriminator_norm"),
        ("dcgan", {"variant": "large"}, "variant must be paper or small"),
        ("dcgan", {"discriminator_norm": "layer"}, "must be batch, spectral or none"),
        ("dcgan", {"image_size": 30}, "never gives 30: resize the images to 28, 32 or 64 pixels"),
        ("dcgan", {"image_size": 7}, "never gives 7"),
        ("dcgan", {"width": 0}, "width must be at least 1, not 0"),
        ("improved", {"image_size": 64}, "28x28 or 32x32, not 64x64: resize the images"),
        ("improved", {"variant": "svhn"}, "variant must be cifar10 or mnist"),
        ("improved", {"variant": "mnist", "generator_norm": "virtual"}, "use batch"),
        ("improved", {"generator_width": 0}, "must be at least 1"),
        ("improved", {"kernels": 0}, "kernels must be at least 1"),
        ("resnet", {"image_size": 64}, "28x28 or 32x32, not 64x64: resize the images, or use the networks dcgan"),
        ("resnet", {"discriminator_norm": "batch"}, "spectral, layer or none"),
        ("resnet", {"variant": "biggan"}, "variant must be sngan or wgan_gp"),
        ("mlp", {"num_classes": 0}, "num_classes must be at least 1, not 0"),
        ("mlp", {"latent_size": 0}, "latent_size must be at least 1, not 0"),
        ("mlp", {"in_channels": 0}, "in_channels must be at least 1, not 0"),
    ],
)
def test_what_cannot_be_built_is_refused(name: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build_networks(name, **{"image_size": 28, "in_channels": 1} | options)


@pytest.mark.parametrize("name", ["mlp", "dcgan", "resnet"])
def test_labels_are_given_to_conditional_networks_only(name: Any) -> None:
    labels = torch.tensor([0, 1])
    images = torch.zeros(2, 1, 28, 28)
    generator, discriminator = build(name)
    latents = inputs(generator, 2)[0]
    for call in (lambda: generator(latents, labels), lambda: discriminator(images, labels)):
        with pytest.raises(ValueError, match="leave the labels out, or build it with num_classes"):
            call()
    generator, discriminator = build(name, num_classes=3)
    for call in (lambda: generator(latents), lambda: discriminator(images)):
        with pytest.raises(ValueError, match="conditional: give it labels"):
            call()


def test_improved_networks_have_no_conditional_form() -> None:
    generator, discriminator = build("improved", num_classes=3)
    assert generator.num_classes is None
    assert discriminator.num_classes is None
    with pytest.raises(ValueError, match="no conditional form: set model.conditional to false"):
        generator(inputs(generator, 2)[0], torch.tensor([0, 1]))
    with pytest.raises(ValueError, match="no conditional form: set model.conditional to false"):
        discriminator(torch.zeros(2, 1, 28, 28), torch.tensor([0, 1]))
