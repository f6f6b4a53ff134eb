"""measures.json: every figure that was measured of a generator's samples, with the protocol that it was taken by."""

from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator, Field, StrictStr

from records.files import UnreadableError, read_json, write_json
from records.layout import MEASURES
from records.record import Count, Number, Part, Record, Text, is_measurable, numbers_of, printable

FORMAT = 1
IDENTITY = ("split", "step", "real_split", "features")


def _name(value: Any) -> Any:
    return printable(value) if isinstance(value, str) else value


def _finite(value: Any) -> dict[str, float]:
    """The figures that are numbers of any use; others are none."""
    if not isinstance(value, dict):
        raise ValueError("no figures")
    return {name: number for name, number in numbers_of(value).items() if is_measurable(number)}


Name = Annotated[StrictStr, BeforeValidator(_name)]


class Features(Part):
    """The network in whose features images were compared.

    Attributes:
        name: As it stands in the names of figures.
        sha256: Of its checkpoint; None for one that everybody has.
        acc1: Its accuracy, as a fraction.
    """

    name: Name
    network: Name
    sha256: Text = None
    acc1: Number = None


class Measurement(Part):
    """The figures of one protocol at one time.

    Attributes:
        split: The one that was evaluated.
        epoch: Counted from 0.
        step: Updates until then.
        real_split: train, or evaluated where the real images were those of `split`.
        features: None for measures of pixels alone.
        values: The figures that are finite, by name.
        reference: What real images come to, by the same names, where that was measured.
    """

    split: Name
    epoch: Count
    step: Count | None = None
    real_split: Name
    real_images: Count
    samples: Count
    features: Features | None
    values: Annotated[dict[str, float], BeforeValidator(_finite)]
    reference: Annotated[dict[str, float], BeforeValidator(lambda value: _finite(value or {}))] = Field(
        default_factory=dict
    )


class Measures(Record):
    """The measurements of a run, in the order in which they were taken."""

    FILE: ClassVar = MEASURES
    format: Any = FORMAT
    measurements: list[Measurement]


def read_measurements(directory: Path) -> list[Measurement]:
    """The measurements of a run; none where there is no file.

    Raises:
        UnreadableError: The file is damaged or of a format that this version does not know.
    """
    measures = Measures.read_if_any(directory)
    return measures.measurements if measures else []


def add_measurement(directory: Path, measurement: dict[str, Any]) -> None:
    """Add a measurement; one of the same step and protocol, as a resumed run repeats it, is replaced.

    A file that cannot be read is begun anew.
    """
    path = directory / MEASURES
    try:
        earlier = read_json(path).get("measurements")
    except UnreadableError:
        earlier = None
    kept = [entry for entry in earlier if isinstance(entry, dict)] if isinstance(earlier, list) else []
    kept = [entry for entry in kept if _identity(entry) != _identity(measurement)]
    write_json(path, {"format": FORMAT, "measurements": [*kept, measurement]}, indent=2)


def _identity(measurement: dict[str, Any]) -> list[Any]:
    return [measurement.get(name) for name in IDENTITY]
