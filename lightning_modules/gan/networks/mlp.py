"""Generative Adversarial Networks (Goodfellow, Pouget-Abadie, Mirza, Xu, Warde-Farley, Ozair, Courville, Bengio, 2014).

The networks for MNIST, as goodfeli/adversarial has them (mnist.yaml):

    generator       100 uniform → 1200 ReLU → 1200 ReLU → pixels, sigmoid
    discriminator   pixels → maxout, 240 units of 5 pieces → the same → 1 sigmoid

and their conditional form (Conditional Generative Adversarial Nets; Mirza, Osindero 2014, §4.1):

    generator       (100 uniform → 200 ReLU, class → 1000 ReLU) → 1200 ReLU → pixels, sigmoid
    discriminator   (pixels → maxout 240 x 5, class → maxout 50 x 5) → maxout 240 x 4 → 1 sigmoid

Departures:
    - Pixels are in [0, 1] inside and in [-1, 1] outside, as with every other network here.
    - Images larger than 28x28 or in color change the first and the last layer only. The paper's networks for CIFAR-10,
      the fully connected and the convolutional one, are left out: they make images that were contrast-normalized.
    - The paper on the conditional form does not say whether inputs are dropped: the classes are not, the images with
      the probability of 2014, and hidden layers with its .5 in both networks.
"""

import math

import torch
from torch import Tensor, nn

from lightning_modules.gan.networks.contract import (
    DiscriminatorNetwork,
    GeneratorNetwork,
    at_least_float32,
    check_labels,
    one_hot,
    require_positive,
)

UNIT_VARIANCE = (-math.sqrt(3), math.sqrt(3))  # adversarial/__init__.py, Generator.get_noise
UNIT_HYPERCUBE = (0.0, 1.0)  # Mirza and Osindero, §4.1


class Maxout(nn.Module):
    """Units that are the largest of several linear functions, their pieces (Goodfellow et al. 2013)."""

    def __init__(self, inputs: int, units: int, pieces: int) -> None:
        super().__init__()
        self.linear = nn.Linear(inputs, units * pieces)
        self.pieces = pieces

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs) → (B, units)."""
        return self.linear(x).unflatten(1, (-1, self.pieces)).amax(2)


class MLPGenerator(GeneratorNetwork):
    """Two hidden layers of rectified units; for the arguments see `build`.

    In the conditional form, five sixths of the units of the first layer belong to the class.
    """

    def __init__(
        self,
        image_size: int,
        in_channels: int,
        num_classes: int | None = None,
        latent_size: int = 100,
        width: int = 1200,
        dropout: float = 0.5,
    ) -> None:
        super().__init__(latent_size, UNIT_VARIANCE if num_classes is None else UNIT_HYPERCUBE, num_classes)
        require_positive(image_size=image_size, in_channels=in_channels, width=width)
        self.image_shape = (in_channels, image_size, image_size)
        self.dropout = nn.Dropout(0.0 if num_classes is None else dropout)
        of_latents = width if num_classes is None else math.ceil(width / 6)
        self.from_latents = nn.Linear(latent_size, of_latents)
        self.from_labels = None if num_classes is None else nn.Linear(num_classes, width - of_latents)
        self.hidden = nn.Linear(width, width)
        self.output = nn.Linear(width, math.prod(self.image_shape))
        _initialize(self, 0.05)

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        """(B, latent_size) → (B, in_channels, image_size, image_size)."""
        check_labels(self.num_classes, labels)
        x = self.from_latents(latents)
        if self.from_labels is not None and labels is not None:
            x = torch.cat([x, self.from_labels(one_hot(labels, self.from_labels.in_features, latents.dtype))], 1)
        x = self.hidden(self.dropout(x.relu())).relu()
        pixels = self.output(self.dropout(x)).sigmoid()
        return (2 * pixels - 1).unflatten(1, self.image_shape)

    @torch.no_grad()
    def set_output_bias(self, images: Tensor) -> None:
        """Begin with the mean image of the data (mnist.yaml, init_sigmoid_bias_from_marginals).

        Args:
            images: In [-1, 1]. Shape (N, C, H, W).
        """
        mean = (at_least_float32(images).mean(0).flatten() + 1) / 2
        self.output.bias.copy_(mean.clamp(1e-7, 1 - 1e-7).logit())


class MLPDiscriminator(DiscriminatorNetwork):
    """Two hidden layers of maxout units, with dropout; for the arguments see `build`."""

    def __init__(
        self,
        image_size: int,
        in_channels: int,
        num_classes: int | None = None,
        units: int = 240,
        pieces: int = 5,
        input_dropout: float = 0.2,
        dropout: float = 0.5,
    ) -> None:
        super().__init__(num_classes)
        require_positive(image_size=image_size, in_channels=in_channels, units=units, pieces=pieces)
        self.input_dropout = nn.Dropout(input_dropout)
        self.dropout = nn.Dropout(dropout)
        self.from_images = Maxout(in_channels * image_size**2, units, pieces)
        self.from_labels = None
        of_labels = 0
        if num_classes is not None:
            of_labels = math.ceil(units * 50 / 240)
            self.from_labels = Maxout(num_classes, of_labels, pieces)
            pieces = max(1, pieces - 1)
        self.hidden = Maxout(units + of_labels, units, pieces)
        self.output = nn.Linear(units, 1)
        _initialize(self, 0.005)

    def features(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """(B, in_channels, image_size, image_size) → (B, units)."""
        check_labels(self.num_classes, labels)
        x = self.from_images(self.input_dropout((images.flatten(1) + 1) / 2))
        if self.from_labels is not None and labels is not None:
            x = torch.cat([x, self.from_labels(one_hot(labels, self.from_labels.linear.in_features, images.dtype))], 1)
        return self.hidden(self.dropout(x))

    def logits(self, features: Tensor, labels: Tensor | None = None) -> Tensor:
        """(B, units) → (B,)."""
        return self.output(self.dropout(features)).squeeze(1)


def build(
    *,
    image_size: int,
    in_channels: int,
    num_classes: int | None = None,
    latent_size: int = 100,
    width: int = 1200,
    units: int = 240,
    pieces: int = 5,
    input_dropout: float = 0.2,
    dropout: float = 0.5,
) -> tuple[MLPGenerator, MLPDiscriminator]:
    """The two networks of 2014.

    Args:
        image_size: Height and width of the images in pixels.
        in_channels: Their channels.
        num_classes: Classes that both are told; None for none.
        latent_size: Length of a latent vector.
        width: Units of a hidden layer of the generator.
        units: Maxout units of a hidden layer of the discriminator.
        pieces: Linear functions of each; one less in the joint layer of the conditional form.
        input_dropout: Probability of dropping a pixel that the discriminator sees.
        dropout: Probability of dropping a hidden unit: of the discriminator and, if conditional, of the generator.

    Raises:
        ValueError: A size is below 1.
    """
    return (
        MLPGenerator(image_size, in_channels, num_classes, latent_size, width, dropout),
        MLPDiscriminator(image_size, in_channels, num_classes, units, pieces, input_dropout, dropout),
    )


def _initialize(network: nn.Module, limit: float) -> None:
    """Weights uniform between -limit and limit, biases 0."""
    for module in network.modules():
        if isinstance(module, nn.Linear):
            nn.init.uniform_(module.weight, -limit, limit)
            nn.init.zeros_(module.bias)
