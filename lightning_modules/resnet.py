"""Deep Residual Learning for Image Recognition (Kaiming He, Xiangyu Zhang, Shaoqing Ren, Jian Sun, 2015; CVPR 2016).

ImageNet (Table 1), 224x224              18        34        50         101         152
    stem      7x7/2 64, 3x3/2 max pool → 56x56
    stage 1   64, 56x56                  2 basic   3 basic   3 bottlen. 3           3
    stage 2   128, 28x28                 2         4         4          4           8
    stage 3   256, 14x14                 2         6         6          23          36
    stage 4   512, 7x7                   2         3         3          3           3
    head      global average, fc

CIFAR (§4.2), 32x32: 3x3 16, then n basic blocks each of 16 at 32x32, 32 at 16x16, 64 at 8x8; depth 6n + 2.

Departures:
    - `v1.5` strides in the 3x3 of a bottleneck, not in its first 1x1 (facebook/fb.resnet.torch, torchvision).
    - The max pool of the stem is padded by 1 and rounds down (torchvision); the authors' Caffe pools without padding
      and rounds up. Both give 56x56, one pixel apart.
    - Normalization uses running averages; the authors took the statistics of a large batch after training
      (KaimingHe/deep-residual-networks).
    - The zeros of shortcut A stand after the channels (facebook/fb.resnet.torch, models/resnet.lua). Weights of
      akamaster/pytorch_resnet_cifar10, which has half of them before, are put into that order; see `zeros_after`.
"""

from datetime import date
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lightning_modules.classifier import ImageClassifier, at_width

IMAGENET_STAGES = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}
Shortcut = Literal["A", "B", "C", "none"]
TORCHVISION_NAMES = (
    (r"^conv1\.", "stem.0.0."),
    (r"^bn1\.", "stem.0.1."),
    (r"^layer1\.", "stages.0."),
    (r"^layer2\.", "stages.1."),
    (r"^layer3\.", "stages.2."),
    (r"^layer4\.", "stages.3."),
    (r"\.conv1\.", ".branch.0.0."),
    (r"\.bn1\.", ".branch.0.1."),
    (r"\.conv2\.", ".branch.2.0."),
    (r"\.bn2\.", ".branch.2.1."),
    (r"\.conv3\.", ".branch.4.0."),
    (r"\.bn3\.", ".branch.4.1."),
    (r"\.downsample\.", ".shortcut."),
    (r"^(fc|linear)\.", "head."),
)


def conv_norm(
    in_channels: int, channels: int, kernel_size: int, stride: int = 1, batch_norm: bool = True
) -> nn.Sequential:
    """Convolution that keeps the size but for its stride, and batch normalization (§3.4), or else biases."""
    padding = kernel_size // 2
    convolution = nn.Conv2d(in_channels, channels, kernel_size, stride, padding, bias=not batch_norm)
    return nn.Sequential(convolution, nn.BatchNorm2d(channels)) if batch_norm else nn.Sequential(convolution)


class ZeroPadding(nn.Module):
    """Shortcut A: every stride-th pixel, and zeros for the channels that are new; no parameters (§3.3)."""

    def __init__(self, new_channels: int, stride: int) -> None:
        super().__init__()
        self.new_channels = new_channels
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) → (B, C + new_channels, H / stride, W / stride)."""
        return F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.new_channels))


def make_shortcut(
    kind: Shortcut, in_channels: int, channels: int, stride: int, batch_norm: bool = True
) -> nn.Module | None:
    """The shortcut of a block: identity where the shape stays, else by kind (§3.3, §4.1); None in a plain network."""
    if kind == "none":
        return None
    same_shape = in_channels == channels and stride == 1
    if kind == "C" or (kind == "B" and not same_shape):
        return conv_norm(in_channels, channels, 1, stride, batch_norm)
    return nn.Identity() if same_shape else ZeroPadding(channels - in_channels, stride)


class Block(nn.Module):
    """ReLU(branch(x) + shortcut(x)), or ReLU(branch(x)) in a plain network (Fig. 2)."""

    def __init__(self, branch: nn.Sequential, shortcut: nn.Module | None) -> None:
        super().__init__()
        self.branch = branch
        self.shortcut = shortcut

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) → (B, channels, H / stride, W / stride)."""
        y = self.branch(x)
        return F.relu(y if self.shortcut is None else y + self.shortcut(x))


def basic_block(in_channels: int, width: int, stride: int, shortcut: Shortcut, batch_norm: bool) -> Block:
    """3x3, 3x3 (Fig. 5, left)."""
    branch = nn.Sequential(
        conv_norm(in_channels, width, 3, stride, batch_norm),
        nn.ReLU(),
        conv_norm(width, width, 3, batch_norm=batch_norm),
    )
    return Block(branch, make_shortcut(shortcut, in_channels, width, stride, batch_norm))


def bottleneck_block(
    in_channels: int, width: int, stride: int, shortcut: Shortcut, batch_norm: bool, stride_in_3x3: bool
) -> Block:
    """1x1, 3x3, 1x1 with four times the channels (Fig. 5, right)."""
    strides = (1, stride) if stride_in_3x3 else (stride, 1)
    branch = nn.Sequential(
        conv_norm(in_channels, width, 1, strides[0], batch_norm),
        nn.ReLU(),
        conv_norm(width, width, 3, strides[1], batch_norm),
        nn.ReLU(),
        conv_norm(width, 4 * width, 1, batch_norm=batch_norm),
    )
    return Block(branch, make_shortcut(shortcut, in_channels, 4 * width, stride, batch_norm))


class ResNet(ImageClassifier):
    """Residual network (He et al. 2015), and the plain network that it is compared with.

    Args:
        depth: Number of layers with weights: 18, 34, 50, 101 or 152; for the cifar variant 6n + 2, such as 20, 32, 44,
            56, 110 or 1202.
        variant: Geometry. original: the paper's network for ImageNet; v1.5: the same with the stride in the 3x3
            convolution of a bottleneck, as torchvision has it; cifar: the paper's network for CIFAR (§4.2).
        shortcut: Shortcut where the shape changes. A: zero padding; B: projection; C: projection everywhere; none: the
            plain network, without shortcuts. By default A for the cifar variant (§4.2), else B (Table 4).
        width: Factor on the number of channels.
        batch_norm: Whether each convolution is followed by batch normalization, as in the paper; if not, convolutions
            have biases, and nothing keeps gradients healthy (§4.1).
        stem: First layers. imagenet: a 7x7 convolution of stride 2 and a max pool; small: one 3x3 convolution, for
            32x32 images. By default small for the cifar variant, else imagenet.
        num_classes: Number of classes; by default 10 for the cifar variant, else 1000.
        image_size: Height and width of the images in pixels, at least 32; by default 32 for the small stem, else 224.
        initialization: Initial weights, normal with the variance of He et al. fan_in: by inputs, as in the paper;
            fan_out: by outputs, as in torchvision. By default fan_out for v1.5, else fan_in.
        zero_init_residual: Whether each residual branch starts at zero (Goyal et al. 2017, §5.1).
        training: Arguments of ImageClassifier.

    Raises:
        ValueError: The variant has no network of this depth.
    """

    published: ClassVar[date] = date(2015, 12, 10)

    @property
    def torchvision_names(self) -> tuple[tuple[str, str], ...]:  # type: ignore[override]
        """None for the paper's bottlenecks: torchvision's stride elsewhere, though names and shapes are the same."""
        return () if self.strides_in_first_1x1 else TORCHVISION_NAMES

    def __init__(
        self,
        depth: int = 50,
        variant: Literal["original", "v1.5", "cifar"] = "original",
        shortcut: Shortcut | None = None,
        stem: Literal["imagenet", "small"] | None = None,
        num_classes: int | None = None,
        image_size: int | None = None,
        initialization: Literal["fan_in", "fan_out"] | None = None,
        zero_init_residual: bool = False,
        width: float = 1.0,
        batch_norm: bool = True,
        **training: Any,
    ) -> None:
        cifar = variant == "cifar"
        shortcut = shortcut or ("A" if cifar else "B")
        stem = stem or ("small" if cifar else "imagenet")
        super().__init__(
            num_classes=num_classes or (10 if cifar else 1000),
            image_size=image_size or (32 if stem == "small" else 224),
            **training,
        )
        if cifar:
            if depth < 8 or (depth - 2) % 6:
                raise ValueError(f"A CIFAR ResNet has 6n + 2 layers, such as 20, 56 or 110: depth cannot be {depth}.")
            blocks: tuple[int, ...] = ((depth - 2) // 6,) * 3
            widths: tuple[int, ...] = (16, 32, 64)
        else:
            if depth not in IMAGENET_STAGES:
                raise ValueError(f"depth must be one of {[*IMAGENET_STAGES]} for variant {variant}, not {depth}.")
            blocks = IMAGENET_STAGES[depth]
            widths = (64, 128, 256, 512)
        self.architecture = _architecture(depth, variant, shortcut)
        self.architecture += ("" if batch_norm else " no BN") + (f" x{width:g}" if width != 1 else "")
        widths = tuple(at_width(channels, width) for channels in widths)
        self.shortcut = shortcut
        self.strides_in_first_1x1 = variant == "original" and depth >= 50
        self.cifar_widths = widths if cifar else ()

        first = widths[0]
        if stem == "imagenet":
            # (B, C, 224, 224) → (B, 64, 56, 56)
            pool = nn.MaxPool2d(3, stride=2, padding=1)
            self.stem = nn.Sequential(conv_norm(self.in_channels, first, 7, 2, batch_norm), nn.ReLU(), pool)
        else:
            self.stem = nn.Sequential(conv_norm(self.in_channels, first, 3, 1, batch_norm), nn.ReLU())

        channels = first
        stages = []
        for stage, (count, planes) in enumerate(zip(blocks, widths, strict=True)):
            stage_blocks = []
            for index in range(count):
                # Half the size where the channels double, which preserves the work of a layer (§3.3).
                stride = 2 if stage > 0 and index == 0 else 1
                if cifar or depth < 50:
                    stage_blocks.append(basic_block(channels, planes, stride, shortcut, batch_norm))
                    channels = planes
                else:
                    in_3x3 = variant == "v1.5"
                    stage_blocks.append(bottleneck_block(channels, planes, stride, shortcut, batch_norm, in_3x3))
                    channels = 4 * planes
            stages.append(nn.Sequential(*stage_blocks))
        self.stages = nn.Sequential(*stages)
        self.head = nn.Linear(channels, self.num_classes)
        self.reset_parameters(initialization or ("fan_out" if variant == "v1.5" else "fan_in"), zero_init_residual)

    def forward(self, images: Tensor) -> Tensor:
        """(B, in_channels, H, W) → logits (B, num_classes); any H and W from 32 on."""
        return self.logits_of_maps(self.last_maps(images))

    def last_maps(self, images: Tensor) -> Tensor:
        """(B, in_channels, H, W) → what the last stage makes of it (B, channels, h, w)."""
        return self.stages(self.stem(images))

    def logits_of_maps(self, maps: Tensor) -> Tensor:
        """(B, channels, h, w) → logits (B, num_classes)."""
        return self.head(maps.mean((2, 3)))

    def map_weights(self) -> Tensor:
        """Weights (num_classes, channels) of the last layer."""
        return self.head.weight

    def adopted(self, state: dict[str, Tensor], source: str) -> dict[str, Tensor]:
        """As of any network; shortcuts without weights, of which names say nothing, are those of akamaster's layout.

        Raises:
            ValueError: Shortcuts have no weights, and the layout is none whose zeros are known.
        """
        adopted = super().adopted(state, source)
        known = "stem.0.0.weight" in adopted.keys() - state.keys()
        if not known or self.shortcut in ("B", "C") or any(".shortcut." in name for name in adopted):
            return adopted
        if self.shortcut == "A" and self.cifar_widths and "linear.weight" in state:
            return zeros_after(adopted, self.cifar_widths)
        raise ValueError(
            f"{source} does not say which shortcuts it has, because these have no weights (zeros before or after the "
            f"channels, or none): for {self.architecture}, give a checkpoint or an export of this project."
        )

    def reset_parameters(self, initialization: Literal["fan_in", "fan_out"], zero_init_residual: bool) -> None:
        """He initialization (He et al. 2015, Delving Deep into Rectifiers, §2.2); the last layer keeps PyTorch's."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode=initialization, nonlinearity="relu")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
            elif zero_init_residual and isinstance(module, Block):
                nn.init.zeros_(module.branch[-1][-1].weight)  # type: ignore[index]


def _architecture(depth: int, variant: str, shortcut: Shortcut) -> str:
    """ResNet-20, ResNet-50 v1.5, ResNet-34 C, plain-18: the name, with what differs from the paper's usual."""
    if shortcut == "none":
        return f"plain-{depth}"
    name = f"ResNet-{depth}" + (" v1.5" if variant == "v1.5" else "")
    usual = "A" if variant == "cifar" else "B"
    return name if shortcut == usual else f"{name} {shortcut}"


def zeros_after(state: dict[str, Tensor], widths: tuple[int, ...]) -> dict[str, Tensor]:
    """The same network with the zeros of shortcut A after the channels, of one with half of them before.

    akamaster/pytorch_resnet_cifar10 (resnet.py, option A) pads both sides. Here the channels of the stage before come
    first in what a stage hands on, so all that writes or reads it is put into that order; inside a branch none moves.

    Args:
        state: By the names of this network.
        widths: Channels of the stages; weights of other widths stay as they are.
    """
    moved = dict(state)
    order = torch.arange(widths[0])
    for stage, width in enumerate(widths):
        read = order
        if stage:
            before = (width - len(read)) // 2
            order = torch.cat([before + read, torch.arange(before), torch.arange(before + len(read), width)])
        for name in [name for name in state if name.startswith(f"stages.{stage}.")]:
            layer = name.split(".", 3)[3]
            if layer == "branch.0.0.weight":
                moved[name] = _in_order(state[name], read if name.startswith(f"stages.{stage}.0.") else order, 1)
            elif layer.startswith("branch.2.") and state[name].ndim:
                moved[name] = _in_order(state[name], order, 0)
    if "head.weight" in state:
        moved["head.weight"] = _in_order(state["head.weight"], order, 1)
    return moved


def _in_order(tensor: Tensor, order: Tensor, dim: int) -> Tensor:
    return tensor.index_select(dim, order) if tensor.shape[dim] == len(order) else tensor
