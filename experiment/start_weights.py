"""Trained weights to start from: how they are fitted to a network, which changes only when all is known to fit."""

import inspect
from collections.abc import Iterable
from functools import partial

from lightning.pytorch import LightningModule
from lightning.pytorch.utilities import rank_zero_info
from torch import Tensor

from experiment.weight_files import OTHERWISE, Weights, read_weights
from lightning_modules import ImageClassifier

AUXILIARY = "auxiliary_heads"
REMEDY = "choose the variant, image size and channels that the weights were trained with"


def load_start_weights(network: LightningModule, whole: bool = False) -> None:
    """Load the weights that the options of `network` name, if any; `main.py` does so for every run.

    Args:
        network: Network with its layers in place; one that is no classifier has no such options.
        whole: Whether output layers for other classes are refused, too, as for an evaluation.

    Raises:
        ValueError: There are none of that name, they cannot be trusted, or they do not fit.
    """
    if isinstance(network, ImageClassifier):
        network.take_start_weights(partial(load_weights, whole=whole))


def load_weights(network: ImageClassifier, source: str, whole: bool = False) -> None:
    """Load the weights at `source` into `network`, all or none.

    Output layers for another number of classes, and auxiliary heads that the source has not, keep their values; a
    message says so.

    Args:
        network: Network with its layers in place.
        source: What `read_weights` takes.
        whole: Whether output layers for other classes are refused, too.

    Raises:
        ValueError: There are none of that name, they cannot be trusted, or they do not fit.
    """
    weights = read_weights(network, source)
    if weights.architecture not in (None, network.architecture):
        # Names and shapes may be the same all the same, as those of ResNet-50 and ResNet-50 v1.5 are.
        raise ValueError(
            f"{source} holds the weights of {weights.architecture}, not of {network.architecture}: "
            "choose the variant that they were trained with."
        )
    fit = Fit(network, weights.state)
    if fit.number_of_faults:
        adopted = Fit(network, network.adopted(weights.state, source))
        fit = min(fit, adopted, key=lambda fit: fit.number_of_faults)
    if fit.number_of_faults:
        raise ValueError(f"{source} does not fit {network.architecture}: {fit.faults()}: {REMEDY}.")
    if whole and fit.anew:
        classes = next(iter(fit.anew.values()))
        has = f"{classes} classes, the data set {network.num_classes}" if classes else f"no {_some([*fit.anew])}"
        raise ValueError(
            f"{source} has {has}, so its answers would mean nothing: name weights for these classes, or with "
            "--ckpt_path a run that was trained on them."
        )
    infinite = [name for name, tensor in fit.loaded.items() if not tensor.isfinite().all()]
    if infinite:
        raise ValueError(f"{source} holds values that are not finite, in {_some(infinite)}: choose other weights.")
    network.load_state_dict({**network.state_dict(), **fit.loaded})
    if weights.averaged is not None:
        beside = f" beside those of the last step ({OTHERWISE})" if weights.averaged == OTHERWISE else ""
        rank_zero_info(f"{source} holds averaged weights{beside or f' ({weights.averaged})'}, which are taken.")
    for message in [*fit.messages(source), *_other_arguments(network, weights)]:
        rank_zero_info(message)


class Fit:
    """How the tensors of a source meet those of a network.

    Attributes:
        loaded: Tensors that fit, by the network's names.
        missing: Names that only the network has.
        unexpected: Names that only the source has.
        misshapen: Names with both shapes, or kinds of numbers, where they differ.
        anew: Output layers that keep their values, and the number of classes that the source has for them, 0 where it
            has no such layer.
        heads_left_out: Auxiliary heads that only the source has.
        heads_anew: Auxiliary heads that only the network has.
    """

    def __init__(self, network: ImageClassifier, state: dict[str, Tensor]) -> None:
        own = network.state_dict()
        output_layers = (*network.output_layers, AUXILIARY)
        self.num_classes = network.num_classes
        self.heads_left_out = sorted(_heads(state) - _heads(own))
        self.heads_anew = sorted(_heads(own) - _heads(state))
        self.loaded: dict[str, Tensor] = {}
        self.misshapen: list[str] = []
        self.anew: dict[str, int] = {}
        for name in [name for name in own if name in state]:
            layer = name.rpartition(".")[0]
            tensor = _as_wide_as(own[name], state[name])
            if tensor.shape == own[name].shape and tensor.is_floating_point() == own[name].is_floating_point():
                self.loaded[name] = tensor
            elif _belongs_to(name, output_layers) and _is_for_other_classes(own[name], tensor, self.num_classes):
                self.anew[layer] = tensor.shape[0]
            else:
                self.misshapen.append(f"{name} {_kind(tensor)} instead of {_kind(own[name])}")
        if self.loaded:
            without = (layer for layer in network.output_layers if not layer.startswith(f"{AUXILIARY}."))
            self.anew |= {layer: 0 for layer in without if not any(_belongs_to(name, [layer]) for name in state)}
        self.missing = [
            name
            for name in own
            if name not in state
            and not _belongs_to(name, self.anew)
            and not name.endswith("num_batches_tracked")  # older files of PyTorch do not have it, and nothing needs it
            and not _belongs_to(name, [f"{AUXILIARY}.{head}" for head in self.heads_anew])
        ]
        left_out = [f"{AUXILIARY}.{head}" for head in self.heads_left_out]
        self.unexpected = [name for name in state if name not in own and not _belongs_to(name, left_out)]

    @property
    def number_of_faults(self) -> int:
        """How many names keep the source from being loaded."""
        return len(self.missing) + len(self.unexpected) + len(self.misshapen)

    def faults(self) -> str:
        """What does not fit, the first few of each kind."""
        kinds = {"missing": self.missing, "unexpected": self.unexpected, "of another shape": self.misshapen}
        return "; ".join(f"{kind} {_some(names)}" for kind, names in kinds.items() if names)

    def messages(self, source: str) -> list[str]:
        """What is not loaded although all is well."""
        messages = []
        if self.anew:
            classes = ", ".join(map(str, sorted(set(self.anew.values()) - {0})))
            has = f"{classes} classes, the network {self.num_classes}" if classes else "no output layer"
            messages.append(f"{source} has {has}: {_start(list(self.anew))} anew.")
        if self.heads_left_out:
            messages.append(f"The network does without auxiliary heads of {source}: {', '.join(self.heads_left_out)}.")
        if self.heads_anew:
            messages.append(f"{source} has not all auxiliary heads: {_start(self.heads_anew)} anew.")
        return messages


def _heads(state: Iterable[str]) -> set[str]:
    return {name.split(".")[1] for name in state if name.startswith(f"{AUXILIARY}.")}


def _belongs_to(name: str, layers: Iterable[str]) -> bool:
    return any(name.startswith(f"{layer}.") for layer in layers)


def _is_for_other_classes(own: Tensor, tensor: Tensor, num_classes: int) -> bool:
    return own.ndim == tensor.ndim > 0 and own.shape[0] == num_classes != tensor.shape[0]


def _as_wide_as(own: Tensor, tensor: Tensor) -> Tensor:
    """A fully connected layer's weights (out, C·H·W) as a convolution's (out, C, H, W), or the reverse."""
    same = own.shape[:1] == tensor.shape[:1] and own.numel() == tensor.numel()
    return tensor.reshape(own.shape) if same and {own.ndim, tensor.ndim} == {2, 4} else tensor


def _other_arguments(network: ImageClassifier, weights: Weights) -> list[str]:
    """Arguments of the architecture that differ: some change what the same weights compute."""
    own = inspect.signature(type(network).__init__).parameters.keys() - {"num_classes", "image_size", "initialization"}
    return [
        f"Not as in {weights.source}: {name}: {weights.arguments[name]} → {network.hparams[name]}"
        for name in sorted(own & weights.arguments.keys() & network.hparams.keys())
        if weights.arguments[name] != network.hparams[name]
    ]


def _kind(tensor: Tensor) -> str:
    numbers = "" if tensor.is_floating_point() else f" {str(tensor.dtype).removeprefix('torch.')}"
    return f"{tuple(tensor.shape)}{numbers}"


def _some(names: list[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more


def _start(parts: list[str]) -> str:
    return f"{', '.join(parts)} {'starts' if len(parts) == 1 else 'start'}"
