"""The measures by name: from real images and samples to numbers, each under a name that says what it is."""

from collections.abc import Callable, Sequence
from typing import Literal

from callbacks.gan.classifier_score import inception_score
from callbacks.gan.diversity import diversity
from callbacks.gan.frechet import frechet_distance
from callbacks.gan.image_set import NEIGHBORS, ImageSet
from callbacks.gan.kernel import kernel_distance
from callbacks.gan.neighbors import density_and_coverage, precision_and_recall
from callbacks.gan.parzen import parzen_log_likelihood
from callbacks.gan.pixels import as_unit

MeasureName = Literal["fid", "kid", "score", "precision_recall", "density_coverage", "diversity", "parzen"]

DIVERSITY_IMAGES = 1000
PARZEN_VALIDATION_IMAGES = 1000


def _fid(real: ImageSet, fake: ImageSet) -> dict[str, float]:
    return {"fid": frechet_distance(real.normal_fit, fake.normal_fit)}


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
    "fid": _fid,
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

    Args:
        measures: Which.
        real: Real images.
        fake: Samples.
        suffix: What is added to the names of all that compare with real images.

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


def _equally_many(real: ImageSet, fake: ImageSet) -> tuple[ImageSet, ImageSet]:
    count = min(len(real), len(fake))
    return real.first(count), fake.first(count)
