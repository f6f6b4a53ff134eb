"""What a network costs, counted and not estimated: parameters by kind of layer, multiply-adds and depth."""

import copy
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from lightning_modules.classifier import ImageClassifier


@dataclass(frozen=True)
class Parameters:
    """Numbers of parameters: of convolutions, fully connected layers, normalization, anything else, and all."""

    conv: int
    fc: int
    norm: int
    other: int
    total: int


@dataclass(frozen=True)
class ModelCard:
    """What a network costs.

    Attributes:
        architecture: Name for tables and charts.
        parameters: Of the network that answers, without auxiliary heads, by kind of layer.
        auxiliary_parameters: Of the auxiliary heads, which are there only in training.
        multiply_adds: Of the convolutions and fully connected layers, for one image, as the papers count.
        training_multiply_adds: The same, with the auxiliary heads.
        depth: Layers with weights on the longest path from image to logits.
        input_shape: (channels, height, width) for which the multiply-adds hold.
    """

    architecture: str
    parameters: Parameters
    auxiliary_parameters: int
    multiply_adds: int
    training_multiply_adds: int
    depth: int
    input_shape: tuple[int, int, int]

    def __str__(self) -> str:
        """One line for the terminal."""
        parameters = self.parameters
        auxiliary = f", and {self.auxiliary_parameters:,} in auxiliary heads" if self.auxiliary_parameters else ""
        return (
            f"{self.architecture}: {parameters.total:,} parameters ({parameters.conv:,} conv, {parameters.fc:,} fc)"
            f"{auxiliary}, {self.multiply_adds:,} multiply-adds for {'x'.join(map(str, self.input_shape))}, "
            f"depth {self.depth}"
        )

    def as_dict(self) -> dict[str, Any]:
        """Plain types, for a run's record."""
        return {**asdict(self), "input_shape": list(self.input_shape)}


def model_card(network: ImageClassifier) -> ModelCard:
    """Count `network` on one image of its own size. Its weights and mode stay as they are."""
    shape = (network.in_channels, network.image_size, network.image_size)
    meta = meta_copy(network)
    multiply_adds, logits = _multiply_adds(meta, meta.forward, shape)
    training_multiply_adds = multiply_adds
    if len(meta.auxiliary_heads):
        training_multiply_adds, _ = _multiply_adds(meta, meta.training_outputs, shape)
    auxiliary = count_parameters(meta.auxiliary_heads).total
    meta.auxiliary_heads = nn.ModuleDict()
    return ModelCard(
        architecture=network.architecture,
        parameters=count_parameters(meta),
        auxiliary_parameters=auxiliary,
        multiply_adds=multiply_adds,
        training_multiply_adds=training_multiply_adds,
        depth=_longest_path(logits.grad_fn),
        input_shape=shape,
    )


def count_parameters(network: nn.Module) -> Parameters:
    """Parameters by the kind of layer that owns them; a shared parameter counts once."""
    counts = {"conv": 0, "fc": 0, "norm": 0, "other": 0}
    counted: set[int] = set()
    for module in network.modules():
        for parameter in module.parameters(recurse=False):
            if id(parameter) not in counted:
                counted.add(id(parameter))
                counts[kind_of_layer(module)] += parameter.numel()
    return Parameters(**counts, total=sum(counts.values()))


def kind_of_layer(module: nn.Module) -> str:
    """conv, fc, norm or other."""
    if isinstance(module, nn.modules.conv._ConvNd):
        return "conv"
    if isinstance(module, nn.Linear):
        return "fc"
    if isinstance(module, _NormBase | nn.GroupNorm | nn.LayerNorm):
        return "norm"
    return "other"


def meta_copy(network: ImageClassifier) -> ImageClassifier:
    """A copy in evaluation mode on the meta device, where shapes are known and nothing is computed."""
    # The Trainer's references are of no use to a copy, and some cannot be copied.
    trainer, network._trainer = network._trainer, None
    try:
        meta = copy.deepcopy(network).to("meta").eval()
    finally:
        network._trainer = trainer
    for parameter in meta.parameters():
        parameter.requires_grad_(True)
    return meta


def _multiply_adds(meta: nn.Module, run: Callable[[Tensor], Any], shape: tuple[int, int, int]) -> tuple[int, Any]:
    """Multiply-adds of `run` on one image, and what it returns with the graph that autograd has recorded."""
    multiply_adds = 0

    def count(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal multiply_adds
        weight = module.weight
        assert isinstance(weight, Tensor)
        # Each output needs one multiply-add per weight of its filter.
        multiply_adds += output.numel() * weight[0].numel()

    hooks = [
        module.register_forward_hook(count) for module in meta.modules() if kind_of_layer(module) in ("conv", "fc")
    ]
    with torch.enable_grad():
        result = run(torch.empty(1, *shape, device="meta"))
    for hook in hooks:
        hook.remove()
    return multiply_adds, result


def _longest_path(node: Any) -> int:
    """Most convolutions and matrix products on a path through the graph that autograd has recorded."""
    lengths: dict[Any, int] = {}
    stack = [node]
    while stack:
        node = stack[-1]
        parents = [parent for parent, _ in node.next_functions if parent is not None]
        unknown = [parent for parent in parents if parent not in lengths]
        if unknown:
            stack.extend(unknown)
            continue
        lengths[node] = _has_weights(node) + max((lengths[parent] for parent in parents), default=0)
        stack.pop()
    return lengths[node]


def _has_weights(node: Any) -> bool:
    """Whether the operation is a fully connected layer, or a convolution whose filter is a parameter."""
    if node.name().startswith("ConvolutionBackward"):
        return node.next_functions[1][0] is not None
    return node.name().startswith(("AddmmBackward", "MmBackward"))
