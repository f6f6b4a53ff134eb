"""What `measures.json` holds, in figures that stand beside each other only where they were taken in the same way.

Two Fréchet distances compare if network, images and their numbers are the same; else one of them says nothing of the
other. So each figure is kept with its `Protocol`.
"""

import json
import math
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from comparison.summary import printable

FILE = "measures.json"
SUPPORTED_FORMAT = 1
INCEPTION = "inception"
IN_FEATURES = ("fid", "kid", "kid_std", "precision", "recall", "density", "coverage")
OF_PIXELS = ("diversity", "diversity_of_real", "parzen_log_likelihood", "parzen_standard_error", "parzen_sigma")


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
    """What must be the same for two figures to compare; `space` is None for measures of pixels."""

    space: FeatureSpace | None
    split: str
    real_split: str
    real_images: int
    samples: int

    def __str__(self) -> str:
        images = "training" if self.real_split == "train" else {"val": "validation"}.get(self.split, self.split)
        return f"{self.space or 'Pixels'}: {self.real_images:,} {images} images, {self.samples:,} samples"


@dataclass(frozen=True)
class Measurement:
    """Figures of one protocol at one time.

    `epoch` counts from 1; it is None for a measurement after the training, which `checkpoint` names if it was of a
    certain one. `figures` are named without network and split: fid, kid, kid_std, score, precision and others.
    """

    protocol: Protocol
    epoch: int | None
    figures: dict[str, float]
    checkpoint: str | None = None

    def after_training(self, checkpoint: str | None) -> "Measurement":
        """The same, taken by a command of its own, whose count of epochs begins anew."""
        return replace(self, epoch=None, checkpoint=checkpoint)


def read_measurements(directory: Path) -> tuple[Measurement, ...]:
    """The measurements of a run, in the order in which they were taken; none where there is no file.

    Raises:
        ValueError: The file is damaged or of a format that this version does not know.
    """
    path = directory / FILE
    if not path.is_file():
        return ()
    try:
        content = json.loads(path.read_bytes())
        known = content["format"]
        if known == SUPPORTED_FORMAT:
            return tuple(part for entry in content["measurements"] for part in _parts(entry))
    except (OSError, ValueError, ArithmeticError, RecursionError, TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"{FILE} is damaged") from error
    raise ValueError(f"{FILE} has format {known!r}; this version reads {SUPPORTED_FORMAT}")


def _parts(entry: dict[str, Any]) -> list[Measurement]:
    """An entry as two measurements at most: in the features of a network, and of pixels, which depend on none."""
    space = None if entry["features"] is None else _space(entry["features"])
    suffix = "_train" if entry["real_split"] == "train" else ""
    protocol = Protocol(
        space,
        printable(entry["split"]),
        printable(entry["real_split"]),
        _count(entry, "real_images"),
        _count(entry, "samples"),
    )
    epoch = _count(entry, "epoch") + 1
    parts = []
    if space is not None and (figures := _figures(entry["values"], _names_in_features(space, suffix))):
        parts.append(Measurement(protocol, epoch, figures))
    if figures := _figures(entry["values"], {f"{name}{suffix}": name for name in OF_PIXELS}):
        parts.append(Measurement(replace(protocol, space=None), epoch, figures))
    return parts


def _space(features: dict[str, Any]) -> FeatureSpace:
    name, network = printable(features["name"]), printable(features["network"])
    accuracy = features.get("acc1")
    return FeatureSpace(
        name,
        network,
        printable(str(features.get("sha256") or network)),
        float(accuracy) if isinstance(accuracy, int | float) else None,
    )


def _names_in_features(space: FeatureSpace, suffix: str) -> dict[str, str]:
    score = "inception_score" if space.is_inception else f"classifier_score_{space.name}"
    return {f"{name}_{space.name}{suffix}": name for name in IN_FEATURES} | {
        score: "score",
        f"{score}_std": "score_std",
    }


def _figures(values: dict[str, Any], names: dict[str, str]) -> dict[str, float]:
    """The finite ones; a figure that is not finite is none."""
    found = {short: float(values[name]) for name, short in names.items() if name in values}
    return {short: value for short, value in found.items() if math.isfinite(value)}


def _count(entry: dict[str, Any], name: str) -> int:
    value = entry[name]
    if not isinstance(value, int) or value < 0:
        raise ValueError(f"{name} is no count")
    return value
