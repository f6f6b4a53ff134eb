"""Features of a classifier that was trained with this project: what its last layer sees.

Inception's features are made for photographs of 299x299 pixels; those of a classifier of the data set itself fit
digits better, and need no download. Such figures compare samples with samples, never with published ones.
"""

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from callbacks.gan.pixels import as_unit
from lightning_modules.classifier import ImageClassifier, networks

SUMMARY = "summary.json"


class ClassifierFeatures:
    """A classifier as a space of features: what its last layer is given, averaged over positions where it has several.

    Args:
        network: The classifier, put into evaluation mode.
        mean: What is taken off pixels from 0 to 1, by channel, as in its training.
        std: What they are then divided by.
        record: What else is known of it.
    """

    def __init__(
        self, network: ImageClassifier, mean: list[float], std: list[float], record: dict[str, Any] | None = None
    ) -> None:
        self.network = network.eval().requires_grad_(False)
        self.mean, self.std = (torch.tensor(values).view(-1, 1, 1) for values in (mean, std))
        self.name = name_of(network.architecture)
        self.score_name = f"classifier_score_{self.name}"
        self.record = record or {}
        self._seen = torch.empty(0)
        _last_layer(network).register_forward_pre_hook(self._note)

    def check(self, in_channels: int, image_size: int) -> None:
        """Refuse images that it was not trained on.

        Raises:
            ValueError: They have another size or other channels.
        """
        own = (self.network.in_channels, self.network.image_size)
        if own != (in_channels, image_size):
            raise ValueError(
                f"The {self.network.architecture} of SampleMeasures.features was trained on {own[0]} channels of "
                f"{own[1]}x{own[1]}, the images have {in_channels} of {image_size}x{image_size}: train it on the same "
                "data set with the same data.image_size."
            )

    def to(self, device: torch.device) -> None:
        """Move the network."""
        self.network.to(device)
        self.mean, self.std = self.mean.to(device), self.std.to(device)

    @torch.no_grad()
    def __call__(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Features (B, F) and class probabilities (B, K) of uint8 images (B, C, H, W)."""
        logits = self.network((as_unit(images) - self.mean) / self.std)
        seen, self._seen = self._seen, torch.empty(0)
        return (seen.mean((2, 3)) if seen.ndim == 4 else seen).float(), logits.float().softmax(1)

    def description(self) -> dict[str, Any]:
        """Name of the network, and what is known of its training."""
        return {"name": self.name, "network": self.network.architecture, **self.record}

    def _note(self, layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        self._seen = inputs[0]


def read_classifier(source: str) -> ClassifierFeatures:
    """The classifier of a run's best checkpoint, or of a checkpoint in a run.

    Raises:
        ValueError: There is none, or the run's summary does not say how its images were normalized.
    """
    checkpoint = _checkpoint(Path(source))
    summary = _summary(checkpoint.parent.parent / SUMMARY)
    data = summary["data"]
    name = str(summary["model"]["class"]).rpartition(".")[2]
    # Their constructors draw initial weights; the run's own random numbers must not depend on that.
    with torch.random.fork_rng(devices=[]):
        network = _network(name, checkpoint)
    accuracy = ((summary.get("best") or {}).get("val/acc1") or {}).get("value")
    record = {
        "checkpoint": checkpoint.as_posix(),
        "sha256": _sha256(checkpoint),
        "data": data.get("name"),
        "acc1": accuracy,
    }
    return ClassifierFeatures(network, data["mean"], data["std"], record)


def name_of(architecture: str) -> str:
    """resnet20 for ResNet-20, vgg11_a for VGG-11 A: what may stand in the name of a metric."""
    return re.sub(r"[^a-z0-9]+", "_", architecture.lower().replace("-", "")).strip("_")


def _last_layer(network: ImageClassifier) -> nn.Module:
    """The layer with one output for each class; of NIN's two, the one that is there."""
    layers = dict(network.named_modules())
    return [layers[name] for name in network.output_layers if name in layers and "auxiliary" not in name][-1]


def _checkpoint(path: Path) -> Path:
    if path.is_dir():
        best = sorted(path.glob("checkpoints/best*.ckpt"))
        if len(best) != 1:
            raise ValueError(
                f"The run {path} has {len(best) or 'no'} best checkpoints: name a file of {path / 'checkpoints'} with "
                "SampleMeasures.features."
            )
        return best[0]
    if not path.is_file():
        raise ValueError(
            f"There is no classifier {path}: SampleMeasures.features is inception, a run's directory or a checkpoint "
            "in one."
        )
    return path


def _summary(file: Path) -> dict[str, Any]:
    try:
        summary = json.loads(file.read_bytes())
        summary["model"]["class"], summary["data"]["mean"], summary["data"]["std"]
        return summary
    except (OSError, ValueError, TypeError, KeyError):
        raise ValueError(
            f"There is no {file} that says how the classifier's images were normalized: give a run of this version."
        ) from None


def _network(name: str, checkpoint: Path) -> ImageClassifier:
    """The network of class `name` with the weights of `checkpoint`, which names no code that would be run."""
    known = networks()  # whichever of the project's or a user's own are imported
    if name not in known:
        raise ValueError(f"{checkpoint} holds a {name}, which is no ImageClassifier of this project: give another run.")
    content = _read(checkpoint)
    try:
        network = known[name](**content["hyper_parameters"])
        network.load_state_dict(content["state_dict"])
    except (TypeError, KeyError, RuntimeError):
        raise ValueError(
            f"{checkpoint} does not fit the {name} of its own arguments: use the version of this project that wrote it."
        ) from None
    if not all(tensor.isfinite().all() for tensor in network.state_dict().values()):
        raise ValueError(f"{checkpoint} holds values that are not finite: give another run.")
    return network


def _read(checkpoint: Path) -> dict[str, Any]:
    """What a checkpoint holds, if its digest and its form are right."""
    signed = checkpoint.with_name(f"{checkpoint.name}.sha256")
    if signed.is_file() and signed.read_text(errors="replace").split()[:1] != [_sha256(checkpoint)]:
        raise ValueError(f"{checkpoint} is damaged (its SHA-256 is not that of {signed.name}): give another run.")
    try:
        content = torch.load(checkpoint, map_location="cpu", weights_only=True)
        return {name: dict(content[name]) for name in ("hyper_parameters", "state_dict")}
    except Exception:
        raise ValueError(f"{checkpoint} is no checkpoint of a classifier of this project: give another file.") from None


def _sha256(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
