"""What runs are compared by, and figures of it with the way in which they were taken.

Two Fréchet distances compare if network, images and their numbers are the same; else one of them says nothing of the
other. So each figure is kept with its `Protocol`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from comparison.units import ABSENT, human_percent

INCEPTION = "inception"
WILSON = "Wilson 95 % interval"
ARROWS = {"low": " ↓", "high": " ↑", "neither": ""}


@dataclass(frozen=True)
class Measure:
    """A quantity that runs are compared by.

    Attributes:
        name: Under which it is recorded.
        noun: What the page calls it.
        better: Which values are.
        unit: `%` for a fraction that is written in per cent, else empty.
        interval: What the uncertainty of a single run's figure is: `WILSON`, over the images that it was measured on;
            the name of the figure that is recorded beside it; or None, if there is none.
        pattern: How a figure and the one beside it are written.
    """

    name: str
    noun: str
    better: Literal["low", "high", "neither"] = "neither"
    unit: Literal["", "%"] = ""
    interval: str | None = None
    pattern: str = "{} ± {}"

    @property
    def title(self) -> str:
        """The noun, with an arrow toward what is better."""
        return f"{self.noun}{ARROWS[self.better]}"

    def text(self, value: float | None) -> str:
        """A figure as people read it: in per cent, or with three digits that count, as 0.0732, 5.22, 159 and 1,234."""
        if value is None:
            return ABSENT
        return human_percent(value, 1) if self.unit == "%" else f"{value:,.{digits_of(value)}f}"

    def text_of(self, figures: Mapping[str, float]) -> str:
        """The figure among others, with its uncertainty if that was recorded."""
        value, beside = figures.get(self.name), figures.get(self.interval or "")
        return self.text(value) if value is None or beside is None else self.with_spread(value, beside)

    def with_spread(self, value: float, spread: float) -> str:
        """A figure with its uncertainty, to the same digit: `5.22 ± 0.07`, `60.7 ± 1.2 %`."""
        if self.unit == "%":
            return f"{self.pattern.format(f'{100 * value:.1f}', f'{100 * spread:.1f}')} %"
        digits = digits_of(value)
        return self.pattern.format(f"{value:,.{digits}f}", f"{spread:,.{digits}f}")


ACCURACY = Measure("val/acc1", "validation accuracy", "high", "%", WILSON)
FRECHET = Measure("fid", "Fréchet distance", "low")
FID, KID = replace(FRECHET, noun="FID"), Measure("kid", "KID", "low", interval="kid_std")
SCORE = Measure("score", "classifier score", "high", interval="score_std")
INCEPTION_SCORE = replace(SCORE, noun="Inception score")
REAL = Measure("accuracy_real", "right on real images", unit="%")
FAKE = Measure("accuracy_fake", "right on fake images", unit="%")
EQUILIBRIUM = Measure("distance_from_equilibrium", "distance from equilibrium")
OF_THE_DISCRIMINATOR = (REAL, FAKE, EQUILIBRIUM, Measure("accuracy_classes", "right on classes", unit="%"))
OF_SAMPLES = (
    FRECHET,
    Measure("kid", "kernel distance", "low", interval="kid_std"),
    SCORE,
    Measure("precision", "precision", "high"),
    Measure("recall", "recall", "high"),
    Measure("density", "density", "high"),
    Measure("coverage", "coverage", "high"),
    Measure("parzen_log_likelihood", "Parzen log-likelihood", "high", interval="parzen_standard_error"),
    Measure("diversity", "pixel diversity (of real images)", interval="diversity_of_real", pattern="{} ({})"),
)


@dataclass(frozen=True)
class FeatureSpace:
    """The network in whose features images were compared; `identity` is the SHA-256 of a classifier's checkpoint."""

    name: str
    network: str
    identity: str
    accuracy: float | None = field(default=None, compare=False)

    @property
    def is_inception(self) -> bool:
        """Whether figures may stand beside published ones."""
        return self.name == INCEPTION

    def __str__(self) -> str:
        if self.is_inception:
            return f"Features of Inception ({self.network})"
        known = [] if self.accuracy is None else [f"{100 * self.accuracy:.1f} % right"]
        known += [f"checkpoint {self.identity[:8]}"]
        return f"Features of a {self.network} ({', '.join(known)})"


@dataclass(frozen=True)
class Protocol:
    """What must be the same for two figures to compare; `space` is None for measures of pixels.

    What the discriminator tells of real and fake images has no samples of its own.
    """

    space: FeatureSpace | None
    split: str
    real_split: str | None = None
    real_images: int | None = None
    samples: int | None = None

    @property
    def of_samples(self) -> bool:
        """Whether samples were measured, and not the discriminator."""
        return self.samples is not None

    @property
    def measures(self) -> Sequence[Measure]:
        """All measures, by the names that they have in this space; the usual ones are those of Inception."""
        if not self.of_samples:
            return OF_THE_DISCRIMINATOR
        if self.space is None or not self.space.is_inception:
            return OF_SAMPLES
        known = {measure.name: measure for measure in (FID, KID, INCEPTION_SCORE)}
        return [known.get(measure.name, measure) for measure in OF_SAMPLES]

    def __str__(self) -> str:
        images = "training" if self.real_split == "train" else {"val": "validation"}.get(self.split, self.split)
        if not self.of_samples:
            return f"Discriminator, on {images} images"
        return f"{self.space or 'Pixels'}: {self.real_images:,} {images} images, {self.samples:,} samples"


DISCRIMINATOR = Protocol(None, "val")


@dataclass(frozen=True)
class Measurement:
    """Figures of one protocol at one time, by the names of their measures.

    `epoch` counts from 1; it is None for a measurement after the training, which `checkpoint` names if it was of a
    certain one. `reference` has what real images themselves come to.
    """

    protocol: Protocol
    epoch: int | None
    figures: dict[str, float]
    checkpoint: str | None = None
    reference: Mapping[str, float] = field(default_factory=dict)

    def text_of(self, measure: Measure) -> str:
        """A figure with its uncertainty, and behind it that of real images if it is known: `1.78 (real 0.05)`."""
        text, real = measure.text_of(self.figures), self.reference.get(measure.name)
        return text if real is None or measure.name not in self.figures else f"{text} (real {measure.text(real)})"

    def after_training(self, checkpoint: str | None) -> "Measurement":
        """The same, taken by a command of its own, whose count of epochs begins anew."""
        return replace(self, epoch=None, checkpoint=checkpoint)


def digits_of(value: float) -> int:
    """How many stand behind the point for three that count."""
    size = abs(value)
    return 4 if size < 0.1 else 3 if size < 1 else 2 if size < 10 else 1 if size < 100 else 0
