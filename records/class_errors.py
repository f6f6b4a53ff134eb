"""class_errors.json: which classes a network erred on in an evaluation, how sure it was, and its surest mistakes."""

from collections.abc import Sequence
from typing import Any, ClassVar

from pydantic import Field, StrictFloat, StrictInt, StrictStr, model_validator

from records.layout import CLASS_ERRORS
from records.record import Name, Part, Record, Whole

BINS = 15


class Mistake(Part):
    """An image that was taken for another class; `place` is where the run's picture shows it.

    Attributes:
        image: Index of the image in its split.
        probability: How sure the network was of that.
        place: Left, top, right and bottom edge in pixels.
    """

    image: Whole = None
    label: StrictInt
    predicted: StrictInt
    probability: StrictFloat
    place: tuple[StrictInt, StrictInt, StrictInt, StrictInt] | None = None


class ConfidenceBin(Part):
    """The images whose highest probability lies in one of `BINS` equal parts of 0 to 1.

    Attributes:
        images: Their number.
        confidence: Mean of their highest probabilities.
        accuracy: Share of them that are right.
    """

    images: StrictInt = Field(ge=1)
    confidence: float = Field(ge=0, le=1)
    accuracy: float = Field(ge=0, le=1)


def calibration_error(bins: Sequence[ConfidenceBin]) -> float | None:
    """Expected calibration error: how far confidence and accuracy of the bins lie apart, weighted by their images.

    Source: Guo et al. (2017), "On Calibration of Modern Neural Networks", equation 3.
    """
    images = sum(one.images for one in bins)
    return sum(one.images * abs(one.accuracy - one.confidence) for one in bins) / images if images else None


class ClassErrors(Record):
    """The confusion matrix and the surest mistakes.

    Attributes:
        split: val or test.
        epoch: Epoch of the evaluation, counted from 0; None after the training.
        class_names: Name of each class; None where classes have but numbers.
        counts: Class, class that it was taken for, and number of images, where that is not 0.
        mistakes: Pair by pair of confused classes, the surest first.
        calibration: By split, the bins of confidence that hold any image, from the least sure up; of `split`, and in a
            training also of the test images at its end.
    """

    FILE: ClassVar = CLASS_ERRORS
    format: Any = 1
    split: StrictStr
    epoch: Whole = None
    images: Whole = None
    class_names: list[Name] | None
    counts: list[tuple[StrictInt, StrictInt, StrictInt]]
    mistakes: list[Mistake]
    calibration: dict[Name, list[ConfidenceBin]] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _check(self) -> "ClassErrors":
        classes = [label for row in self.counts for label in row[:2]]
        classes += [label for mistake in self.mistakes for label in (mistake.label, mistake.predicted)]
        if classes and (min(classes) < 0 or (self.class_names and max(classes) >= len(self.class_names))):
            raise ValueError("a class has no name")
        if few := [count for *_, count in self.counts if count < 1]:
            raise ValueError(f"it holds a count of {few[0]}")
        return self

    def name_of(self, label: int) -> str:
        """Name of a class, or its number."""
        return self.class_names[label] if self.class_names else str(label)
