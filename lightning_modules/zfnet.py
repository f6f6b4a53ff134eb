"""Visualizing and Understanding Convolutional Networks (Matthew Zeiler, Rob Fergus, 2013; ECCV 2014).

    layer                     kernel/stride   out, for a 224x224 crop
    conv1, max pool 3/2, LRN  7x7/2           96x110x110 → 96x55x55
    conv2, max pool 3/2, LRN  5x5/2           256x26x26 → 256x13x13
    conv3                     3x3             384x13x13, or 512 if wide
    conv4                     3x3             384x13x13, or 1024
    conv5, max pool 3/2       3x3             256x13x13 → 256x6x6, or 512
    fc6, fc7, fc8                             4096, 4096, 1000

AlexNet with a smaller first kernel and stride, and without its two columns (§4.1, Fig. 3). Clarifai, which won ILSVRC
2013, was built on it and never published.

Departures:
    - Padding is not printed: 1 around conv1 and poolings that round up give the sizes of Fig. 3.
    - The constants of the normalization are not printed either: AlexNet's, after pooling as Fig. 3 has it.
    - The small stem, for 32x32 images, is 3x3 of stride 1, and conv2 keeps its size; the poolings give 16, 8 and 4.
"""

from datetime import date
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from lightning_modules.classifier import ImageClassifier, at_width
from lightning_modules.local_response_norm import LocalResponseNorm

WIDTHS = {"paper": (96, 256, 384, 384, 256), "wide": (96, 256, 512, 1024, 512)}


def pool() -> nn.Module:
    """3x3 of stride 2, rounding up."""
    return nn.MaxPool2d(3, stride=2, ceil_mode=True)


class ZFNet(ImageClassifier):
    """ZFNet (Zeiler and Fergus 2013).

    Args:
        variant: Geometry. paper: Fig. 3; wide: 512, 1024 and 512 channels in conv3 to conv5 (Table 2, b).
        stem: First layers. imagenet: 7x7 and 5x5 convolutions of stride 2; small: 3x3 and 5x5 of stride 1, for 32x32
            images.
        image_size: Height and width of the images in pixels, which set the size of fc6; the command line takes it from
            the data set. By default 224, or 32 for the small stem.
        width: Factor on the number of channels.
        fc_width: Number of outputs of fc6 and of fc7 (Table 3 tries 2048 and 8192); by default 4096 times the width.
        dropout: Probability of dropout in fc6 and fc7.
        filter_rms_limit: Largest root mean square of a filter's weights, to which larger filters are scaled down after
            each update (§3); the paper's value is made for pixels from -128 to 128. Null limits nothing.
        initialization: Initial weights. design: the paper's N(0, 0.01²), made for pixels from -128 to 128; kaiming:
            those of He et al., for images of unit variance.
        training: Arguments of ImageClassifier.

    Raises:
        ValueError: The images are too small for the stem.
    """

    published: ClassVar[date] = date(2013, 11, 12)
    output_layers: ClassVar[tuple[str, ...]] = ("head.7",)

    def __init__(
        self,
        variant: Literal["paper", "wide"] = "paper",
        stem: Literal["imagenet", "small"] = "imagenet",
        image_size: int | None = None,
        fc_width: int | None = None,
        dropout: float = 0.5,
        filter_rms_limit: float | None = 0.1,
        initialization: Literal["design", "kaiming"] = "design",
        width: float = 1.0,
        **training: Any,
    ) -> None:
        small = stem == "small"
        super().__init__(image_size=image_size or (32 if small else 224), **training)
        self.architecture = ("ZFNet" if variant == "paper" else "ZFNet wide") + (f" x{width:g}" if width != 1 else "")
        self.filter_rms_limit = filter_rms_limit

        w1, w2, w3, w4, w5 = (at_width(channels, width) for channels in WIDTHS[variant])
        fc_width = fc_width or at_width(4096, width)
        if small:
            conv1 = nn.Conv2d(self.in_channels, w1, 3, padding=1)
            conv2 = nn.Conv2d(w1, w2, 5, padding=2)
        else:
            conv1 = nn.Conv2d(self.in_channels, w1, 7, stride=2, padding=1)
            conv2 = nn.Conv2d(w1, w2, 5, stride=2)
        block1 = [conv1, nn.ReLU(), pool(), LocalResponseNorm(w1, scale=1e-4, k=2)]
        block2 = [conv2, nn.ReLU(), pool(), LocalResponseNorm(w2, scale=1e-4, k=2)]
        middle = [nn.Conv2d(w2, w3, 3, padding=1), nn.ReLU(), nn.Conv2d(w3, w4, 3, padding=1), nn.ReLU()]
        self.features = nn.Sequential(*block1, *block2, *middle, nn.Conv2d(w4, w5, 3, padding=1), nn.ReLU(), pool())

        inputs = self.output_shape(self.features, "set model.stem to small (made for 32x32)").numel()
        fc6, fc7, fc8 = (
            nn.Linear(inputs, fc_width),
            nn.Linear(fc_width, fc_width),
            nn.Linear(fc_width, self.num_classes),
        )
        self.head = nn.Sequential(
            nn.Flatten(), fc6, nn.ReLU(), nn.Dropout(dropout), fc7, nn.ReLU(), nn.Dropout(dropout), fc8
        )
        self.reset_parameters(initialization)

    def forward(self, images: Tensor) -> Tensor:
        """(B, in_channels, image_size, image_size) → logits (B, num_classes)."""
        return self.head(self.features(images))

    def optimizer_step(self, *arguments: Any, **options: Any) -> None:
        """Update, then limit the filters: before any checkpoint of this step can be saved."""
        super().optimizer_step(*arguments, **options)
        self.limit_filters()

    @torch.no_grad()
    def limit_filters(self) -> None:
        """Scale filters of a larger root mean square down to `filter_rms_limit` (§3)."""
        if self.filter_rms_limit is None:
            return
        for layer in self.features:
            if isinstance(layer, nn.Conv2d):
                rms = layer.weight.square().mean((1, 2, 3), keepdim=True).sqrt()
                layer.weight.mul_((self.filter_rms_limit / rms).clamp(max=1))

    def reset_parameters(self, initialization: Literal["design", "kaiming"]) -> None:
        """N(0, 0.01²) (§3), or He initialization with the last layer at N(0, 0.01²); biases 0."""
        layers = [module for module in self.modules() if isinstance(module, nn.Conv2d | nn.Linear)]
        for layer in layers:
            if initialization == "kaiming" and layer is not layers[-1]:
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            else:
                nn.init.normal_(layer.weight, std=0.01)
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
