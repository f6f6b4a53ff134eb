"""Very Deep Convolutional Networks for Large-Scale Image Recognition (Simonyan, Zisserman, 2014; ICLR 2015).

Table 1, for a 224x224 crop; every row ends with a max pool 2x2/2:

             channels  size     A    A-LRN     B    C                D    E
    block 1  64        224x224  1    1 + LRN   2    2                2    2
    block 2  128       112x112  1    1         2    2                2    2
    block 3  256       56x56    2    2         2    2 + one 1x1      3    4
    block 4  512       28x28    2    2         2    2 + one 1x1      3    4
    block 5  512       14x14    2    2         2    2 + one 1x1      3    4
    fc6, fc7, fc8      4096, 4096, 1000

All convolutions are 3x3 of stride 1, but for those of C; B-5x5 has one 5x5 in the place of each pair of B (§4.1). With
`dense`, the fully connected layers are convolutions of the same weights (§3.2), so the network takes a whole image of
any size and averages the scores over its positions.

Departures:
    - Batch normalization, as an option, came later (pytorch/vision, torchvision/models/vgg.py).
    - The paper's random weights have a variance of 0.01 (§3.1), for pixels minus the mean, and B to E start from layers
      of a trained A: here by `weights_of_a`. Glorot's initialization made that unnecessary (§3.1), so does He's.
    - `head: average` puts a global average and one layer in the place of fc6 to fc8, as GoogLeNet and ResNet have it.
    - The small form, for 32x32 images, is the same network: its five poolings leave 1x1. Only fc6 is smaller.
"""

from collections.abc import Callable
from datetime import date
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from lightning_modules.classifier import ImageClassifier, at_width
from lightning_modules.local_response_norm import LocalResponseNorm

Variant = Literal["A", "A-LRN", "B", "B-5x5", "C", "D", "E"]
WIDTHS = (64, 128, 256, 512, 512)
CONVOLUTIONS = {
    "A": (1, 1, 2, 2, 2),
    "A-LRN": (1, 1, 2, 2, 2),
    "B": (2, 2, 2, 2, 2),
    "B-5x5": (1, 1, 1, 1, 1),
    "C": (2, 2, 3, 3, 3),
    "D": (2, 2, 3, 3, 3),
    "E": (2, 2, 4, 4, 4),
}


class VGG(ImageClassifier):
    """VGGNet (Simonyan and Zisserman 2014).

    Args:
        variant: Column of Table 1: A (11 layers), A-LRN, B (13), C (16, with 1x1 convolutions), D (16) or E (19); or
            B-5x5 (8), with one 5x5 convolution instead of two 3x3 (§4.1).
        width: Factor on the number of channels.
        batch_norm: Whether each convolution is followed by batch normalization.
        dense: Whether the fully connected layers become convolutions of the same weights (§3.2), for images of any size
            from image_size on.
        stem: First layers. imagenet: those of the paper, for 224x224 images; small: for 32x32 images.
        image_size: Height and width of the images in pixels, which set the size of fc6; the command line takes it from
            the data set. By default 224, or 32 for the small stem.
        head: Classifier. fc: fc6 to fc8; average: global average pooling and one fully connected layer.
        fc_width: Number of outputs of fc6 and of fc7; by default 4096 times the width.
        dropout: Probability of dropout in fc6 and fc7.
        initialization: Initial weights. design: the paper's N(0, 0.1²), made for pixels from -128 to 128; glorot: those
            of Glorot and Bengio, the paper's later advice; kaiming: those of He et al.; torchvision: those of He et al.
            by outputs, and N(0, 0.01²) in fully connected layers.
        weights_of_a: Weights of a trained A of the same size, from which B to E start their first four convolutions, as
            far as both have them, and their fully connected layers (§3.1).
        training: Arguments of ImageClassifier.

    Raises:
        ValueError: The images are too small for five poolings, or options do not go together.
    """

    published: ClassVar[date] = date(2014, 9, 4)
    start_options: ClassVar[tuple[str, ...]] = ("weights", "weights_of_a")
    torchvision_names: ClassVar[tuple[tuple[str, str], ...]] = (
        (r"^classifier\.", "head."),
        (r"^pre_logits\.fc1\.", "head.0."),  # timm's, with convolutions
        (r"^pre_logits\.fc2\.", "head.3."),
        (r"^head\.fc\.", "head.6."),
    )

    def __init__(
        self,
        variant: Variant = "D",
        batch_norm: bool = False,
        dense: bool = False,
        stem: Literal["imagenet", "small"] = "imagenet",
        image_size: int | None = None,
        fc_width: int | None = None,
        dropout: float = 0.5,
        initialization: Literal["design", "glorot", "kaiming", "torchvision"] = "design",
        weights_of_a: str | None = None,
        width: float = 1.0,
        head: Literal["fc", "average"] = "fc",
        **training: Any,
    ) -> None:
        super().__init__(image_size=image_size or (32 if stem == "small" else 224), **training)
        if dense and head == "average":
            raise ValueError("A head of type average takes images of any size as it is: leave model.dense out.")
        if weights_of_a is not None and head == "average":
            raise ValueError("weights_of_a holds fc6 to fc8: set model.head to fc, or leave model.weights_of_a out.")
        depth = sum(CONVOLUTIONS[variant]) + (3 if head == "fc" else 1)
        own = (" BN" if batch_norm else "") + (" average" if head == "average" else "")
        self.architecture = f"VGG-{depth} {variant}{own}" + (f" x{width:g}" if width != 1 else "")

        self.features = nn.Sequential(*_features(variant, batch_norm, self.in_channels, width))
        self.dense = dense
        self.average = head == "average"

        def connected(inputs: int, outputs: int, kernel_size: int = 1) -> nn.Module:
            if dense:
                return nn.Conv2d(inputs, outputs, kernel_size)
            return nn.Linear(inputs * kernel_size**2, outputs)

        remedy = "give 32x32 or more, for MNIST with --data.image_size=32"
        channels, height, _ = self.output_shape(self.features, remedy)
        if head == "average":
            self.head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, self.num_classes))
        else:
            fc_width = fc_width or at_width(4096, width)
            fc6 = connected(channels, fc_width, kernel_size=height)
            fc7, fc8 = connected(fc_width, fc_width), connected(fc_width, self.num_classes)
            self.head = nn.Sequential(fc6, nn.ReLU(), nn.Dropout(dropout), fc7, nn.ReLU(), nn.Dropout(dropout), fc8)
        self.register_load_state_dict_pre_hook(_reshape_fully_connected)
        self.reset_parameters(initialization)
        if weights_of_a is not None:
            self.start_weights["weights_of_a"] = weights_of_a

    @property
    def output_layers(self) -> tuple[str, ...]:  # type: ignore[override]
        """The last layer of the head."""
        return (f"head.{len(self.head) - 1}",)

    def forward(self, images: Tensor) -> Tensor:
        """(B, in_channels, image_size, image_size) → logits (B, num_classes); any larger H and W if dense.

        The scores of all positions of a larger image are averaged before the softmax (§3.2).
        """
        features = self.features(images)
        if self.dense:
            return self.head(features).mean((2, 3))
        return self.head(features if self.average else features.flatten(1))

    def take_start_weights(self, load: Callable[[ImageClassifier, str], None]) -> None:
        """Start from layers of a trained A, then load the weights of the whole network, if either is given."""
        if "weights_of_a" in self.start_weights:
            a = VGG(
                "A",
                self.hparams["batch_norm"],
                self.dense,
                width=self.hparams["width"],
                head=self.hparams["head"],
                image_size=self.image_size,
                fc_width=self.hparams["fc_width"],
                in_channels=self.in_channels,
                num_classes=self.num_classes,
            )
            load(a, self.start_weights["weights_of_a"])
            self.start_from(a)
        super().take_start_weights(load)

    @torch.no_grad()
    def start_from(self, a: "VGG") -> None:
        """Copy from a network A the first convolution of blocks 1 and 2, the first two of 3, and the head (§3.1)."""
        self.head.load_state_dict(a.head.state_dict())
        for block, index in ((0, 0), (1, 0), (2, 0), (2, 1)):
            self._convolution(block, index).load_state_dict(a._convolution(block, index).state_dict())

    def _convolution(self, block: int, index: int) -> nn.Conv2d:
        poolings = [-1, *(at for at, module in enumerate(self.features) if isinstance(module, nn.MaxPool2d))]
        layers = self.features[poolings[block] + 1 : poolings[block + 1]]
        return [module for module in layers if isinstance(module, nn.Conv2d)][index]

    def reset_parameters(self, initialization: Literal["design", "glorot", "kaiming", "torchvision"]) -> None:
        """Weights by name (§3.1; He et al. 2015, Delving Deep into Rectifiers, for kaiming); biases 0."""
        for name, module in self.named_modules():
            if not isinstance(module, nn.Conv2d | nn.Linear):
                continue
            if initialization == "design":
                nn.init.normal_(module.weight, std=0.1)
            elif initialization == "glorot":
                nn.init.xavier_uniform_(module.weight)
            elif name in self.output_layers or (initialization == "torchvision" and name.startswith("head.")):
                nn.init.normal_(module.weight, std=0.01)
            else:
                mode: Literal["fan_in", "fan_out"] = "fan_out" if initialization == "torchvision" else "fan_in"
                nn.init.kaiming_normal_(module.weight, mode=mode, nonlinearity="relu")
            nn.init.zeros_(module.bias)  # type: ignore[arg-type]


def _features(variant: Variant, batch_norm: bool, in_channels: int, width: float) -> list[nn.Module]:
    """(B, in_channels, 32·n, 32·n) → (B, 512, n, n)."""
    layers: list[nn.Module] = []
    channels = in_channels
    for block, (count, table) in enumerate(zip(CONVOLUTIONS[variant], WIDTHS, strict=True)):
        outputs = at_width(table, width)
        for index in range(count):
            kernel_size = 5 if variant == "B-5x5" else 1 if variant == "C" and index == 2 else 3
            layers.append(nn.Conv2d(channels, outputs, kernel_size, padding=kernel_size // 2))
            if batch_norm:
                layers.append(nn.BatchNorm2d(outputs))
            layers.append(nn.ReLU())
            if variant == "A-LRN" and block == 0:
                layers.append(LocalResponseNorm(outputs, scale=1e-4, k=2))  # AlexNet's constants (§2.1)
            channels = outputs
        layers.append(nn.MaxPool2d(2, stride=2))
    return layers


def _reshape_fully_connected(network: nn.Module, state: dict[str, Tensor], prefix: str, *_: Any) -> None:
    """Give weights of fully connected layers the shape that `network` has for them: (out, in) or (out, C, H, W)."""
    for name, parameter in network.named_parameters():
        weight = state.get(prefix + name)
        if weight is None or not name.startswith("head."):
            continue
        if weight.numel() == parameter.numel() and weight.shape[:1] == parameter.shape[:1]:
            state[prefix + name] = weight.reshape(parameter.shape)
