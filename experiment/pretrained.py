"""A trained network without its training, in the layout of the Hugging Face Hub."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from huggingface_hub import ModelCard, PyTorchModelHubMixin
from torch import Tensor, nn

from experiment.pretrained_card import card_of
from lightning_modules import ImageClassifier
from lightning_modules.classifier import networks


class PretrainedClassifier(nn.Module, PyTorchModelHubMixin):
    """A network that answers: without auxiliary heads, loss, metrics and optimizer.

    `save_pretrained`, `from_pretrained` and `push_to_hub` are those of huggingface_hub: config.json holds the arguments
    below, model.safetensors the weights, README.md the model card.

    Args:
        network: Name of the architecture's class, such as ResNet.
        arguments: Arguments of that class, plain values only.
        architecture: Name of the network that the weights are of, such as ResNet-20; it is checked.
        class_names: Name of each class, in the order of the logits.
        mean: Mean of each channel, of pixels from 0 to 1, to be subtracted from images.
        std: What images are then to be divided by, for each channel.
        training: What the model card tells of the run; see `experiment.pretrained_card.card_of`.

    Raises:
        ValueError: There is no such network, or it has no such arguments.
    """

    def __init__(
        self,
        network: str,
        arguments: dict[str, Any],
        architecture: str | None = None,
        class_names: Sequence[str] | None = None,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        training: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.network = build(network, arguments)
        if architecture not in (None, self.network.architecture):
            raise ValueError(
                f"These arguments make {self.network.architecture}, but the weights are those of {architecture}: "
                "use the version of this project that wrote them."
            )
        self.network.auxiliary_heads = nn.ModuleDict()
        self.network.evaluation = nn.ModuleDict()
        self.class_names = class_names
        self.mean = mean
        self.std = std
        self.record = training or {}
        self.eval()

    def forward(self, images: Tensor) -> Tensor:
        """Normalized images (B, in_channels, H, W) → logits (B, num_classes)."""
        return self.network(images)

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | Path, **options: Any) -> "PretrainedClassifier":
        """Read a folder or a repository of the Hub, in evaluation mode.

        Args:
            pretrained_model_name_or_path: The folder, or the repository's name.
            options: Those of PyTorchModelHubMixin, such as revision.
        """
        # The mixin lets weights be missing by default, and would leave them at random values.
        return super().from_pretrained(pretrained_model_name_or_path, **{"strict": True, **options})

    def generate_model_card(self, *_: Any, **__: Any) -> ModelCard:
        """What `save_pretrained` and `push_to_hub` write to README.md."""
        return card_of(self.network, self.class_names, self.mean, self.std, self.record)


def build(name: str, arguments: dict[str, Any]) -> ImageClassifier:
    """The network of class `name`, with fresh weights.

    Raises:
        ValueError: There is no such class, or it has no such arguments.
    """
    known = networks()
    if name not in known:
        raise ValueError(f"There is no network {name} in lightning_modules: it has {', '.join(known)}.")
    try:
        json.dumps(arguments)
        network = known[name](**arguments)
    except TypeError as error:
        raise ValueError(
            f"{name} cannot be built from these arguments ({error}): use the version of this project that wrote them."
        ) from None
    if network.start_weights:
        raise ValueError(
            f"The arguments of {name} name other weights: leave {' and '.join(network.start_weights)} out."
        )
    return network
