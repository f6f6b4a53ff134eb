"""Residual networks for 32x32 images: WGAN-GP and SNGAN.

Improved Training of Wasserstein GANs (Gulrajani, Ahmed, Arjovsky, Dumoulin, Courville, NIPS 2017), and Spectral
Normalization for GANs (Miyato, Kataoka, Koyama, Yoshida, ICLR 2018, Table 3), which has the same blocks:

    generator       128 normal → 4x4 → 3 blocks that double → batch normalization, ReLU, 3x3, tanh
    discriminator   32x32 → 2 blocks that halve → 2 blocks → ReLU → pooling → 1

                            sngan               wgan_gp
    generator, channels     256                 128
    discriminator           128                 128
    pooling                 sum                 mean
    its weights             spectral norm       free
    code                    pfnet-research/     igul222/improved_wgan_training,
                            sngan_projection    gan_cifar_resnet.py

Conditional form (cGANs with Projection Discriminator; Miyato, Koyama, ICLR 2018): gains and biases of the generator's
batch normalization for each class, and the inner product of the discriminator's features with a vector for each class.

Departures:
    - SNGAN's paper says average pooling where the code sums (dis_models/snresnet_32.py).
    - The conditional WGAN-GP is that of the paper by Miyato and Koyama too; Gulrajani's is an ACGAN.
    - PyTorch's spectral normalization begins with 15 iterations of the power method, the code with none.
    - 28x28 images begin with 7x7 and are doubled twice.
"""

import math
from typing import Literal, cast

import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from lightning_modules.gan.networks.contract import (
    DiscriminatorNetwork,
    GeneratorNetwork,
    check_labels,
    require_positive,
)

Variant = Literal["sngan", "wgan_gp"]
DiscriminatorNorm = Literal["spectral", "layer", "none"]
STAGES = {28: (7, 2), 32: (4, 3)}  # size of the first maps, blocks that double
EPSILON = 2e-5  # of batch normalization, Chainer's; the code of WGAN-GP has 1e-5


class ClassBatchNorm(nn.Module):
    """Batch normalization with a gain and a bias for each channel, of each class if there are classes."""

    def __init__(self, channels: int, num_classes: int | None = None) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels, eps=EPSILON, affine=num_classes is None)
        self.gains = None if num_classes is None else nn.Embedding(num_classes, channels)
        self.biases = None if num_classes is None else nn.Embedding(num_classes, channels)
        if self.gains is not None and self.biases is not None:
            nn.init.ones_(self.gains.weight)
            nn.init.zeros_(self.biases.weight)

    def forward(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        """(B, C, H, W) → (B, C, H, W)."""
        x = self.norm(x)
        if self.gains is None or self.biases is None or labels is None:
            return x
        return x * self.gains(labels)[:, :, None, None] + self.biases(labels)[:, :, None, None]


class UpBlock(nn.Module):
    """Two 3x3 convolutions, the first on maps of twice the size, and a 1x1 one beside them."""

    def __init__(self, channels: int, num_classes: int | None = None) -> None:
        super().__init__()
        self.norm1 = ClassBatchNorm(channels, num_classes)
        self.convolution1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.norm2 = ClassBatchNorm(channels, num_classes)
        self.convolution2 = nn.Conv2d(channels, channels, 3, padding=1)
        self.shortcut = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        """(B, C, H, W) → (B, C, 2H, 2W)."""
        y = self.convolution1(_doubled(self.norm1(x, labels).relu()))
        y = self.convolution2(self.norm2(y, labels).relu())
        # A 1x1 convolution gives the same before the doubling as after it, at a quarter of the work.
        return y + _doubled(self.shortcut(x))


class DownBlock(nn.Module):
    """Two 3x3 convolutions with a shortcut beside them, then a mean over 2x2 pixels if it halves.

    Args:
        inputs: Channels of the input.
        channels: Channels of the output.
        halve: Whether the maps become half as large.
        of_images: Whether the input are the images, on which no ReLU acts.
        layer_norm: Whether a layer normalization stands before each ReLU.
    """

    def __init__(
        self, inputs: int, channels: int, halve: bool, of_images: bool = False, layer_norm: bool = False
    ) -> None:
        super().__init__()
        self.halve = halve
        self.of_images = of_images
        self.norm1 = nn.GroupNorm(1, inputs) if layer_norm and not of_images else nn.Identity()
        self.convolution1 = nn.Conv2d(inputs, channels, 3, padding=1)
        self.norm2 = nn.GroupNorm(1, channels) if layer_norm and not of_images else nn.Identity()
        self.convolution2 = nn.Conv2d(channels, channels, 3, padding=1)
        self.shortcut = nn.Conv2d(inputs, channels, 1) if halve or inputs != channels else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) → (B, channels, H, W), or half of H and W."""
        y = x if self.of_images else self.norm1(x).relu()
        y = self.convolution2(self.norm2(self.convolution1(y)).relu())
        if self.halve:
            # The mean of a 1x1 convolution is the convolution of the mean, at a quarter of the work.
            y, x = F.avg_pool2d(y, 2), F.avg_pool2d(x, 2)
        return y + self.shortcut(x)


class ResNetGenerator(GeneratorNetwork):
    """Residual blocks that double the size; for the arguments see `build`."""

    def __init__(
        self,
        image_size: int,
        in_channels: int,
        num_classes: int | None = None,
        width: int = 256,
        latent_size: int = 128,
    ) -> None:
        super().__init__(latent_size, None, num_classes)
        require_positive(in_channels=in_channels, width=width)
        base, doublings = _stages(image_size)
        self.map_shape = (width, base, base)
        self.from_latents = nn.Linear(latent_size, math.prod(self.map_shape))
        self.blocks = nn.ModuleList([UpBlock(width, num_classes) for _ in range(doublings)])
        self.norm = nn.BatchNorm2d(width, eps=EPSILON)
        self.output = nn.Conv2d(width, in_channels, 3, padding=1)
        _initialize(self)

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        """(B, latent_size) → (B, in_channels, image_size, image_size)."""
        check_labels(self.num_classes, labels)
        x = self.from_latents(latents).unflatten(1, self.map_shape)
        for block in self.blocks:
            x = block(x, labels)
        return self.output(self.norm(x).relu()).tanh()


class ResNetDiscriminator(DiscriminatorNetwork):
    """Residual blocks, of which the first two halve the size; for the arguments see `build`."""

    def __init__(
        self,
        image_size: int,
        in_channels: int,
        num_classes: int | None = None,
        width: int = 128,
        norm: DiscriminatorNorm = "spectral",
        pooling: Literal["sum", "mean"] = "sum",
    ) -> None:
        super().__init__(num_classes)
        require_positive(in_channels=in_channels, width=width)
        _stages(image_size)
        self.pooling = pooling
        layer_norm = norm == "layer"
        self.blocks = nn.Sequential(
            DownBlock(in_channels, width, halve=True, of_images=True),
            DownBlock(width, width, halve=True, layer_norm=layer_norm),
            DownBlock(width, width, halve=False, layer_norm=layer_norm),
            DownBlock(width, width, halve=False, layer_norm=layer_norm),
        )
        self.output = nn.Linear(width, 1, bias=pooling == "mean")
        self.from_labels = None if num_classes is None else nn.Embedding(num_classes, width)
        _initialize(self)
        if self.from_labels is not None:
            nn.init.xavier_uniform_(self.from_labels.weight)
        if norm == "spectral":
            for module in [*self.modules()]:
                if isinstance(module, nn.Conv2d | nn.Linear | nn.Embedding):
                    spectral_norm(module, eps=1e-12)

    def features(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """(B, in_channels, image_size, image_size) → (B, width); labels make no difference."""
        maps = self.blocks(images).relu()
        return maps.sum((2, 3)) if self.pooling == "sum" else maps.mean((2, 3))

    def logits(self, features: Tensor, labels: Tensor | None = None) -> Tensor:
        """(B, width) → (B,)."""
        check_labels(self.num_classes, labels)
        logits = self.output(features).squeeze(1)
        if self.from_labels is not None and labels is not None:
            logits = logits + (self.from_labels(labels) * features).sum(1)
        return logits


def build(
    *,
    image_size: int,
    in_channels: int,
    num_classes: int | None = None,
    variant: Variant = "sngan",
    latent_size: int = 128,
    generator_width: int | None = None,
    discriminator_width: int = 128,
    discriminator_norm: DiscriminatorNorm | None = None,
) -> tuple[ResNetGenerator, ResNetDiscriminator]:
    """The two residual networks of SNGAN or of WGAN-GP.

    Args:
        image_size: Height and width of the images in pixels, 28 or 32.
        in_channels: Their channels.
        num_classes: Classes that both are told; None for none.
        variant: sngan or wgan_gp.
        latent_size: Length of a latent vector.
        generator_width: Channels of the generator's blocks; by default 256, or 128 for wgan_gp.
        discriminator_width: Channels of the discriminator's blocks.
        discriminator_norm: spectral: of all weights; layer: of the maps, except in the first block; none. By default
            spectral, or none for wgan_gp.

    Raises:
        ValueError: An option is not one of these, or the images have another size.
    """
    if variant not in ("sngan", "wgan_gp"):
        raise ValueError(f"variant must be sngan or wgan_gp for the networks resnet, not {variant}.")
    sngan = variant == "sngan"
    # WGAN-GP bounds the gradient by its penalty, so its weights need no normalization.
    norm = discriminator_norm or ("spectral" if sngan else "none")
    if norm not in ("spectral", "layer", "none"):
        raise ValueError(f"discriminator_norm must be spectral, layer or none for the networks resnet, not {norm}.")
    width = (256 if sngan else 128) if generator_width is None else generator_width
    pooling = "sum" if sngan else "mean"
    return (
        ResNetGenerator(image_size, in_channels, num_classes, width, latent_size),
        ResNetDiscriminator(
            image_size, in_channels, num_classes, discriminator_width, norm, cast(Literal["sum", "mean"], pooling)
        ),
    )


def _stages(image_size: int) -> tuple[int, int]:
    if image_size not in STAGES:
        raise ValueError(
            f"The networks resnet make images of 28x28 or 32x32, not {image_size}x{image_size}: resize the images, or "
            "use the networks dcgan."
        )
    return STAGES[image_size]


def _doubled(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2, mode="nearest")


def _initialize(network: nn.Module) -> None:
    """Glorot's uniform weights, with gain √2 for the 3x3 convolutions of blocks, and biases 0 (both codes)."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.xavier_uniform_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    for module in network.modules():
        if isinstance(module, UpBlock | DownBlock):
            nn.init.xavier_uniform_(module.convolution1.weight, gain=math.sqrt(2))
            nn.init.xavier_uniform_(module.convolution2.weight, gain=math.sqrt(2))
