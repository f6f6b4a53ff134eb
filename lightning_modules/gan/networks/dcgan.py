"""Unsupervised Representation Learning with Deep Convolutional GANs (Radford, Metz, Chintala, 2015; ICLR 2016).

For 64x64 (Fig. 1); each convolution of the generator doubles the size, each of the discriminator halves it:

                    paper                               small
    latents         100, uniform in [-1, 1]             100, normal
    generator       4x4x1024 → 512 → 256 → 128 → 3      4x4x512 → 256 → 128 → 64 → 3
    discriminator   3 → 128 → 256 → 512 → 1024 → 1      3 → 64 → 128 → 256 → 512 → 1
    kernels         5x5, stride 2                       4x4, stride 2
    code            Newmu/dcgan_code, faces             soumith/dcgan.torch, pytorch/examples

Batch normalization and ReLU in the generator, tanh at its end; batch normalization and leaky ReLU in the discriminator;
none at the output of the generator and at the input of the discriminator (§3).

For 32x32 there is one doubling less, and the widest layer is half as wide; 28x28 begins with 7x7 and doubles twice, as
dcgan_code's networks for MNIST do (mnist/train_cond_dcgan.py). Classes are put beside the latents and beside the maps
before each convolution, as there, after Mirza and Osindero 2014.

Departures:
    - The first normalization of the paper's generator has a gain for each channel, not for each of the 4x4 pixels.
    - dcgan_code's networks for MNIST have a fully connected layer of 1024 units each, against the paper's own guideline
      (§3); it is left out.
    - In evaluation running averages normalize; dcgan_code uses the statistics of the batch of samples.
    - Without batch normalization in the discriminator, as WGAN-GP and SNGAN need it, its convolutions have biases.
"""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from lightning_modules.gan.networks.contract import (
    DiscriminatorNetwork,
    GeneratorNetwork,
    check_labels,
    one_hot,
    require_positive,
)

Variant = Literal["paper", "small"]
DiscriminatorNorm = Literal["batch", "spectral", "none"]


def stages(image_size: int) -> tuple[int, int]:
    """Size of the smallest maps, from 4 to 7 pixels, and how often it is doubled to get `image_size`.

    Raises:
        ValueError: It is never reached.
    """
    size, doublings = image_size, 0
    while size % 2 == 0 and size >= 8:
        size, doublings = size // 2, doublings + 1
    if not (4 <= size <= 7 and doublings):
        raise ValueError(
            f"Doubling 4 to 7 pixels never gives {image_size}: resize the images to 28, 32 or 64 pixels, or use the "
            "networks mlp."
        )
    return size, doublings


def with_classes(x: Tensor, labels: Tensor | None, num_classes: int | None) -> Tensor:
    """Put a map of ones or zeros for each class behind the channels: (B, C, H, W) → (B, C + num_classes, H, W)."""
    if labels is None or num_classes is None:
        return x
    maps = one_hot(labels, num_classes, x.dtype)[:, :, None, None].expand(-1, -1, *x.shape[2:])
    return torch.cat([x, maps], 1)


class DCGANGenerator(GeneratorNetwork):
    """Fractionally strided convolutions; for the arguments see `build`."""

    def __init__(
        self,
        image_size: int,
        in_channels: int,
        num_classes: int | None = None,
        variant: Variant = "paper",
        latent_size: int = 100,
        width: int | None = None,
    ) -> None:
        super().__init__(latent_size, (-1.0, 1.0) if variant == "paper" else None, num_classes)
        width = _width(variant, width)
        require_positive(in_channels=in_channels, width=width)
        base, doublings = stages(image_size)
        classes = num_classes or 0

        def double(inputs: int, outputs: int) -> nn.ConvTranspose2d:
            if variant == "paper":
                return nn.ConvTranspose2d(inputs, outputs, 5, stride=2, padding=2, output_padding=1, bias=False)
            return nn.ConvTranspose2d(inputs, outputs, 4, stride=2, padding=1, bias=False)

        channels = width * 2 ** (doublings - 1)
        first = nn.ConvTranspose2d(latent_size + classes, channels, base, bias=False)
        self.stages = nn.ModuleList([nn.Sequential(first, nn.BatchNorm2d(channels), nn.ReLU())])
        for _ in range(doublings - 1):
            convolution = double(channels + classes, channels // 2)
            channels //= 2
            self.stages.append(nn.Sequential(convolution, nn.BatchNorm2d(channels), nn.ReLU()))
        self.output = double(channels + classes, in_channels)
        _initialize(self)

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        """(B, latent_size) → (B, in_channels, image_size, image_size)."""
        check_labels(self.num_classes, labels)
        x = latents[:, :, None, None]
        for stage in self.stages:
            x = stage(with_classes(x, labels, self.num_classes))
        return self.output(with_classes(x, labels, self.num_classes)).tanh()


class DCGANDiscriminator(DiscriminatorNetwork):
    """Strided convolutions; for the arguments see `build`."""

    def __init__(
        self,
        image_size: int,
        in_channels: int,
        num_classes: int | None = None,
        variant: Variant = "paper",
        width: int | None = None,
        norm: DiscriminatorNorm = "batch",
    ) -> None:
        super().__init__(num_classes)
        width = _width(variant, width)
        require_positive(in_channels=in_channels, width=width)
        base, halvings = stages(image_size)
        classes = num_classes or 0
        kernel_size, padding = (5, 2) if variant == "paper" else (4, 1)
        biased = norm != "batch"

        self.stages = nn.ModuleList()
        inputs, channels = in_channels, width
        for index in range(halvings):
            convolution = nn.Conv2d(inputs + classes, channels, kernel_size, stride=2, padding=padding, bias=biased)
            normalization = [nn.BatchNorm2d(channels)] if norm == "batch" and index else []
            self.stages.append(nn.Sequential(convolution, *normalization, nn.LeakyReLU(0.2)))
            inputs, channels = channels, 2 * channels
        self.map_shape = (inputs, base, base)
        self.output = nn.Conv2d(inputs + classes, 1, base, bias=biased)
        _initialize(self)
        if norm == "spectral":
            for module in [*self.modules()]:
                if isinstance(module, nn.Conv2d):
                    spectral_norm(module)

    def features(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """(B, in_channels, image_size, image_size) → (B, channels · base²)."""
        check_labels(self.num_classes, labels)
        x = images
        for stage in self.stages:
            x = stage(with_classes(x, labels, self.num_classes))
        return x.flatten(1)

    def logits(self, features: Tensor, labels: Tensor | None = None) -> Tensor:
        """(B, channels · base²) → (B,)."""
        maps = features.unflatten(1, self.map_shape)
        return self.output(with_classes(maps, labels, self.num_classes)).flatten()


def build(
    *,
    image_size: int,
    in_channels: int,
    num_classes: int | None = None,
    variant: Variant = "paper",
    latent_size: int = 100,
    width: int | None = None,
    discriminator_norm: DiscriminatorNorm = "batch",
) -> tuple[DCGANGenerator, DCGANDiscriminator]:
    """The two networks of a DCGAN.

    Args:
        image_size: Height and width of the images in pixels: 28, 32, 64 or another that doubling 4 to 7 gives.
        in_channels: Their channels.
        num_classes: Classes that both are told; None for none.
        variant: paper: 5x5 kernels and width 128; small: 4x4 kernels and width 64.
        latent_size: Length of a latent vector.
        width: Channels next to the image in both networks; they double with each halving of the size.
        discriminator_norm: batch: as the paper; spectral: of the weights (Miyato et al. 2018); none: for a gradient
            penalty, which asks for the gradient of each image by itself.

    Raises:
        ValueError: An option is not one of these, or doubling does not give the size.
    """
    if variant not in ("paper", "small"):
        raise ValueError(f"variant must be paper or small for the networks dcgan, not {variant}.")
    if discriminator_norm not in ("batch", "spectral", "none"):
        raise ValueError(f"discriminator_norm must be batch, spectral or none for dcgan, not {discriminator_norm}.")
    return (
        DCGANGenerator(image_size, in_channels, num_classes, variant, latent_size, width),
        DCGANDiscriminator(image_size, in_channels, num_classes, variant, width, discriminator_norm),
    )


def _width(variant: Variant, width: int | None) -> int:
    return (128 if variant == "paper" else 64) if width is None else width


def _initialize(network: nn.Module) -> None:
    """Weights N(0, 0.02²), gains N(1, 0.02²), biases 0 (§4; the gains by the code)."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(module.weight, std=0.02)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1.0, 0.02)
