"""The measures by name: from real images and samples to numbers, each under a name that says what it is.

Inception score (Salimans et al. 2016, Improved Techniques for Training GANs, §4), of any classifier.

    exp(E KL(p(y|x) ‖ p(y)))

It is 1 where the classifier says the same of all images, and at most the number of classes, where it is sure of each
image and all classes are equally frequent. p(y) is the mean over the same chunk of images.
"""

from collections.abc import Callable, Sequence
from functools import cached_property
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor

from callbacks.gan.distances import NormalFit, frechet_distance, kernel_distance, normal_fit
from callbacks.gan.feature_spaces import FeatureSpace
from callbacks.gan.neighbors import density_and_coverage, precision_and_recall, squared_radii
from callbacks.gan.pixels import as_unit, diversity, parzen_log_likelihood

NEIGHBORS = {"precision": 3, "density": 5}
"""Neighbors that a ball reaches to: Kynkäänniemi et al. 2019, §4; Naeem et al. 2020, §4.3."""


class ImageSet:
    """Images with their features, probabilities and neighbors, each computed when it is first asked for.

    Args:
        images: uint8, on the host. Shape (N, C, H, W).
        space: Network that sees them; None where only pixels are asked for.
        device: Where it does.
        batch_size: Images that it sees at a time.
    """

    def __init__(self, images: Tensor, space: FeatureSpace | None, device: torch.device, batch_size: int = 250) -> None:
        self.images = images
        self.space = space
        self.device = device
        self.batch_size = batch_size
        self._first: dict[int, ImageSet] = {}

    def __len__(self) -> int:
        return len(self.images)

    def first(self, count: int) -> "ImageSet":
        """The first images as a set of their own."""
        if count >= len(self):
            return self
        if count not in self._first:
            part = ImageSet(self.images[:count], self.space, self.device, self.batch_size)
            if "answers" in vars(self):
                part.answers = (self.features[:count], self.probabilities[:count])
            self._first[count] = part
        return self._first[count]

    def halves(self) -> tuple["ImageSet", "ImageSet"]:
        """Every other image, and those between them, as sets of their own."""
        halves = []
        for start in (0, 1):
            half = ImageSet(self.images[start::2], self.space, self.device, self.batch_size)
            if "answers" in vars(self):
                half.answers = (self.features[start::2], self.probabilities[start::2])
            halves.append(half)
        return halves[0], halves[1]

    @property
    def features(self) -> Tensor:
        """float32, on the host. Shape (N, F)."""
        return self.answers[0]

    @property
    def probabilities(self) -> Tensor:
        """float32, on the host. Shape (N, K)."""
        return self.answers[1]

    @cached_property
    def answers(self) -> tuple[Tensor, Tensor]:
        """Features and probabilities."""
        assert self.space is not None
        self.space.check(self.images.shape[1], self.images.shape[-1])
        self.space.to(self.device)
        parts = [self.space(batch.to(self.device)) for batch in self.images.split(self.batch_size)]
        features, probabilities = zip(*parts, strict=True)
        return torch.cat([part.cpu() for part in features]), torch.cat([part.cpu() for part in probabilities])

    @cached_property
    def normal_fit(self) -> NormalFit:
        """Mean and covariance of the features."""
        return normal_fit(self.features)

    @cached_property
    def radii(self) -> Tensor:
        """Squared distances to the nearest neighbors. Shape (N, 5)."""
        return squared_radii(self.features, max(NEIGHBORS.values()))


def inception_score(probabilities: Tensor, splits: int = 10) -> tuple[float, float]:
    """Mean and standard deviation of the score over contiguous chunks, as in the authors' code (openai/improved-gan).

    Args:
        probabilities: Class probabilities of the images. Shape (N, K).
        splits: Number of chunks.

    Returns:
        Mean and standard deviation (without Bessel's correction, as theirs).

    Raises:
        ValueError: There are fewer images than chunks.
    """
    count = len(probabilities)
    if not 1 <= splits <= count:
        raise ValueError(f"{count} images cannot be divided into {splits} chunks: take more images or fewer splits.")
    edges = [count * chunk // splits for chunk in range(splits + 1)]
    scores = torch.stack([_score_of_chunk(probabilities[a:b].double()) for a, b in pairwise(edges)])
    return float(scores.mean()), float(scores.std(correction=0))


def _score_of_chunk(probabilities: Tensor) -> Tensor:
    marginal = probabilities.mean(0)
    # xlogy: a probability of 0 adds nothing.
    divergence = torch.xlogy(probabilities, probabilities) - torch.xlogy(probabilities, marginal)
    return divergence.sum(1).mean().exp()


MeasureName = Literal["fid", "kid", "score", "precision_recall", "density_coverage", "diversity", "parzen"]

DIVERSITY_IMAGES = 1000
PARZEN_VALIDATION_IMAGES = 1000
FEWEST_FOR_HALVES = 100


def _kid(real: ImageSet, fake: ImageSet) -> dict[str, float]:
    mean, std = kernel_distance(real.features, fake.features)
    return {"kid": mean, "kid_std": std}


def _score(real: ImageSet, fake: ImageSet) -> dict[str, float]:
    mean, std = inception_score(fake.probabilities, splits=min(10, len(fake)))
    return {"score": mean, "score_std": std}


def _precision_recall(real: ImageSet, fake: ImageSet) -> dict[str, float]:
    real, fake = _equally_many(real, fake)
    k = NEIGHBORS["precision"]
    precision, recall = precision_and_recall(real.features, fake.features, k, (real.radii, fake.radii))
    return {"precision": precision, "recall": recall}


def _density_coverage(real: ImageSet, fake: ImageSet) -> dict[str, float]:
    real, fake = _equally_many(real, fake)
    density, coverage = density_and_coverage(real.features, fake.features, NEIGHBORS["density"], real.radii)
    return {"density": density, "coverage": coverage}


def _diversity(real: ImageSet, fake: ImageSet) -> dict[str, float]:
    of_real, of_fake = (diversity(as_unit(images.images[:DIVERSITY_IMAGES])) for images in (real, fake))
    return {"diversity": of_fake, "diversity_of_real": of_real}


def _parzen(real: ImageSet, fake: ImageSet) -> dict[str, float]:
    # A run evaluates one split at a time: some of its images choose the width, and are not among those measured.
    choosing = min(PARZEN_VALIDATION_IMAGES, len(real) // 10)
    if not choosing:
        raise ValueError(f"The Parzen window takes at least 10 real images, not {len(real)}: evaluate on more.")
    pixels, samples = as_unit(real.images.flatten(1)), as_unit(fake.images.flatten(1))
    value = parzen_log_likelihood(samples, pixels[:choosing], pixels[choosing:])
    return {
        "parzen_log_likelihood": value.mean,
        "parzen_standard_error": value.standard_error,
        "parzen_sigma": value.sigma,
    }


MEASURES: dict[MeasureName, Callable[[ImageSet, ImageSet], dict[str, float]]] = {
    "fid": lambda real, fake: {"fid": frechet_distance(real.normal_fit, fake.normal_fit)},
    "kid": _kid,
    "score": _score,
    "precision_recall": _precision_recall,
    "density_coverage": _density_coverage,
    "diversity": _diversity,
    "parzen": _parzen,
}
OF_PIXELS: tuple[MeasureName, ...] = ("diversity", "parzen")


def measured(measures: Sequence[MeasureName], real: ImageSet, fake: ImageSet, suffix: str = "") -> dict[str, float]:
    """The numbers of all `measures`, by names that hold the network: fid_inception, recall_resnet20.

    The suffix is added to the names of all that compare with real images.

    Raises:
        ValueError: There are too few images.
    """
    values: dict[str, float] = {}
    for measure in measures:
        for name, value in MEASURES[measure](real, fake).items():
            if measure in OF_PIXELS:
                values[f"{name}{suffix}"] = value
            else:
                assert fake.space is not None
                space = fake.space
                named = (
                    name.replace("score", space.score_name) if measure == "score" else f"{name}_{space.name}{suffix}"
                )
                values[named] = value
    return values


def reference(measures: Sequence[MeasureName], real: ImageSet, suffix: str = "") -> dict[str, float]:
    """What real images themselves come to, under the names of `measured`: what a perfect generator could reach.

    Distances are those between two halves of the real images, whose smaller number makes the Fréchet distance a little
    larger; the score is that of all.
    """
    if len(real) < FEWEST_FOR_HALVES:
        return {}
    distances = [name for name in measures if name in ("fid", "kid")]
    scores = [name for name in measures if name == "score"]
    return measured(distances, *real.halves(), suffix) | measured(scores, real, real, suffix)


def _equally_many(real: ImageSet, fake: ImageSet) -> tuple[ImageSet, ImageSet]:
    count = min(len(real), len(fake))
    return real.first(count), fake.first(count)
