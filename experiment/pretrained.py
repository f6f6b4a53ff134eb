"""A trained network without its training, in the layout of the Hugging Face Hub, and its model card."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, ModelCard, ModelCardData, PyTorchModelHubMixin
from torch import Tensor, nn

from lightning_modules import ImageClassifier
from lightning_modules.classifier import networks
from lightning_modules.model_card import model_card
from records.statistics import wilson_interval

LICENSE = "apache-2.0"
USE = """\
In a checkout of this project, where `FOLDER` is this folder or the name of its repository:

```python
from experiment.pretrained import PretrainedClassifier

network = PretrainedClassifier.from_pretrained("FOLDER")
logits = network(images)
```

To go on training from a copy of this folder: `python main.py fit … --model.weights FOLDER`.
"""


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
        crop_side: Pixels that the shorter side of a photograph is resized to before its center is cut out; by default
            the size of the images.
        training: What the model card tells of the run; see `card_of`.

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
        crop_side: int | None = None,
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
        self.crop_side = crop_side or self.network.image_size
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
    except (TypeError, AttributeError, LookupError, ArithmeticError, RuntimeError) as error:
        raise ValueError(
            f"{name} cannot be built from these arguments ({error}): use the version of this project that wrote them."
        ) from None
    if network.start_weights:
        raise ValueError(
            f"The arguments of {name} name other weights: leave {' and '.join(network.start_weights)} out."
        )
    return network


def card_of(
    network: ImageClassifier,
    class_names: Sequence[str] | None,
    mean: Sequence[float] | None,
    std: Sequence[float] | None,
    training: dict[str, Any],
) -> ModelCard:
    """The card of a network, with a header that the Hub reads.

    Args:
        network: What answers, without auxiliary heads.
        class_names: Name of each class, if known.
        mean: Mean of each channel, if known.
        std: What the channels are divided by, if known.
        training: What is known of the run; any of data, split, images, acc1, acc5, selected, epochs, steps, seed,
            precision, commit.
    """
    counts = model_card(network)
    size = "x".join(map(str, counts.input_shape))
    data = training.get("data") or "a data set that is not recorded"
    rows = {
        "architecture": f"{network.architecture}, depth {counts.depth}",
        "parameters": f"{counts.parameters.total:,} ({counts.parameters.conv:,} conv, {counts.parameters.fc:,} fc)",
        "multiply-adds": f"{counts.multiply_adds:,} for an image of {size}",
        "trained on": data,
        "classes": _classes(network.num_classes, class_names),
        **{name: str(training[name]) for name in ("epochs", "steps", "seed", "precision") if training.get(name)},
        "commit of the project": training.get("commit"),
    }
    table = "\n".join(f"| {name} | {value} |" for name, value in rows.items() if value)
    text = f"""\
# {network.architecture} on {data}

| | |
|---|---|
{table}

## Accuracy

{_accuracy(training)}

## Use

{USE}
Images are (B, {", ".join(map(str, counts.input_shape))}). {_normalization(mean, std)}

## License

Apache-2.0, as the project's. The data set has terms of its own.
"""
    return ModelCard(f"---\n{_header(network, training).to_yaml()}\n---\n\n{text}")


def _header(network: ImageClassifier, training: dict[str, Any]) -> ModelCardData:
    data, split, acc1 = training.get("data"), training.get("split"), training.get("acc1")
    results = None
    if data and split and acc1 is not None:
        result = EvalResult(
            task_type="image-classification",
            dataset_type=str(data),
            dataset_name=str(data),
            dataset_split=str(split),
            metric_type="accuracy",
            metric_value=round(acc1, 4),
        )
        results = [result]
    return ModelCardData(
        license=LICENSE,
        library_name="pytorch",
        pipeline_tag="image-classification",
        tags=["image-classification", type(network).__name__.lower()],
        model_name=network.architecture,
        eval_results=results,
    )


def _accuracy(training: dict[str, Any]) -> str:
    acc1, acc5, split, images = (training.get(name) for name in ("acc1", "acc5", "split", "images"))
    if acc1 is None or not images:
        return "Not recorded for this checkpoint."
    low, high = wilson_interval(acc1, images)
    top5 = f", top-5 {acc5:.2%}" if acc5 is not None else ""
    note = " The checkpoint was chosen by these same images, so the figure is too high by a little."
    return (
        f"Top-1 {acc1:.2%} ({low:.2%} to {high:.2%}, Wilson's 95 % interval){top5}, on the {images:,} images of the "
        f"{'validation' if split == 'val' else split} split, in one run.{note if training.get('selected') else ''}"
    )


def _classes(num_classes: int, class_names: Sequence[str] | None) -> str:
    if not class_names:
        return str(num_classes)
    shown = ", ".join(class_names[:20])
    return f"{num_classes}: {shown}" + (", …; all in config.json" if num_classes > 20 else "")


def _normalization(mean: Sequence[float] | None, std: Sequence[float] | None) -> str:
    if not mean or not std:
        return "How they are to be normalized is not recorded: as they were in training."
    return (
        "Scale pixels to 0 to 1, then, channel by channel, subtract the mean "
        f"({', '.join(f'{value:.4g}' for value in mean)}) and divide by ({', '.join(f'{value:.4g}' for value in std)})."
    )
