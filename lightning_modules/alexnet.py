"""ImageNet Classification with Deep Convolutional Neural Networks (Krizhevsky, Sutskever, Hinton, NIPS 2012).

    layer                     kernel/stride   columns see        out, for a 224x224 crop
    conv1, LRN, max pool 3/2  11x11/4         the image          96x55x55 → 96x27x27
    conv2, LRN, max pool 3/2  5x5             their own half     256x27x27 → 256x13x13
    conv3                     3x3             both               384x13x13
    conv4                     3x3             their own half     384x13x13
    conv5, max pool 3/2       3x3             their own half     256x13x13 → 256x6x6
    fc6, fc7, fc8                             both               4096, 4096, 1000

The two GPUs of the paper are two columns: groups of a convolution that sees its own half (§3.5), and two windows of the
normalization across channels, which do not reach into the other column.

Departures:
    - A 224x224 crop gives 54x54 by the text's arithmetic. `paper`, `one_column` and `torchvision` pad by 2 on all
      sides (torchvision); `authors2012` by 3 on the right and bottom, to which the authors' rounding up amounts;
      `caffe` does not pad and is fed 227x227 crops for 55x55 (BVLC/caffe, models/bvlc_alexnet).
    - `authors2012` is the authors' own network (computerhistory/AlexNet-Source-Code, layers/layers-145.cfg): ReLU after
      the first and last pooling, a second, spatial normalization in block 2, sums of squares divided by their number.
    - `caffe` normalizes all 96 or 256 channels as one map, divides the sum by 5 and adds 1 instead of 2.
    - `torchvision` has other widths, one column, no normalization, and drops the inputs of fc6 and fc7, not their
      outputs (pytorch/vision, torchvision/models/alexnet.py, after One Weird Trick, 2014).
    - `normalization` can be left out (§3.3 compares with and without), or be batch normalization of each convolution's
      outputs (You, Gitman, Ginsburg 2017, whose AlexNet for large batches has it).
    - `response_alpha` is the paper's α, found on a validation set (§3.3), which depends on the scale of the images.
    - `activation: tanh` is what the paper compares ReLU with (§3.1, Fig. 1). It needs Glorot's weights (2010): He's are
      for ReLU, and the paper's biases of 1 would saturate it.
    - `head: average` puts a global average and one layer in the place of fc6 to fc8, as GoogLeNet and ResNet have it.
    - The small stem, for 32x32 images, is a 5x5 convolution of stride 1; the poolings give 15x15, 7x7 and 3x3.
"""

from dataclasses import dataclass, replace
from datetime import date
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lightning_modules.classifier import ImageClassifier, at_width
from lightning_modules.local_response_norm import LocalResponseNorm

Normalization = Literal["response", "none", "batch"]
Initialization = Literal["design", "kaiming", "glorot"]
ACTIVATIONS = {"relu": nn.ReLU, "tanh": nn.Tanh}


class SpatialResponseNorm(nn.Module):
    """x / (1 + 0.001 · mean x²)^0.75 over 5x5 pixels of the same map, zeros outside (layers-145.cfg, cnorm2)."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) → (B, C, H, W)."""
        square = x.to(torch.promote_types(x.dtype, torch.float32)).square()
        mean_square = F.avg_pool2d(square, kernel_size=5, stride=1, padding=2)
        return x * (1 + 0.001 * mean_square).pow(-0.75).to(x.dtype)


@dataclass(frozen=True)
class Design:
    """What differs between the networks that are called AlexNet.

    Attributes:
        columns: 2: conv2, conv4 and conv5 see their own half of the channels; 1: all see all.
        widths: Channels of conv1 to conv5.
        padding: Zeros around a 224x224 crop: left, right, top, bottom.
        normalization: scale, k and columns of the normalization across channels, if there is one.
        weight_std: Standard deviation of the initial weights of conv1 to conv5 and fc6 to fc8; None for PyTorch's.
        bias: Initial bias of conv2, conv4, conv5, fc6 and fc7; the others start at 0.
    """

    columns: int = 2
    widths: tuple[int, ...] = (96, 256, 384, 384, 256)
    padding: tuple[int, int, int, int] = (2, 2, 2, 2)
    normalization: tuple[float, float, int] | None = None
    weight_std: tuple[float, ...] | None = (0.01,) * 8
    bias: float = 1.0


DESIGNS = {
    # The text's formula does not divide the sum by its five terms; the authors' code and Caffe's do.
    "paper": Design(normalization=(1e-4, 2, 2)),
    "one_column": Design(columns=1, normalization=(1e-4, 2, 1)),
    "authors2012": Design(
        padding=(0, 3, 0, 3),
        normalization=(1e-4 / 5, 2, 2),
        weight_std=(0.01, 0.01, 0.03, 0.03, 0.03, 0.01, 0.01, 0.01),
    ),
    "caffe": Design(
        padding=(0, 0, 0, 0),
        normalization=(1e-4 / 5, 1, 1),
        weight_std=(0.01, 0.01, 0.01, 0.01, 0.01, 0.005, 0.005, 0.01),
        bias=0.1,
    ),
    "torchvision": Design(columns=1, widths=(64, 192, 384, 256, 256), weight_std=None),
}


class AlexNet(ImageClassifier):
    """AlexNet (Krizhevsky, Sutskever, Hinton 2012).

    Args:
        variant: Geometry. paper: two columns, as printed; one_column: without the split over two GPUs; authors2012: the
            authors' own code; caffe: bvlc_alexnet; torchvision: other widths, no normalization.
        stem: First layer. imagenet: an 11x11 convolution of stride 4; small: a 5x5 convolution of stride 1, for 32x32
            images.
        image_size: Height and width of the images in pixels, which set the size of fc6; the command line takes it from
            the data set. By default 224, or 32 for the small stem.
        width: Factor on the number of channels.
        normalization: Normalization in the convolutional part. response: local response normalization with the
            variant's constants; batch: batch normalization of each convolution; none. By default none for torchvision,
            else response.
        response_alpha: Factor on the sum of squares in local response normalization (α, §3.3); null for the variant's
            own, 1e-4 in the paper, made for pixels from 0 to 255. Images of unit variance, some 60 times smaller, need
            some 60² times as much. 0 leaves a constant factor, 2^-0.75.
        activation: Activation function: relu, or tanh, with which the paper compares it (§3.1).
        head: Classifier. fc: fc6 to fc8; average: global average pooling and one fully connected layer.
        fc_width: Number of outputs of fc6 and of fc7; by default 4096 times the width.
        dropout: Probability of dropout in fc6 and fc7.
        initialization: Initial weights. design: the variant's own, made for pixels from 0 to 255; kaiming: those of He
            et al., for images of unit variance; glorot: those of Glorot and Bengio, which tanh needs.
        training: Arguments of ImageClassifier.

    Raises:
        ValueError: The images are too small for the stem, or options do not go together.
    """

    published: ClassVar[date] = date(2012, 12, 3)
    torchvision_names: ClassVar[tuple[tuple[str, str], ...]] = (
        # In this order, no result is renamed again.
        (r"^features\.10\.", "features.11."),
        (r"^features\.8\.", "features.9."),
        (r"^features\.6\.", "features.7."),
        (r"^features\.3\.", "features.4."),
        (r"^features\.0\.", "features.1."),
        (r"^classifier\.1\.", "head.2."),
        (r"^classifier\.4\.", "head.5."),
        (r"^classifier\.6\.", "head.7."),
    )

    def __init__(
        self,
        variant: Literal["paper", "one_column", "authors2012", "caffe", "torchvision"] = "paper",
        stem: Literal["imagenet", "small"] = "imagenet",
        image_size: int | None = None,
        fc_width: int | None = None,
        dropout: float = 0.5,
        initialization: Initialization = "design",
        width: float = 1.0,
        normalization: Normalization | None = None,
        activation: Literal["relu", "tanh"] = "relu",
        head: Literal["fc", "average"] = "fc",
        response_alpha: float | None = None,
        **training: Any,
    ) -> None:
        small = stem == "small"
        super().__init__(image_size=image_size or (32 if small else 224), **training)
        design = DESIGNS[variant]
        usual: Normalization = "none" if design.normalization is None else "response"
        normalization = normalization or usual
        if normalization == "response" and design.normalization is None:
            raise ValueError(f"The variant {variant} has no response normalization: choose another variant, or none.")
        if response_alpha is not None:
            if normalization != "response" or design.normalization is None:
                raise ValueError(
                    f"Normalization {normalization} has no response_alpha: set model.normalization to response, or "
                    "leave it out."
                )
            design = replace(design, normalization=(response_alpha, *design.normalization[1:]))
        if activation == "tanh" and initialization != "glorot":
            raise ValueError(
                f"Weights of {initialization} are made for ReLU: set model.initialization to glorot for tanh."
            )
        own = [normalization if normalization != usual else "", activation if activation != "relu" else ""]
        own += [f"α{response_alpha:g}" if response_alpha is not None else ""]
        own += [head if head != "fc" else "", f"x{width:g}" if width != 1 else ""]
        self.architecture = " ".join(part for part in ("AlexNet", variant if variant != "paper" else "", *own) if part)

        self.features = _features(variant, design, self.in_channels, small, width, normalization, activation)
        if variant == "torchvision" and not small and head == "fc":
            self.features.append(nn.AdaptiveAvgPool2d(6))
        shape = self.output_shape(self.features, "set model.stem to small (made for 32x32)")
        if head == "average":
            fc = nn.Linear(shape[0], self.num_classes)
            self.head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), fc)
        else:
            fc_width = fc_width or at_width(4096, width, design.columns)
            layers = _fully_connected(variant, shape.numel(), fc_width, self.num_classes, dropout, activation)
            self.head = nn.Sequential(nn.Flatten(), *layers)
        self.reset_parameters(design, initialization)

    @property
    def output_layers(self) -> tuple[str, ...]:  # type: ignore[override]
        """The last layer of the head."""
        return (f"head.{len(self.head) - 1}",)

    def forward(self, images: Tensor) -> Tensor:
        """(B, in_channels, image_size, image_size) → logits (B, num_classes)."""
        return self.head(self.features(images))

    def reset_parameters(self, design: Design, initialization: Initialization) -> None:
        """Normal weights and constant biases (§5), or He's or Glorot's with the last layer at N(0, 0.01²)."""
        layers = [module for module in self.modules() if isinstance(module, nn.Conv2d | nn.Linear)]
        if initialization != "design":
            for layer in layers[:-1]:
                if initialization == "kaiming":
                    nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
                else:
                    nn.init.xavier_normal_(layer.weight)
                nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
            nn.init.normal_(layers[-1].weight, std=0.01)
            nn.init.zeros_(layers[-1].bias)  # type: ignore[arg-type]
        elif design.weight_std is not None:
            biases = (0.0, design.bias, 0.0, design.bias, design.bias, design.bias, design.bias, 0.0)
            # Of fc6 to fc8, a head of type average has the last.
            own = (*range(len(layers) - 1), -1)
            for layer, index in zip(layers, own, strict=True):
                std, bias = design.weight_std[index], biases[index]
                nn.init.normal_(layer.weight, std=std)
                nn.init.constant_(layer.bias, bias)  # type: ignore[arg-type]


def _features(
    variant: str,
    design: Design,
    in_channels: int,
    small: bool,
    width: float,
    normalization: Normalization,
    activation: str,
) -> nn.Sequential:
    """conv1 to conv5 with what stands between them: (B, in_channels, 224, 224) → (B, 256, 6, 6)."""
    w1, w2, w3, w4, w5 = (at_width(channels, width, design.columns) for channels in design.widths)
    if small:
        conv1: list[nn.Module] = [nn.Conv2d(in_channels, w1, 5, padding=2)]
    else:
        conv1 = [nn.ZeroPad2d(design.padding), nn.Conv2d(in_channels, w1, 11, stride=4)]
    conv2 = nn.Conv2d(w1, w2, 5, padding=2, groups=design.columns)
    conv3 = nn.Conv2d(w2, w3, 3, padding=1)
    conv4 = nn.Conv2d(w3, w4, 3, padding=1, groups=design.columns)
    conv5 = nn.Conv2d(w4, w5, 3, padding=1, groups=design.columns)

    def pool() -> nn.Module:
        return nn.MaxPool2d(3, stride=2, ceil_mode=variant == "caffe")

    def response(channels: int) -> list[nn.Module]:
        if normalization != "response" or design.normalization is None:
            return []
        return [LocalResponseNorm(channels, *design.normalization)]

    def batch(channels: int) -> list[nn.Module]:
        return [nn.BatchNorm2d(channels)] if normalization == "batch" else []

    act = ACTIVATIONS[activation]
    middle = [conv3, *batch(w3), act(), conv4, *batch(w4), act(), conv5, *batch(w5)]
    if variant == "authors2012":
        spatial = [SpatialResponseNorm()] if normalization == "response" else []
        block1 = [*conv1, *batch(w1), *response(w1), pool(), act()]
        block2 = [conv2, *batch(w2), act(), *response(w2), *spatial, pool()]
        return nn.Sequential(*block1, *block2, *middle, pool(), act())
    block1 = [*conv1, *batch(w1), act(), *response(w1), pool()]
    block2 = [conv2, *batch(w2), act(), *response(w2), pool()]
    return nn.Sequential(*block1, *block2, *middle, act(), pool())


def _fully_connected(
    variant: str, inputs: int, width: int, num_classes: int, dropout: float, activation: str
) -> list[nn.Module]:
    """fc6, fc7, fc8; dropout after fc6 and fc7 (§4.2), or before them in torchvision's."""
    fc6, fc7, fc8 = nn.Linear(inputs, width), nn.Linear(width, width), nn.Linear(width, num_classes)
    act = ACTIVATIONS[activation]
    if variant == "torchvision":
        return [nn.Dropout(dropout), fc6, act(), nn.Dropout(dropout), fc7, act(), fc8]
    return [fc6, act(), nn.Dropout(dropout), fc7, act(), nn.Dropout(dropout), fc8]
