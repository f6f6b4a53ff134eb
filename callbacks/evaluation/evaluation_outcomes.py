"""What each image of an evaluation was taken for, and from that: errors by class, the pairs most confused."""

from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from lightning_modules.classifier import ImageClassifier


class Outcomes(NamedTuple):
    """The images of an evaluation in the order of their indices, each once, of all ranks.

    Attributes:
        indices: Position of each image in its split. Shape (N,).
        labels: Its class. Shape (N,).
        predicted: The class of the highest probability. Shape (N,).
        probabilities: That probability. Shape (N,).
    """

    indices: Tensor
    labels: Tensor
    predicted: Tensor
    probabilities: Tensor


class Mistake(NamedTuple):
    """An image, by its index, that was taken for another class."""

    image: int
    label: int
    predicted: int
    probability: float


class EvaluationOutcomes(Metric):
    """Collects the outcome of each image.

    A list of outcomes, and not a confusion matrix: that has a million cells for ImageNet, is counted in another order
    or at the cost of a million comparisons for each image where algorithms must be deterministic, and does not say
    which image it was.
    """

    images: list[Tensor]
    probabilities: list[Tensor]

    def __init__(self) -> None:
        super().__init__()
        self.add_state("images", [], dist_reduce_fx="cat")
        self.add_state("probabilities", [], dist_reduce_fx="cat")

    def update(self, probabilities: Tensor, labels: Tensor, indices: Tensor) -> None:
        """Note the images of a batch, without waiting for the device.

        Args:
            probabilities: Of each class. Shape (B, num_classes).
            labels: Of the images, -1 for fillers, which `compute` leaves out. Shape (B,).
            indices: Of the images in their split. Shape (B,).
        """
        highest, predicted = probabilities.max(-1)
        self.images.append(torch.stack([indices, labels, predicted], 1))
        self.probabilities.append(highest.float())

    def compute(self) -> Outcomes:
        """The outcomes, on the host."""
        images, probabilities = dim_zero_cat(self.images).cpu(), dim_zero_cat(self.probabilities).cpu()
        counted = images[:, 1] >= 0
        images, probabilities = images[counted], probabilities[counted]
        order = images[:, 0].argsort(stable=True)
        indices, labels, predicted = images[order].unbind(1)
        return Outcomes(indices, labels, predicted, probabilities[order])


class ProbabilityWatch:
    """Keeps the class probabilities of each evaluation step, whatever views of other callbacks they come from.

    Attributes:
        probabilities: Those of the last batch. Shape (B, num_classes).

    Args:
        network: Its `class_probabilities` is watched until `let_go`.
    """

    def __init__(self, network: ImageClassifier) -> None:
        self.network = network
        self.probabilities = torch.empty(0)
        self._compute: Callable[[Any], Tensor] = network.class_probabilities
        network.class_probabilities = self._kept  # type: ignore[method-assign]

    def let_go(self) -> None:
        """Leave the network as it was."""
        vars(self.network).pop("class_probabilities", None)

    def _kept(self, images: Any) -> Tensor:
        self.probabilities = self._compute(images)
        return self.probabilities


def confusion_counts(outcomes: Outcomes) -> list[tuple[int, int, int]]:
    """Images by class and predicted class: (class, predicted, count), in rising order, without counts of zero."""
    pairs, counts = torch.stack([outcomes.labels, outcomes.predicted]).unique(dim=1, return_counts=True)
    return [(*pair, count) for pair, count in zip(pairs.T.tolist(), counts.tolist(), strict=True)]


def most_confused(counts: list[tuple[int, int, int]], pairs: int) -> list[tuple[int, int, int]]:
    """The pairs of classes taken for each other most often, in either direction: (lower class, higher class, count)."""
    confused: Counter[tuple[int, int]] = Counter()
    for label, predicted, count in counts:
        if label != predicted:
            confused[min(label, predicted), max(label, predicted)] += count
    ranked = sorted(confused.items(), key=lambda item: (-item[1], item[0]))
    return [(*pair, count) for pair, count in ranked[:pairs]]


def surest_mistakes(outcomes: Outcomes, one: int, other: int, most: int) -> list[Mistake]:
    """Of the images of one class that were taken for the other, and the other way round, the surest mistakes."""
    labels, predicted = outcomes.labels, outcomes.predicted
    wrong = ((labels == one) & (predicted == other)) | ((labels == other) & (predicted == one))
    found = [Mistake(*row) for row in zip(*(column[wrong].tolist() for column in outcomes), strict=True)]
    return sorted(found, key=lambda mistake: (-mistake.probability, mistake.image))[:most]
