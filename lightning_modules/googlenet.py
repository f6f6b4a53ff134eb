"""Going Deeper with Convolutions (Christian Szegedy et al., 2014; CVPR 2015).

Table 1, for a 224x224 crop. An Inception module is four branches side by side, joined: 1x1; 3x3 and 5x5, each behind a
1x1 that reduces; a 3x3 max pool with a 1x1 behind it.

    layer                1x1   3x3 reduce  3x3   5x5 reduce  5x5   pool    out
    conv 7x7/2                                                             64x112x112
    max pool 3/2, LRN                                                      64x56x56
    conv 1x1, conv 3x3         64          192                             192x56x56
    LRN, max pool 3/2                                                      192x28x28
    3a                   64    96          128   16          32    32      256x28x28
    3b, max pool 3/2     128   128         192   32          96    64      480x28x28 → 480x14x14
    4a                   192   96          208   16          48    64      512x14x14   → auxiliary head 4a
    4b                   160   112         224   24          64    64      512x14x14
    4c                   128   128         256   24          64    64      512x14x14
    4d                   112   144         288   32          64    64      528x14x14   → auxiliary head 4d
    4e, max pool 3/2     256   160         320   32          128   128     832x14x14 → 832x7x7
    5a                   256   160         320   32          128   128     832x7x7
    5b                   384   192         384   48          128   128     1024x7x7
    average, dropout 0.4, fc                                               1000

An auxiliary head (§5): average pool 5x5/3, conv 1x1 128, fc 1024, dropout 0.7, fc; its loss counts 0.3 in training.

Departures:
    - The paper gives neither the normalization's constants nor an initialization: here Caffe's (BVLC/caffe,
      models/bvlc_googlenet), Glorot's uniform weights and biases of 0.2.
    - `batch_norm` replaces LRN and biases by batch normalization, as all later forms of the network.
    - `torchvision` (pytorch/vision, torchvision/models/googlenet.py) does that too, has 3x3 convolutions in the "5x5"
      branch (a slip of TF-Slim's, kept there for the weights' sake), 2x2 in the last max pool, dropout 0.2, and heads
      that average over 4x4 parts.
    - `kernels` of one size compare a mix of sizes with one of them (§3 to §4 argue for the mix): a module is then a 1x1
      that reduces and one convolution of that size, with the table's outputs and as many multiply-adds.
    - The small stem, for 32x32 images, is 3x3 of stride 1 with the first max pool only: 16x16, 8x8 and 4x4 where the
      table has 28x28, 14x14 and 7x7.
"""

from collections import OrderedDict
from datetime import date
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from lightning_modules.classifier import ImageClassifier, at_width
from lightning_modules.local_response_norm import LocalResponseNorm

Variant = Literal["paper", "batch_norm", "torchvision"]
INCEPTION = {
    # in, 1x1, 3x3 reduce, 3x3, 5x5 reduce, 5x5, pool
    "3a": (192, 64, 96, 128, 16, 32, 32),
    "3b": (256, 128, 128, 192, 32, 96, 64),
    "4a": (480, 192, 96, 208, 16, 48, 64),
    "4b": (512, 160, 112, 224, 24, 64, 64),
    "4c": (512, 128, 128, 256, 24, 64, 64),
    "4d": (512, 112, 144, 288, 32, 64, 64),
    "4e": (528, 256, 160, 320, 32, 128, 128),
    "5a": (832, 256, 160, 320, 32, 128, 128),
    "5b": (832, 384, 192, 384, 48, 128, 128),
}
AUXILIARY = ("4a", "4d")


def row(name: str, width: float) -> tuple[int, ...]:
    """The row of a module, at a width; its input is what the module before gives."""
    _, *branches = (at_width(channels, width) for channels in INCEPTION[name])
    before = [*INCEPTION][: [*INCEPTION].index(name)]
    return (outputs_of(before[-1], width) if before else at_width(192, width), *branches)


def outputs_of(name: str, width: float) -> int:
    """Channels that a module gives."""
    _, width1, _, width3, _, width5, width_pool = row(name, width)
    return width1 + width3 + width5 + width_pool


def conv(variant: Variant, in_channels: int, channels: int, kernel_size: int, stride: int = 1) -> nn.Sequential:
    """Convolution that keeps the size but for its stride, with ReLU, and batch normalization in between if any."""
    plain = variant == "paper"
    layers: list[nn.Module] = [
        nn.Conv2d(in_channels, channels, kernel_size, stride, padding=kernel_size // 2, bias=plain)
    ]
    if not plain:
        layers.append(nn.BatchNorm2d(channels, eps=1e-3))
    return nn.Sequential(*layers, nn.ReLU())


def pool(kernel_size: int = 3) -> nn.Module:
    """Max pool of stride 2, rounding up."""
    return nn.MaxPool2d(kernel_size, stride=2, ceil_mode=True)


def one_kernel(variant: Variant, name: str, width: float, kernel_size: int) -> nn.Sequential:
    """A module with kernels of one size: outputs of the table, and a 1x1 so wide that its work is the table's too."""
    in_channels, width1, reduce3, width3, reduce5, width5, width_pool = row(name, width)
    large = 9 if variant == "torchvision" else 25
    work = in_channels * (width1 + reduce3 + reduce5 + width_pool) + 9 * reduce3 * width3 + large * reduce5 * width5
    outputs = outputs_of(name, width)
    reduced = max(1, round(work / (in_channels + kernel_size**2 * outputs)))
    return nn.Sequential(conv(variant, in_channels, reduced, 1), conv(variant, reduced, outputs, kernel_size))


class Inception(nn.Module):
    """Four branches side by side (Fig. 2b)."""

    def __init__(self, variant: Variant, name: str, width: float) -> None:
        super().__init__()
        in_channels, width1, reduce3, width3, reduce5, width5, width_pool = row(name, width)
        large = 3 if variant == "torchvision" else 5
        self.branch_1x1 = conv(variant, in_channels, width1, 1)
        self.branch_3x3 = nn.Sequential(conv(variant, in_channels, reduce3, 1), conv(variant, reduce3, width3, 3))
        self.branch_5x5 = nn.Sequential(conv(variant, in_channels, reduce5, 1), conv(variant, reduce5, width5, large))
        self.branch_pool = nn.Sequential(
            nn.MaxPool2d(3, stride=1, padding=1), conv(variant, in_channels, width_pool, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) → (B, sum of the branches' widths, H, W)."""
        return torch.cat([self.branch_1x1(x), self.branch_3x3(x), self.branch_5x5(x), self.branch_pool(x)], dim=1)


class GoogLeNet(ImageClassifier):
    """GoogLeNet, or Inception v1 (Szegedy et al. 2014).

    Args:
        variant: Geometry. paper: as printed; batch_norm: with batch normalization instead of local response
            normalization; torchvision: with a 3x3 convolution in the 5x5 branch, for torchvision's weights.
        width: Factor on the number of channels, auxiliary heads included.
        kernels: Kernels of a module. mix: those of an Inception module; 1x1, 3x3 or 5x5: convolutions of that size
            alone, with as much work.
        auxiliary: Whether auxiliary heads at 4a and 4d take part in training; evaluation and exports never have them.
        stem: First layers. imagenet: a 7x7 convolution of stride 2; small: a 3x3 convolution of stride 1 and one max
            pool less, for 32x32 images.
        image_size: Height and width of the images in pixels, which set the size of the auxiliary heads; the command
            line takes it from the data set. By default 224, or 32 for the small stem.
        dropout: Probability of dropout before the last layer; by default 0.4, or 0.2 for torchvision.
        auxiliary_dropout: Probability of dropout in the auxiliary heads.
        transform_input: Whether to convert images normalized by ImageNet's usual mean and standard deviation to the
            range -1 to 1, on which torchvision's weights were trained. Null does not, and refuses weights in
            torchvision's layout.
        initialization: Initial weights. design: Caffe's for the paper, those of He et al. for batch_norm, N(0, 0.01²)
            for torchvision; kaiming: those of He et al.
        training: Arguments of ImageClassifier.

    Raises:
        ValueError: The images are too small for the stem, or torchvision's weights are not given their images.
    """

    published: ClassVar[date] = date(2014, 9, 17)
    output_layers: ClassVar[tuple[str, ...]] = ("head.1", "auxiliary_heads.4a.fc2", "auxiliary_heads.4d.fc2")
    torchvision_names: ClassVar[tuple[tuple[str, str], ...]] = (
        (r"\.conv\.weight$", ".0.weight"),
        (r"\.bn\.", ".1."),
        (r"^(conv[123])\.", r"stem.\1."),
        (r"^inception(3a|3b|4a)\.", r"until_4a.\1."),
        (r"^inception(4b|4c|4d)\.", r"until_4d.\1."),
        (r"^inception(4e|5a|5b)\.", r"until_5b.\1."),
        (r"\.branch1\.", ".branch_1x1."),
        (r"\.branch2\.", ".branch_3x3."),
        (r"\.branch3\.", ".branch_5x5."),
        (r"\.branch4\.", ".branch_pool."),
        (r"^aux1\.", "auxiliary_heads.4a."),
        (r"^aux2\.", "auxiliary_heads.4d."),
        (r"^fc\.", "head.1."),
    )

    def __init__(
        self,
        variant: Variant = "paper",
        auxiliary: bool = True,
        stem: Literal["imagenet", "small"] = "imagenet",
        image_size: int | None = None,
        dropout: float | None = None,
        auxiliary_dropout: float = 0.7,
        transform_input: bool | None = None,
        initialization: Literal["design", "kaiming"] = "design",
        width: float = 1.0,
        kernels: Literal["mix", "1x1", "3x3", "5x5"] = "mix",
        **training: Any,
    ) -> None:
        small = stem == "small"
        if str(training.get("weights")).startswith("GoogLeNet_Weights") and not transform_input:
            raise ValueError(
                "torchvision's GoogLeNet weights need images from -1 to 1: set model.transform_input to true."
            )
        if dropout is None:
            dropout = 0.2 if variant == "torchvision" else 0.4
        super().__init__(image_size=image_size or (32 if small else 224), **training)
        own = ["" if variant == "paper" else variant.replace("batch_norm", "BN"), "" if kernels == "mix" else kernels]
        self.architecture = " ".join(["GoogLeNet", *filter(None, own)]) + (f" x{width:g}" if width != 1 else "")
        if transform_input and self.in_channels != 3:
            raise ValueError("transform_input is for images of 3 channels: leave model.transform_input out.")
        self.transform_input = transform_input

        def modules(*names: str) -> dict[str, nn.Module]:
            if kernels == "mix":
                return {name: Inception(variant, name, width) for name in names}
            return {name: one_kernel(variant, name, width, int(kernels[0])) for name in names}

        # Cut where an auxiliary head reads: evaluation passes through all three in one go.
        last_pool = pool(2) if variant == "torchvision" else pool()
        self.stem = _stem(variant, self.in_channels, small, width)
        self.until_4a = _named({**modules("3a", "3b"), "pool3": pool(), **modules("4a")})
        self.until_4d = _named(modules("4b", "4c", "4d"))
        self.until_5b = _named({**modules("4e"), "pool4": last_pool, **modules("5a", "5b")})
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(outputs_of("5b", width), self.num_classes))
        remedy = "set model.stem to small (made for 32x32)"
        pooled = self.output_shape(nn.Sequential(self.stem, self.until_4a, _average(variant)), remedy)
        # The heads alone are made for one size of images; `forward`, which leaves them out, takes any.
        if auxiliary:
            for name in AUXILIARY:
                channels = outputs_of(name, width)
                head = _auxiliary_head(variant, channels, width, pooled[1:], self.num_classes, auxiliary_dropout)
                self.auxiliary_heads[name] = head
                self.auxiliary_loss_weights[name] = 0.3
        self.reset_parameters(variant, initialization)

    def forward(self, images: Tensor) -> Tensor:
        """(B, in_channels, H, W) → logits (B, num_classes); any H and W that the stem takes."""
        return self.logits_of_maps(self.last_maps(images))

    def last_maps(self, images: Tensor) -> Tensor:
        """(B, in_channels, H, W) → what the last Inception module makes of it (B, 1024, h, w)."""
        return self.until_5b(self.until_4d(self.until_4a(self.stem(self._transformed(images)))))

    def logits_of_maps(self, maps: Tensor) -> Tensor:
        """(B, 1024, h, w) → logits (B, num_classes)."""
        return self.head(maps.mean((2, 3)))

    def map_weights(self) -> Tensor:
        """Weights (num_classes, 1024) of the last layer."""
        return self.head[1].weight  # type: ignore[return-value]

    def adopted(self, state: dict[str, Tensor], source: str) -> dict[str, Tensor]:
        """As of any network; but torchvision's weights are refused unless it is said which images they want.

        Raises:
            ValueError: It is not.
        """
        adopted = super().adopted(state, source)
        if self.transform_input is None and "stem.conv1.0.weight" in adopted.keys() - state.keys():
            raise ValueError(
                f"{source} is of torchvision's GoogLeNet, whose weights need images from -1 to 1: set "
                "model.transform_input to true, or to false for weights that were trained on images as they are."
            )
        return adopted

    def training_outputs(self, images: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Logits, and those of the auxiliary heads 4a and 4d; images of the network's own size."""
        maps = {"4a": self.until_4a(self.stem(self._transformed(images)))}
        maps["4d"] = self.until_4d(maps["4a"])
        return self.head(self.until_5b(maps["4d"]).mean((2, 3))), self.auxiliary_logits(maps)

    def _transformed(self, images: Tensor) -> Tensor:
        if not self.transform_input:
            return images
        mean = images.new_tensor([0.485, 0.456, 0.406]).view(3, 1, 1)
        std = images.new_tensor([0.229, 0.224, 0.225]).view(3, 1, 1)
        return (images * std + mean) * 2 - 1

    def reset_parameters(self, variant: Variant, initialization: Literal["design", "kaiming"]) -> None:
        """Initial weights by the variant's design, or He's with the last layers at N(0, 0.01²)."""
        for name, module in self.named_modules():
            if not isinstance(module, nn.Conv2d | nn.Linear):
                continue
            output = name in self.output_layers
            if variant == "torchvision" and initialization == "design":
                nn.init.trunc_normal_(module.weight, std=0.01)
                continue
            bias = 0.0
            if variant == "batch_norm" or initialization == "kaiming":
                nn.init.normal_(module.weight, std=0.01) if output else nn.init.kaiming_normal_(
                    module.weight, nonlinearity="relu"
                )
            else:
                nn.init.kaiming_uniform_(module.weight, nonlinearity="linear")  # Caffe's xavier: by the inputs alone
                bias = 0.0 if output else 0.2
            if module.bias is not None:
                nn.init.constant_(module.bias, bias)


def _stem(variant: Variant, in_channels: int, small: bool, width: float) -> nn.Sequential:
    """(B, in_channels, 224, 224) → (B, 192, 28, 28), or 32 → 16 if small."""

    def norm(name: str, channels: int) -> dict[str, nn.Module]:
        return {name: LocalResponseNorm(channels, scale=1e-4 / 5, k=1)} if variant == "paper" else {}

    w1, w3 = at_width(64, width), at_width(192, width)
    conv1 = conv(variant, in_channels, w1, 3) if small else conv(variant, in_channels, w1, 7, stride=2)
    first = {"conv1": conv1, "pool1": pool(), **norm("norm1", w1)}
    second = {"conv2": conv(variant, w1, w1, 1), "conv3": conv(variant, w1, w3, 3), **norm("norm2", w3)}
    return _named({**first, **second, **({} if small else {"pool2": pool()})})


def _average(variant: Variant) -> nn.Module:
    """(B, C, 14, 14) → (B, C, 4, 4), or 8 → 2 behind the small stem."""
    return nn.AdaptiveAvgPool2d(4) if variant == "torchvision" else nn.AvgPool2d(5, stride=3)


def _auxiliary_head(
    variant: Variant, channels: int, width: float, pooled: torch.Size, num_classes: int, dropout: float
) -> nn.Sequential:
    """(B, channels, 14, 14) → logits (B, num_classes)."""
    reduced, hidden = at_width(128, width), at_width(1024, width)
    return _named(
        {
            "pool": _average(variant),
            "conv": conv(variant, channels, reduced, 1),
            "flatten": nn.Flatten(),
            "fc1": nn.Linear(reduced * pooled.numel(), hidden),
            "relu": nn.ReLU(),
            "dropout": nn.Dropout(dropout),
            "fc2": nn.Linear(hidden, num_classes),
        }
    )


def _named(layers: dict[str, nn.Module]) -> nn.Sequential:
    return nn.Sequential(OrderedDict(layers))
