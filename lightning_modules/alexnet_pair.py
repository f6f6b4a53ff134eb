"""AlexNet on two devices, a column on each, as its authors trained it (Krizhevsky et al. 2012, §3.5).

    segment            each column                 reads
    conv1, conv2       48, 128 channels            the image, its own half
    conv3 to conv5     192, 192, 128 channels      both halves, its own, its own
    fc6                half of the outputs         both halves
    fc7                half of the outputs         both halves
    fc8                all, on the first device    both halves

Devices exchange their halves before a segment and nowhere else. The authors' own file places fc8 on the first GPU
(computerhistory/AlexNet-Source-Code, layers/layers-145.cfg, fc1000).
"""

import copy
from collections.abc import Callable
from datetime import date
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from lightning_modules.alexnet import AlexNet
from lightning_modules.classifier import ImageClassifier
from lightning_modules.local_response_norm import LocalResponseNorm


class Column(nn.ModuleList):
    """Segments of one column, which stay on their device wherever the network is moved."""

    def __init__(self, segments: list[nn.Sequential], home: torch.device) -> None:
        super().__init__(segments)
        self.home = home
        self.to(home)

    @property
    def device(self) -> torch.device:
        """Where the weights are: at home, unless a copy on the meta device counts them."""
        return next(self.parameters()).device

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "Column":
        """Apply `fn`, such as a change of precision, but do not leave home."""

        def at_home(tensor: Tensor) -> Tensor:
            result = fn(tensor)
            return result if result.is_meta else result.to(self.home)

        return super()._apply(at_home, recurse)


class AlexNetPair(ImageClassifier):
    """AlexNet on two devices, a column on each (§3.5).

    The same numbers as `AlexNet` of the same variant, and the same checkpoints: either loads the other's weights. For
    devices cuda:0 and cuda:1, run it with trainer.devices=1; Lightning then counts one process and moves the images to
    cuda:0.

    Args:
        devices: Devices of the two columns.
        variant: Geometry: paper or authors2012, whose normalization stays inside a column.
        training: Arguments of AlexNet and of ImageClassifier.

    Raises:
        ValueError: There is no such device, or the images are too small for the stem.
    """

    published: ClassVar[date] = date(2012, 12, 3)
    output_layers: ClassVar[tuple[str, ...]] = ("head.7",)

    def __init__(
        self,
        devices: tuple[str, str] = ("cuda:0", "cuda:1"),
        variant: Literal["paper", "authors2012"] = "paper",
        stem: Literal["imagenet", "small"] = "imagenet",
        image_size: int | None = None,
        fc_width: int = 4096,
        dropout: float = 0.5,
        initialization: Literal["design", "kaiming"] = "design",
        **training: Any,
    ) -> None:
        for device in map(torch.device, devices):
            if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
                raise ValueError(
                    f"There is no device {device} here: set model.devices to two that there are, such as cpu."
                )
        small = stem == "small"
        super().__init__(image_size=image_size or (32 if small else 224), **training)
        # Cut out of a whole one, so that the initial weights are those of AlexNet for the same seed.
        whole = AlexNet(
            variant=variant,
            stem=stem,
            num_classes=self.num_classes,
            in_channels=self.in_channels,
            image_size=self.image_size,
            fc_width=fc_width,
            dropout=dropout,
            initialization=initialization,
        )
        self.architecture = whole.architecture
        self._split_names: dict[str, tuple[str, ...]] = {}
        segments = self._segments(whole)
        self.columns = nn.ModuleList(
            Column([segment[column] for segment in segments if column < len(segment)], torch.device(device))
            for column, device in enumerate(devices)
        )
        self.register_state_dict_post_hook(_join_columns)
        self.register_load_state_dict_pre_hook(_part_columns)

    def forward(self, images: Tensor) -> Tensor:
        """(B, in_channels, image_size, image_size) → logits (B, num_classes), on the first device."""
        first, second = self.columns
        assert isinstance(first, Column)
        assert isinstance(second, Column)
        halves = [column[0](images.to(column.device)) for column in (first, second)]
        for index in range(1, len(second)):
            halves = [column[index](joined(halves, column.device)) for column in (first, second)]
        return first[-1](joined(halves, first.device))

    def _segments(self, whole: AlexNet) -> list[tuple[nn.Sequential, ...]]:
        """The layers of `whole`, cut where a layer reads both columns, and halved; the last one is not."""
        layers = [
            (f"{part}.{name}", layer)
            for part in ("features", "head")
            for name, layer in whole.get_submodule(part).named_children()
        ]
        last = layers[-1][1]
        segments: list[tuple[nn.Sequential, ...]] = [(nn.Sequential(), nn.Sequential())]
        seen_weights = False
        for name, layer in layers:
            has_weights = isinstance(layer, nn.Conv2d | nn.Linear)
            if has_weights and seen_weights and getattr(layer, "groups", 1) == 1:
                segments.append((nn.Sequential(),) if layer is last else (nn.Sequential(), nn.Sequential()))
            seen_weights = seen_weights or has_weights
            parts = (layer,) if layer is last else (_half(layer, 0), _half(layer, 1))
            names = []
            for column, (segment, part) in enumerate(zip(segments[-1], parts, strict=True)):
                names.append(f"columns.{column}.{len(segments) - 1}.{len(segment)}")
                segment.append(part)
            self._split_names[name] = tuple(names)
        return segments


def joined(halves: list[Tensor], device: torch.device) -> Tensor:
    """Both halves of the channels, on `device`: the exchange between the two."""
    return torch.cat([half.to(device) for half in halves], dim=1)


@torch.no_grad()
def _half(layer: nn.Module, column: int) -> nn.Module:
    """What one column has of a layer: half of the outputs, and their weights."""
    if isinstance(layer, LocalResponseNorm):
        assert layer.columns == 2
        return LocalResponseNorm(layer.window.shape[0] // 2, layer.scale, layer.k)
    if not isinstance(layer, nn.Conv2d | nn.Linear):
        return copy.deepcopy(layer)
    outputs = layer.weight.shape[0] // 2
    rows = slice(column * outputs, (column + 1) * outputs)
    half = copy.deepcopy(layer)
    half.weight = nn.Parameter(layer.weight[rows].clone())
    half.bias = nn.Parameter(layer.bias[rows].clone())  # type: ignore[index]
    if isinstance(half, nn.Linear):
        half.out_features = outputs
    else:
        half.in_channels, half.out_channels, half.groups = layer.weight.shape[1], outputs, 1
    return half


def _join_columns(network: nn.Module, state: dict[str, Any], prefix: str, _: Any) -> None:
    """Turn the columns' weights into those of AlexNet, by AlexNet's names."""
    assert isinstance(network, AlexNetPair)
    for name, parts in network._split_names.items():
        for kind in ("weight", "bias"):
            halves = [state.pop(f"{prefix}{part}.{kind}", None) for part in parts]
            if halves[0] is not None:
                state[f"{prefix}{name}.{kind}"] = torch.cat([half.to(halves[0].device) for half in halves])


def _part_columns(network: nn.Module, state: dict[str, Any], prefix: str, *_: Any) -> None:
    """Turn AlexNet's weights into those of the columns."""
    assert isinstance(network, AlexNetPair)
    for name, parts in network._split_names.items():
        for kind in ("weight", "bias"):
            whole = state.pop(f"{prefix}{name}.{kind}", None)
            if whole is not None:
                for part, half in zip(parts, whole.chunk(len(parts)), strict=True):
                    state[f"{prefix}{part}.{kind}"] = half
