"""Networks in whose features images are compared: the Inception of published scores, or a classifier of this project.

Inception. Features of the Inception of 2015 that published scores use, as torch-fidelity ports it.

It is the graph `inception-2015-12-05` (openai/improved-gan): images from 0 to 255, enlarged to 299x299 as TensorFlow 1
did, 2,048 features before the last layer, and for the Inception score the logits without their bias, as the authors'
code has them. torchvision's Inception has other weights and gives other figures.

The network is torchmetrics' own, without its option to smooth while resizing. The measures are those of this package
and not torchmetrics', which reads each image once for every measure, shuffles before the Inception score takes its
chunks, and draws from the global generator that training uses. They are tested to agree.

Classifiers. Features of a classifier that was trained with this project: what its last layer sees.

Inception's features are made for photographs of 299x299 pixels; those of a classifier of the data set itself fit
digits better, and need no download. Such figures compare samples with samples, never with published ones.
"""

import contextlib
import io
import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from callbacks.gan.pixels import as_unit
from lightning_modules.classifier import ImageClassifier, networks
from records.checkpoints import best_checkpoints, run_of, sha256_of
from records.files import UnreadableError
from records.layout import CHECKPOINTS, SUMMARY
from records.summary import Summary
from records.weights import TO_REBUILD, UnusableWeightsError, read_weights, rebuild

LAYERS = ["2048", "logits_unbiased"]


class InceptionFeatures:
    """Inception as a space of features.

    Args:
        weights: File of the weights; null downloads them.

    Raises:
        ValueError: torch-fidelity or the weights are not there.
    """

    name = "inception"
    score_name = "inception_score"

    def __init__(self, weights: str | None = None) -> None:
        if find_spec("torch_fidelity") is None:  # an extra
            raise ValueError(
                "The Inception network of published scores is in torch-fidelity, the extra `inception` of "
                "pyproject.toml: pip install torch-fidelity, or give SampleMeasures.features a run of a classifier."
            )
        if weights is not None and not Path(weights).is_file():
            raise ValueError(f"There are no weights {weights}: give the file, or leave inception_weights out.")
        from torchmetrics.image.fid import NoTrainInceptionV3  # noqa: PLC0415  slow to import

        try:
            with torch.random.fork_rng(devices=[]), contextlib.redirect_stdout(io.StringIO()):
                self.network = NoTrainInceptionV3("inception-v3-compat", LAYERS, weights, antialias=False)
        except Exception as error:  # the errors of a download are of many kinds
            raise ValueError(
                f"Inception's weights could not be read ({error}): download weights-inception-2015-12-05-6726825d.pth "
                "from github.com/toshas/torch-fidelity/releases elsewhere, and name it with "
                "SampleMeasures.inception_weights; or give SampleMeasures.features a run of a classifier."
            ) from None
        self.network.requires_grad_(False)

    def check(self, in_channels: int, image_size: int) -> None:
        """Refuse what is neither gray nor color; any size is enlarged.

        Raises:
            ValueError: The images have other channels.
        """
        if in_channels not in (1, 3):
            raise ValueError(f"Inception takes images of 1 or 3 channels, not {in_channels}: leave SampleMeasures out.")

    def to(self, device: torch.device) -> None:
        """Move the network."""
        self.network.to(device)

    @torch.no_grad()
    def __call__(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Features (B, 2048) and class probabilities (B, 1008) of uint8 images (B, 1 or 3, H, W)."""
        features, logits = self.network._torch_fidelity_forward(images.expand(-1, 3, -1, -1))
        return features.float(), logits.float().softmax(1)

    def description(self) -> dict[str, Any]:
        """Which network, and how it sees images."""
        return {
            "name": self.name,
            "network": "inception-2015-12-05, torch-fidelity's port",
            "features": LAYERS[0],
            "logits": LAYERS[1],
            "resizing": "bilinear to 299x299, as in TensorFlow 1",
        }


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


FeatureSpace = InceptionFeatures | ClassifierFeatures
"""A network that turns images into features and class probabilities, and says what it is.

`name` is how metrics name it, such as inception or resnet20, `score_name` how the score of its probabilities is named.
"""


def read_classifier(source: str) -> ClassifierFeatures:
    """The classifier of a run's best checkpoint, or of a checkpoint in a run.

    Raises:
        ValueError: There is none, or the run's summary does not say how its images were normalized.
    """
    checkpoint = _checkpoint(Path(source))
    summary = _summary(run_of(checkpoint))
    # Their constructors draw initial weights; the run's own random numbers must not depend on that.
    with torch.random.fork_rng(devices=[]):
        network = _network(summary.model.class_name, checkpoint)
    record = {
        "checkpoint": checkpoint.as_posix(),
        "sha256": sha256_of(checkpoint),
        "data": summary.data.name,
        "acc1": summary.best_of("val/acc1").value,
    }
    assert summary.data.mean is not None and summary.data.std is not None  # noqa: PT018
    return ClassifierFeatures(network, summary.data.mean, summary.data.std, record)


def name_of(architecture: str) -> str:
    """resnet20 for ResNet-20, vgg11_a for VGG-11 A: what may stand in the name of a metric."""
    return re.sub(r"[^a-z0-9]+", "_", architecture.lower().replace("-", "")).strip("_")


def _last_layer(network: ImageClassifier) -> nn.Module:
    """The layer with one output for each class; of NIN's two, the one that is there."""
    layers = dict(network.named_modules())
    return [layers[name] for name in network.output_layers if name in layers and "auxiliary" not in name][-1]


def _checkpoint(path: Path) -> Path:
    if path.is_dir():
        best = best_checkpoints(path)
        if len(best) != 1:
            raise ValueError(
                f"The run {path} has {len(best) or 'no'} best checkpoints: name a file of {path / CHECKPOINTS} with "
                "SampleMeasures.features."
            )
        return best[0]
    if not path.is_file():
        raise ValueError(
            f"There is no classifier {path}: SampleMeasures.features is inception, a run's directory or a checkpoint "
            "in one."
        )
    return path


def _summary(run: Path) -> Summary:
    try:
        summary = Summary.read(run)
    except UnreadableError:
        summary = Summary()
    if not summary.model.class_name or summary.data.mean is None or summary.data.std is None:
        raise ValueError(
            f"There is no {run / SUMMARY} that says how the classifier's images were normalized: give a run of this "
            "version."
        )
    return summary


def _network(name: str, checkpoint: Path) -> ImageClassifier:
    """The network of class `name` with the weights of `checkpoint`, which names no code that would be run."""
    known = networks()  # whichever of the project's or a user's own are imported
    if name not in known:
        raise ValueError(f"{checkpoint} holds a {name}, which is no ImageClassifier of this project: give another run.")
    try:
        content = read_weights(checkpoint, TO_REBUILD)
    except UnusableWeightsError as error:
        raise ValueError(f"{error}: give SampleMeasures.features another run of a classifier.") from None
    network = rebuild(known[name], content, checkpoint)
    if not all(tensor.isfinite().all() for tensor in network.state_dict().values()):
        raise ValueError(f"{checkpoint} holds values that are not finite: give another run.")
    return network
