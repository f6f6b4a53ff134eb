"""A network layer by layer: shapes, parameters, multiply-adds and receptive fields, counted and not estimated.

The network runs once on the meta device, where shapes are known and nothing is computed. Hooks tell which module is
running. A dispatch mode sees every operation, those of modules and those of `forward` itself, and carries along how
far each tensor sees: a convolution or pooling of kernel k widens the field by k - 1 steps, and a stride makes the steps
longer (Araujo, Norris, Sim 2019, Computing Receptive Fields of Convolutional Neural Networks).
"""

import math
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.weak import WeakTensorKeyDictionary

from lightning_modules.classifier import ImageClassifier
from lightning_modules.model_card import kind_of_layer, meta_copy

aten = torch.ops.aten
CONVOLUTION = aten.convolution.default
POOLS = {
    aten.max_pool2d_with_indices.default: "max pool",
    aten.avg_pool2d.default: "average pool",
    aten._adaptive_avg_pool2d.default: "average pool",
    aten.adaptive_max_pool2d.default: "max pool",
    aten.mean.dim: "average pool",
    aten.amax.default: "max pool",
}
ADAPTIVE_POOLS = (aten._adaptive_avg_pool2d.default, aten.adaptive_max_pool2d.default)
REDUCTIONS = (aten.mean.dim, aten.amax.default)
PRODUCTS = (aten.addmm.default, aten.mm.default)
POOL_MODULES = (
    nn.modules.pooling._MaxPoolNd,
    nn.modules.pooling._AvgPoolNd,
    nn.modules.pooling._AdaptiveAvgPoolNd,
    nn.modules.pooling._AdaptiveMaxPoolNd,
)


@dataclass(frozen=True)
class Layer:
    """One row of the table.

    Attributes:
        name: Of the module, as in the keys of a checkpoint; of the module around it for an operation without one.
        kind: What it is, such as "conv 7x7/2 + norm", "conv 5x5, 2 groups", "max pool 3x3/2" or "fc".
        counted_as: conv, fc, norm or other, as the model card counts.
        output_shape: (channels, height, width), or (features,).
        parameters: Of the layer, with those of a normalization that directly follows.
        multiply_adds: For one image; of convolutions and fully connected layers only, as the model card counts.
        receptive_field: Height and width in pixels of what one output depends on, along the path that sees most; it may
            reach beyond the image. None for the whole image, behind a global pooling or a fully connected layer.
        training_only: Whether it belongs to an auxiliary head, which is there only in training.
    """

    name: str
    kind: str
    counted_as: str
    output_shape: tuple[int, ...]
    parameters: int
    multiply_adds: int
    receptive_field: int | None
    training_only: bool = False


def layer_table(network: ImageClassifier) -> list[Layer]:
    """Rows of the convolutions, poolings, fully connected and response normalization layers, in order of execution.

    Anything else that has parameters gets a row too, but for normalization directly behind a layer. Layers of the
    auxiliary heads come last. Kernels and strides are taken to be the same in height and width, as in all these
    networks.

    Args:
        network: A network on any device; its weights and mode stay as they are.
    """
    meta = meta_copy(network)
    shape = (1, network.in_channels, network.image_size, network.image_size)
    rows = traced(meta, meta.forward, shape)
    if len(meta.auxiliary_heads):
        rows += [
            replace(row, training_only=True)
            for row in traced(meta, meta.training_outputs, shape)
            if row.name.startswith("auxiliary_heads.")
        ]
    return rows


@dataclass(frozen=True)
class _Field:
    """Pixels that an element depends on, and their distance from those of its neighbor; infinite: the whole image."""

    size: float = 1
    step: float = 1

    def through(self, kernel_size: float, stride: float = 1, dilation: int = 1) -> "_Field":
        """The field behind a window that slides over this one's elements."""
        return _Field(self.size + (kernel_size - 1) * dilation * self.step, self.step * stride)


WHOLE_IMAGE = _Field(math.inf)


class _Tracer(TorchDispatchMode):
    """Sees every operation of a forward pass, and writes down the rows."""

    def __init__(self, images: Tensor) -> None:
        super().__init__()
        self.rows: list[Layer] = []
        self.running: list[tuple[str, nn.Module]] = []  # from the network down to the module that is running
        self._fields = WeakTensorKeyDictionary()
        self._fields[images] = _Field()
        self._last_output: Tensor | None = None  # that of the last row
        self._counted: set[int] = set()  # parameters may be shared

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run an operation, and note how far its output sees and what row it makes."""
        result = func(*args, **(kwargs or {}))
        outputs = [value for value in (result if isinstance(result, tuple | list) else (result,)) if _is_tensor(value)]
        inputs = [value for argument in args for value in (argument if isinstance(argument, list) else [argument])]
        fields = [self._fields[value] for value in inputs if _is_tensor(value) and value in self._fields]
        if not fields or not outputs:
            return result  # of constants and parameters
        # All paths that meet have the same step, or their sizes would differ.
        before = _Field(max(field.size for field in fields), max(field.step for field in fields))
        after = _behind(func, args, outputs[0], before)
        for output in outputs:
            self._fields[output] = after
        self._note(func, args, outputs[0], after)
        return result

    def leave(self, module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        """Give parameters of a module that has just run to the row they belong to, or to one of their own."""
        name, _ = self.running.pop()
        parameters = self._count(module)
        if not parameters or not _is_tensor(output):
            return
        if self.rows and self.rows[-1].name == name:
            self.rows[-1] = replace(self.rows[-1], parameters=self.rows[-1].parameters + parameters)
        elif kind_of_layer(module) == "norm" and inputs and inputs[0] is self._last_output:
            row = self.rows[-1]
            self.rows[-1] = replace(row, kind=f"{row.kind} + norm", parameters=row.parameters + parameters)
        else:
            self._add(name, module, _in_words(module), output)
            self.rows[-1] = replace(self.rows[-1], parameters=parameters)

    def _note(self, func: Any, args: tuple[Any, ...], output: Tensor, after: _Field) -> None:
        """Write down the row that an operation makes, if it makes one."""
        name, module = self.running[-1]
        counted_as = kind_of_layer(module)
        if func is CONVOLUTION and counted_as == "conv":
            # A transposed convolution applies its filters to each input, not for each output.
            self._add(name, module, _convolution_in_words(module), output, args[0] if args[6] else output)
        elif func in PRODUCTS and counted_as == "fc":
            self._add(name, module, "fc", output)
        elif func in POOLS and (isinstance(module, POOL_MODULES) or any(True for _ in module.children())):
            if func not in REDUCTIONS or after is WHOLE_IMAGE:
                self._add(name, module, _pool_in_words(func, args, output, after), output)
        elif (func in POOLS or func is CONVOLUTION) and not (self.rows and self.rows[-1].name == name):
            # Within a module without parts, such as a response normalization, it is what the module's name says.
            self._add(name, module, _in_words(module), output)

    def _add(self, name: str, module: nn.Module, kind: str, output: Tensor, filtered: Tensor | None = None) -> None:
        size = self._fields[output].size if output in self._fields else math.inf
        counted_as = kind_of_layer(module)
        weight = module.weight if counted_as in ("conv", "fc") else None
        elements = (output if filtered is None else filtered).numel()
        self.rows.append(
            Layer(
                name=name,
                kind=kind,
                counted_as=counted_as,
                output_shape=tuple(output.shape[1:]),
                parameters=0,
                multiply_adds=elements * weight[0].numel() if isinstance(weight, Tensor) else 0,
                receptive_field=None if math.isinf(size) else int(size),
            )
        )
        self._last_output = output

    def _count(self, module: nn.Module) -> int:
        own = [parameter for parameter in module.parameters(recurse=False) if id(parameter) not in self._counted]
        self._counted.update(map(id, own))
        return sum(parameter.numel() for parameter in own)


def traced(meta: nn.Module, run: Callable[[Tensor], Any], shape: tuple[int, ...]) -> list[Layer]:
    """Rows of the layers that a pass through a network runs, in their order.

    Args:
        meta: A network on the meta device, in evaluation mode.
        run: Its `forward`, or another of its methods.
        shape: Of what goes in.
    """
    images = torch.empty(shape, device="meta")
    tracer = _Tracer(images)
    with torch.no_grad(), _hooks(meta, tracer), tracer:
        # `run` is a method of the network itself, for which no hook is called.
        tracer.running.append(("", meta))
        outputs = run(images)
        tracer.leave(meta, (images,), outputs[0] if isinstance(outputs, tuple) else outputs)
    return tracer.rows


@contextmanager
def _hooks(network: nn.Module, tracer: _Tracer) -> Iterator[None]:
    handles = []
    for name, module in network.named_modules():

        def enter(module: nn.Module, _: Any, name: str = name) -> None:
            tracer.running.append((name, module))

        handles += [module.register_forward_pre_hook(enter), module.register_forward_hook(tracer.leave)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _is_tensor(value: Any) -> bool:
    return isinstance(value, Tensor)


def _behind(func: Any, args: tuple[Any, ...], output: Tensor, before: _Field) -> _Field:
    """How far the output of an operation sees; an operation that is not named here changes nothing."""
    x = args[0]
    if func is CONVOLUTION:
        _, weight, _, stride, _, dilation, *_ = args
        return before.through(weight.shape[-1], stride[-1], dilation[-1])
    if func is aten.max_pool2d_with_indices.default or func is aten.avg_pool2d.default:
        kernel_size, stride, dilation = _window(func, args)
        return before.through(kernel_size, stride, dilation)
    if func in ADAPTIVE_POOLS:
        size, parts = x.shape[-1], output.shape[-1]
        # Windows overlap where the size is no multiple of their number.
        widest = max(-(-(i + 1) * size // parts) - i * size // parts for i in range(parts))
        return WHOLE_IMAGE if parts == 1 else before.through(widest, size / parts)
    if func in REDUCTIONS and x.ndim == 4 and len(args) > 1 and {dim % 4 for dim in args[1]} >= {2, 3}:
        return WHOLE_IMAGE
    if func is aten.slice.Tensor and x.ndim == 4 and len(args) > 4 and args[1] % 4 == 3:
        return before.through(1, args[4])  # every stride-th pixel, as in shortcut A of a ResNet
    return WHOLE_IMAGE if func in PRODUCTS else before


def _window(func: Any, args: tuple[Any, ...]) -> tuple[int, int, int]:
    """Kernel size, stride and dilation of a pooling."""
    kernel_size = args[1][-1]
    stride = args[2][-1] if len(args) > 2 and args[2] else kernel_size
    dilation = args[4][-1] if func is aten.max_pool2d_with_indices.default and len(args) > 4 else 1
    return kernel_size, stride, dilation


def _convolution_in_words(module: Any) -> str:
    height, width = module.kernel_size
    stride = f"/{module.stride[-1]}" if module.stride[-1] > 1 else ""
    groups = f", {module.groups} groups" if module.groups > 1 else ""
    dilation = f", dilation {module.dilation[-1]}" if module.dilation[-1] > 1 else ""
    kind = "transposed conv" if module.transposed else "conv"
    return f"{kind} {height}x{width}{stride}{groups}{dilation}"


def _pool_in_words(func: Any, args: tuple[Any, ...], output: Tensor, after: _Field) -> str:
    if after is WHOLE_IMAGE:
        return f"global {POOLS[func]}"
    if func in ADAPTIVE_POOLS:
        return f"{POOLS[func]} to {output.shape[-2]}x{output.shape[-1]}"
    kernel_size, stride, _ = _window(func, args)
    return f"{POOLS[func]} {kernel_size}x{kernel_size}" + (f"/{stride}" if stride > 1 else "")


def _in_words(module: nn.Module) -> str:
    """LocalResponseNorm as "local response norm"."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", type(module).__name__).lower()
