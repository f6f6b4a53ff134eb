"""Network In Network (Min Lin, Qiang Chen, Shuicheng Yan, 2013; ICLR 2014).

A block is a convolution and two of 1x1, each with ReLU: a small network that slides over the image (§3.1). The last map
of a class, averaged over all positions, is its score: no fully connected layer (§3.2).

              CIFAR                MNIST              ImageNet
    block 1   5x5 192, 160, 96     5x5 96, 64, 48     11x11/4 96, 96, 96
              max pool, dropout    max pool, dropout  max pool
    block 2   5x5 192, 192, 192    5x5 128, 96, 48    5x5 256, 256, 256
              pool, dropout        max pool, dropout  max pool
    block 3   3x3 192, 192, C      5x5 128, 96, C     3x3 384, 384, 384
                                                      max pool, dropout
    block 4                                           3x3 1024, 1024, C

Sizes are those of the author's own files: mavenlin/cuda-convnet, NIN/*_def, and his Caffe network for ImageNet, which
is not in the paper (natanielruiz/net-archive, nin_imagenet). Poolings are 3x3/2 and round up: 32 → 16 → 8.

Departures:
    - The second pooling of CIFAR is a maximum in cuda-convnet, an average in the author's Caffe file
      (natanielruiz/net-archive, nin-cifar10): `second_pool`.
    - ReLU stands before the global average too, as in all these files: no class has a negative score.
"""

from dataclasses import dataclass
from datetime import date
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from lightning_modules.classifier import ImageClassifier, at_width, require_choices


@dataclass(frozen=True)
class Block:
    """A convolution and two of 1x1.

    Attributes:
        kernel_size: Of the first convolution.
        widths: Outputs of the three; None for the number of classes.
        stds: Standard deviations of their initial weights.
        stride: Of the first convolution.
        padding: Of the first convolution.
    """

    kernel_size: int
    widths: tuple[int, int, int | None]
    stds: tuple[float, float, float] = (0.05, 0.05, 0.05)
    stride: int = 1
    padding: int = 2


@dataclass(frozen=True)
class Design:
    """What differs between data sets.

    Attributes:
        blocks: From image to classes.
        num_classes: Of the data set.
        in_channels: Of its images.
        image_size: Their height and width in pixels.
        dropout_after_all: Drop after every pooling, or only after the last.
        output_lr_scale: Factor of the last layer's learning rate.
    """

    blocks: tuple[Block, ...]
    num_classes: int
    in_channels: int
    image_size: int
    dropout_after_all: bool
    output_lr_scale: float


CIFAR_BLOCKS = (Block(5, (192, 160, 96)), Block(5, (192, 192, 192)), Block(3, (192, 192, None), padding=1))
CIFAR100_BLOCKS = (Block(5, (192, 160, 96), stds=(0.001, 0.01, 0.01)), *CIFAR_BLOCKS[1:])
MNIST_BLOCKS = (Block(5, (96, 64, 48)), Block(5, (128, 96, 48)), Block(5, (128, 96, None)))
IMAGENET_BLOCKS = (
    Block(11, (96, 96, 96), stds=(0.01, 0.05, 0.05), stride=4, padding=0),
    Block(5, (256, 256, 256)),
    Block(3, (384, 384, 384), stds=(0.01, 0.05, 0.05), padding=1),
    Block(3, (1024, 1024, None), stds=(0.05, 0.05, 0.01), padding=1),
)
DESIGNS = {
    "cifar10": Design(CIFAR_BLOCKS, 10, 3, 32, dropout_after_all=True, output_lr_scale=0.1),
    "cifar100": Design(CIFAR100_BLOCKS, 100, 3, 32, dropout_after_all=True, output_lr_scale=1.0),
    "mnist": Design(MNIST_BLOCKS, 10, 1, 28, dropout_after_all=True, output_lr_scale=0.1),
    "imagenet": Design(IMAGENET_BLOCKS, 1000, 3, 224, dropout_after_all=False, output_lr_scale=1.0),
}


class NIN(ImageClassifier):
    """Network in Network (Lin, Chen, Yan 2014).

    Args:
        variant: Geometry, by the data set that it was made for: cifar10, cifar100, mnist or imagenet. All but imagenet
            are for small images.
        num_classes: Number of classes; by default that of the data set.
        in_channels: Number of channels of the images: 3 for color, 1 for gray; by default that of the data set.
        image_size: Height and width of the images in pixels; by default those of the data set.
        width: Factor on the number of channels.
        mlpconv: Whether each block has its two 1x1 convolutions (§3.1); without them, a block is one linear
            convolution.
        head: Classifier. average: global average pooling; fc: a fully connected layer on the last maps, with which the
            paper compares it (§4.6).
        head_dropout: Probability of dropout before a classifier of the kind fc.
        second_pool: Kind of the second pooling: max, as in cuda-convnet, or average, as in Caffe.
        dropout: Probability of dropout between blocks.
        initialization: Initial weights. design: the author's; kaiming: those of He et al., with a bias of 1 in the last
            convolution, so that the ReLU behind it lets each class learn.
        training: Arguments of ImageClassifier.

    Raises:
        ValueError: The images are too small.
    """

    published: ClassVar[date] = date(2013, 12, 16)
    output_layers: ClassVar[tuple[str, ...]] = ("classes", "fc")

    def __init__(
        self,
        variant: Literal["cifar10", "cifar100", "mnist", "imagenet"] = "cifar10",
        num_classes: int | None = None,
        in_channels: int | None = None,
        image_size: int | None = None,
        head: Literal["average", "fc"] = "average",
        head_dropout: float = 0.0,
        second_pool: Literal["max", "average"] = "max",
        dropout: float = 0.5,
        initialization: Literal["design", "kaiming"] = "design",
        width: float = 1.0,
        mlpconv: bool = True,
        **training: Any,
    ) -> None:
        require_choices(NIN.__init__, {"variant": variant})
        design = DESIGNS[variant]
        super().__init__(
            num_classes=num_classes or design.num_classes,
            in_channels=in_channels or design.in_channels,
            image_size=image_size or design.image_size,
            **training,
        )
        name = ("NIN ImageNet" if variant == "imagenet" else "NIN") + ("" if mlpconv else " linear")
        self.architecture = name + (" fc" if head == "fc" else "") + (f" x{width:g}" if width != 1 else "")

        layers: list[nn.Module] = []
        channels = self.in_channels
        for index, block in enumerate(design.blocks):
            if index:
                pool = nn.AvgPool2d if index == 2 and second_pool == "average" else nn.MaxPool2d
                layers.append(pool(3, stride=2, ceil_mode=True))
                if design.dropout_after_all or index == len(design.blocks) - 1:
                    layers.append(nn.Dropout(dropout))
            layers += _block(block, channels, self.num_classes, width, mlpconv)
            channels = layers[-2].out_channels  # type: ignore[assignment]
        *body, scores, relu = layers
        self.features = nn.Sequential(*body)
        self.classes = nn.Sequential(scores, relu)  # (B, C, 8, 8) for CIFAR: a map for each class
        self.fc: nn.Module | None = None
        shape = self.output_shape(nn.Sequential(*layers), "set model.variant to cifar10 (made for 32x32)")
        if head == "fc":
            self.fc = nn.Sequential(nn.Flatten(), nn.Dropout(head_dropout), nn.Linear(shape.numel(), self.num_classes))
        self.lr_scales = {"classes": design.output_lr_scale}
        stds = [std for block in design.blocks for std in (block.stds if mlpconv else block.stds[:1])]
        self.reset_parameters(stds, initialization)

    def forward(self, images: Tensor) -> Tensor:
        """(B, in_channels, H, W) → logits (B, num_classes); any H and W with global average pooling."""
        return self.logits_of_maps(self.last_maps(images))

    def last_maps(self, images: Tensor) -> Tensor:
        """(B, in_channels, H, W) → a map for each class (B, num_classes, h, w)."""
        return self.classes(self.features(images))

    def logits_of_maps(self, maps: Tensor) -> Tensor:
        """(B, num_classes, h, w) → logits (B, num_classes)."""
        return maps.mean((2, 3)) if self.fc is None else self.fc(maps)

    def map_weights(self) -> Tensor | None:
        """The identity: the average of a class's map is its logit (§3.2); None for a head of type fc."""
        weight = self.classes[0].weight
        return torch.eye(self.num_classes, device=weight.device) if self.fc is None else None  # type: ignore[arg-type]

    def reset_parameters(self, stds: list[float], initialization: Literal["design", "kaiming"]) -> None:
        """Normal weights and biases of 0 (the author's), or He's; a head of type fc keeps PyTorch's."""
        layers = [module for module in self.modules() if isinstance(module, nn.Conv2d)]
        for layer, std in zip(layers, stds, strict=True):
            if initialization == "kaiming" and layer is not layers[-1]:
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            else:
                nn.init.normal_(layer.weight, std=std)
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
        if initialization == "kaiming":
            nn.init.ones_(layers[-1].bias)  # type: ignore[arg-type]


def _block(block: Block, in_channels: int, num_classes: int, width: float, mlpconv: bool) -> list[nn.Module]:
    """Three convolutions, or the first alone, each with ReLU."""
    first, second, third = (num_classes if channels is None else at_width(channels, width) for channels in block.widths)
    if not mlpconv:
        outputs = num_classes if block.widths[-1] is None else first
        return [nn.Conv2d(in_channels, outputs, block.kernel_size, block.stride, block.padding), nn.ReLU()]
    return [
        nn.Conv2d(in_channels, first, block.kernel_size, block.stride, block.padding),
        nn.ReLU(),
        nn.Conv2d(first, second, 1),
        nn.ReLU(),
        nn.Conv2d(second, third, 1),
        nn.ReLU(),
    ]
