"""Improved Techniques for Training GANs (Salimans, Goodfellow, Zaremba, Cheung, Radford, Chen, NIPS 2016).

For CIFAR-10, as the released code has it (openai/improved-gan, mnist_svhn_cifar10/train_cifar_*.py):

    generator       100 uniform → 4x4x512 → 256 → 128 → image, 5x5 transposed convolutions of stride 2, tanh
    discriminator   3x3: 96, 96, 96/2, 192, 192, 192/2, 192 without padding; 1x1: 192, 192; mean over the maps; K logits

and for MNIST (train_mnist_feature_matching.py), all of it fully connected:

    generator       100 uniform → 500 softplus → 500 softplus → pixels, sigmoid
    discriminator   1000, 500, 250, 250, 250 ReLU, noise before each layer → K logits

The discriminator tells K classes, and that an image is none of them by the class K + 1, whose logit is 0 (§5): with
Z = Σ exp(logits), D = Z / (Z + 1), which is the sigmoid of log Z. Without labels it has one logit.

The generator is not told the class, nor the discriminator: the labels that it learns from are those of its loss.

Departures:
    - Virtual batch normalization (§3.5) is in the paper's CIFAR-10 network (Table 3), but not in the released one for
      CIFAR-10: this one is that of the code for ImageNet. `generator_norm: batch` is the released network.
    - 28x28 images are the middle of the 32x32 ones that the generator makes; the discriminator pads them to 32x32, as
      train_mnist_minibatch.py does.
    - Weights begin at their unit length; `initialize_from_data` sets them as the code does, from real images.
"""

import math
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lightning_modules.gan.networks.contract import (
    DiscriminatorNetwork,
    GeneratorNetwork,
    require_positive,
)
from lightning_modules.gan.networks.improved_layers import (
    GaussianNoise,
    MinibatchDiscrimination,
    ShiftBatchNorm,
    VirtualBatchNorm,
    initialize_from_data,
    weight_norm,
)

Variant = Literal["cifar10", "mnist"]
GeneratorNorm = Literal["virtual", "batch"]


class ImprovedGenerator(GeneratorNetwork):
    """Transposed convolutions with virtual batch normalization; for the arguments see `build`."""

    reference: Tensor | None

    def __init__(
        self,
        image_size: int,
        in_channels: int,
        latent_size: int = 100,
        width: int = 512,
        norm: GeneratorNorm = "virtual",
        reference_size: int = 100,
    ) -> None:
        super().__init__(latent_size, (0.0, 1.0), None)
        require_positive(in_channels=in_channels, width=width // 4, reference_size=reference_size)
        _check_size(image_size)
        self.border = (32 - image_size) // 2
        source = torch.Generator().manual_seed(0)  # the same on all ranks
        self.register_buffer("reference", self.draw_latents(reference_size, source) if norm == "virtual" else None)

        def normalize(channels: int) -> nn.Module:
            if norm == "virtual":
                return VirtualBatchNorm(channels, reference_size)
            return ShiftBatchNorm(nn.BatchNorm2d(channels, eps=1e-6, affine=False))

        linear = nn.Linear(latent_size, width * 16, bias=False)
        maps = nn.Unflatten(1, (width, 4, 4))
        first = (
            [maps, normalize(width), nn.ReLU()]
            if norm == "virtual"
            else [ShiftBatchNorm(nn.BatchNorm1d(width * 16, eps=1e-6, affine=False)), nn.ReLU(), maps]
        )
        self.hidden = nn.Sequential(
            linear,
            *first,
            _double(width, width // 2),
            normalize(width // 2),
            nn.ReLU(),
            _double(width // 2, width // 4),
            normalize(width // 4),
            nn.ReLU(),
        )
        for module in self.hidden:
            if isinstance(module, nn.Linear | nn.ConvTranspose2d):
                nn.init.normal_(module.weight, std=0.05)
        self.output = weight_norm(_double(width // 4, in_channels, bias=True), trained_scale=True, initial_std=0.1)

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        """(B, latent_size) → (B, in_channels, image_size, image_size)."""
        _refuse(labels)
        if self.reference is None:
            maps = self.hidden(latents)
        else:
            maps = self.hidden(torch.cat([self.reference, latents]))[len(self.reference) :]
        images = self.output(maps).tanh()
        return F.pad(images, [-self.border] * 4) if self.border else images

    def initialize_from_data(self, latents: Tensor) -> None:
        """Set the lengths of the last layer's weights by latents (B, latent_size), a few hundred."""
        initialize_from_data(self, latents)


class ImprovedMLPGenerator(GeneratorNetwork):
    """Fully connected, for MNIST; for the arguments see `build`."""

    def __init__(self, image_size: int, in_channels: int, latent_size: int = 100, width: int = 500) -> None:
        super().__init__(latent_size, (0.0, 1.0), None)
        require_positive(image_size=image_size, in_channels=in_channels, width=width)
        self.image_shape = (in_channels, image_size, image_size)

        def layer(inputs: int) -> nn.Sequential:
            linear = nn.Linear(inputs, width, bias=False)
            nn.init.xavier_uniform_(linear.weight)
            norm = ShiftBatchNorm(nn.BatchNorm1d(width, eps=1e-6, affine=False))
            return nn.Sequential(linear, norm, nn.Softplus())

        self.hidden = nn.Sequential(layer(latent_size), layer(width))
        output = nn.Linear(width, math.prod(self.image_shape))
        nn.init.xavier_uniform_(output.weight)
        self.output = weight_norm(output, std=None, trained_scale=True)

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        """(B, latent_size) → (B, in_channels, image_size, image_size)."""
        _refuse(labels)
        pixels = self.output(self.hidden(latents)).sigmoid()
        return (2 * pixels - 1).unflatten(1, self.image_shape)


class ImprovedDiscriminator(DiscriminatorNetwork):
    """Classifier of K classes and of what is none of them; a subclass brings the hidden layers.

    The hidden layers give features of length `width`. Standard deviations are those of the logits after
    `initialize_from_data` (`initial_std`), of noise on what the last layer sees in training (`noise`), and of the
    directions of its weights (`weight_std`); for the other arguments see `build`.
    """

    def __init__(
        self,
        width: int,
        num_classes: int | None,
        minibatch_discrimination: bool,
        kernels: int,
        kernel_size: int,
        initial_std: float,
        noise: float = 0.0,
        weight_std: float = 0.05,
    ) -> None:
        super().__init__(None)
        require_positive(kernels=kernels, kernel_size=kernel_size, num_classes=num_classes)
        self.tells_classes = num_classes is not None
        self.closeness: nn.Module = nn.Identity()
        if minibatch_discrimination:
            self.closeness = MinibatchDiscrimination(width, kernels, kernel_size)
            width += kernels
        output = nn.Linear(width, 1 if num_classes is None else num_classes)
        self.output = nn.Sequential(
            GaussianNoise(noise), weight_norm(output, std=weight_std, trained_scale=True, initial_std=initial_std)
        )

    def hidden_features(self, images: Tensor) -> Tensor:
        """(B, C, H, W) → (B, width)."""
        raise NotImplementedError

    def features(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """(B, C, H, W) → (B, width), or (B, width + kernels) with minibatch discrimination."""
        _refuse(labels)
        return self.closeness(self.hidden_features(images))

    def logits(self, features: Tensor, labels: Tensor | None = None) -> Tensor:
        """(B, F) → (B,)."""
        return self.output(features).logsumexp(1)  # of a single logit, that logit

    def class_logits(self, images: Tensor) -> Tensor:
        """(B, C, H, W) → logits of the classes (B, K).

        Raises:
            ValueError: It was not built to tell classes.
        """
        if not self.tells_classes:
            raise ValueError("This discriminator has no class logits: build it with num_classes.")
        return self.output(self.features(images))

    def initialize_from_data(self, images: Tensor) -> None:
        """Set the lengths of the weights by real images (B, C, H, W); see `improved_layers.initialize_from_data`."""
        initialize_from_data(self, images)


class ImprovedConvolutionalDiscriminator(ImprovedDiscriminator):
    """Nine convolutions with weight normalization; for the arguments see `build`.

    With minibatch discrimination, noise is added to the images instead of dropping a fifth of their pixels
    (train_cifar_minibatch_discrimination.py).
    """

    def __init__(
        self,
        image_size: int,
        in_channels: int,
        num_classes: int | None = None,
        width: int = 96,
        minibatch_discrimination: bool = True,
        kernels: int = 100,
        kernel_size: int = 5,
    ) -> None:
        require_positive(in_channels=in_channels, width=width)
        _check_size(image_size)
        super().__init__(2 * width, num_classes, minibatch_discrimination, kernels, kernel_size, initial_std=0.1)

        def layer(inputs: int, channels: int, size: int = 3, stride: int = 1, padding: int = 1) -> nn.Sequential:
            convolution = weight_norm(nn.Conv2d(inputs, channels, size, stride, padding))
            return nn.Sequential(convolution, nn.LeakyReLU(0.2))

        wide = 2 * width
        self.hidden = nn.Sequential(
            GaussianNoise(0.2) if minibatch_discrimination else nn.Dropout(0.2),
            layer(in_channels, width, padding=1 + (32 - image_size) // 2),
            layer(width, width),
            layer(width, width, stride=2),
            nn.Dropout(0.5),
            layer(width, wide),
            layer(wide, wide),
            layer(wide, wide, stride=2),
            nn.Dropout(0.5),
            layer(wide, wide, padding=0),
            layer(wide, wide, size=1, padding=0),
            layer(wide, wide, size=1, padding=0),
        )

    def hidden_features(self, images: Tensor) -> Tensor:
        """(B, in_channels, image_size, image_size) → (B, 2 · width)."""
        return self.hidden(images).mean((2, 3))


class ImprovedMLPDiscriminator(ImprovedDiscriminator):
    """Fully connected, for MNIST; for the arguments see `build`."""

    def __init__(
        self,
        image_size: int,
        in_channels: int,
        num_classes: int | None = None,
        width: int = 1000,
        minibatch_discrimination: bool = False,
        kernels: int = 100,
        kernel_size: int = 5,
    ) -> None:
        require_positive(image_size=image_size, in_channels=in_channels, width=width // 4)
        super().__init__(
            width // 4, num_classes, minibatch_discrimination, kernels, kernel_size, 1.0, noise=0.5, weight_std=0.1
        )
        widths = [in_channels * image_size**2, width, width // 2, width // 4, width // 4, width // 4]
        layers: list[nn.Module] = []
        for noise, inputs, outputs in zip((0.3, 0.5, 0.5, 0.5, 0.5), widths[:-1], widths[1:], strict=True):
            layers += [GaussianNoise(noise), weight_norm(nn.Linear(inputs, outputs), std=0.1), nn.ReLU()]
        self.hidden = nn.Sequential(*layers)

    def hidden_features(self, images: Tensor) -> Tensor:
        """(B, in_channels, image_size, image_size) → (B, width / 4)."""
        return self.hidden((images.flatten(1) + 1) / 2)


def build(
    *,
    image_size: int,
    in_channels: int,
    num_classes: int | None = None,
    variant: Variant = "cifar10",
    latent_size: int = 100,
    generator_width: int | None = None,
    discriminator_width: int | None = None,
    generator_norm: GeneratorNorm | None = None,
    reference_size: int = 100,
    minibatch_discrimination: bool | None = None,
    kernels: int = 100,
    kernel_size: int = 5,
) -> tuple[GeneratorNetwork, ImprovedDiscriminator]:
    """The two networks of 2016; the generator is never told classes, the discriminator tells them.

    Args:
        image_size: Height and width of the images in pixels: 28 or 32 for cifar10, any for mnist.
        in_channels: Their channels.
        num_classes: Classes that the discriminator tells; None for none.
        variant: cifar10: convolutions; mnist: fully connected.
        latent_size: Length of a latent vector.
        generator_width: Channels of the generator's 4x4 maps, by default 512; for mnist, units of a layer, 500.
        discriminator_width: Channels of the discriminator's first three convolutions, half of those of the others, by
            default 96; for mnist, units of the first layer, 1000: the others have a half and, three times, a quarter.
        generator_norm: virtual or batch, for cifar10; by default virtual. For mnist it is batch.
        reference_size: Images of the reference batch of virtual batch normalization, which go through with each batch.
        minibatch_discrimination: Whether the discriminator sees how close images are to each other; by default for
            cifar10 only. Not for semi-supervised learning, for which it does not work (§5.1).
        kernels: Kinds of closeness.
        kernel_size: Dimensions of each.

    Raises:
        ValueError: An option is not one of these, or the images have another size.
    """
    if variant not in ("cifar10", "mnist"):
        raise ValueError(f"variant must be cifar10 or mnist for the networks improved, not {variant}.")
    # Defaults depend on the variant, and a norm that it does not have is refused, not passed over.
    convolutional = variant == "cifar10"
    norm = generator_norm or ("virtual" if convolutional else "batch")
    if norm not in (("virtual", "batch") if convolutional else ("batch",)):
        raise ValueError(f"generator_norm cannot be {norm} for the variant {variant}: use batch.")
    discriminate = convolutional if minibatch_discrimination is None else minibatch_discrimination
    if generator_width is None:
        generator_width = 512 if convolutional else 500
    if discriminator_width is None:
        discriminator_width = 96 if convolutional else 1000
    if convolutional:
        return (
            ImprovedGenerator(image_size, in_channels, latent_size, generator_width, norm, reference_size),
            ImprovedConvolutionalDiscriminator(
                image_size, in_channels, num_classes, discriminator_width, discriminate, kernels, kernel_size
            ),
        )
    return (
        ImprovedMLPGenerator(image_size, in_channels, latent_size, generator_width),
        ImprovedMLPDiscriminator(
            image_size, in_channels, num_classes, discriminator_width, discriminate, kernels, kernel_size
        ),
    )


def _double(inputs: int, outputs: int, bias: bool = False) -> nn.ConvTranspose2d:
    return nn.ConvTranspose2d(inputs, outputs, 5, stride=2, padding=2, output_padding=1, bias=bias)


def _check_size(image_size: int) -> None:
    if image_size not in (28, 32):
        raise ValueError(
            f"The networks improved make images of 28x28 or 32x32, not {image_size}x{image_size}: resize the images, "
            "or set variant to mnist."
        )


def _refuse(labels: Tensor | None) -> None:
    if labels is not None:
        raise ValueError("The networks improved have no conditional form: set model.conditional to false.")
