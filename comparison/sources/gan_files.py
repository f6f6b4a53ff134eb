"""What only a GAN's run leaves, read with distrust: any of its files may be torn, missing or still growing."""

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from comparison.measures import DISCRIMINATOR, FeatureSpace, Measurement, Protocol
from records import measures
from records.metrics import read_metrics

IN_FEATURES = ("fid", "kid", "kid_std", "precision", "recall", "density", "coverage")
OF_PIXELS = ("diversity", "diversity_of_real", "parzen_log_likelihood", "parzen_standard_error", "parzen_sigma")
# Whose discriminators take an image for real where their logit is above 0, as `val/accuracy_…` counts it: a critic of
# the Wasserstein distance has no such point, and that of least squares lies at 1/2.
DECIDES_AT_ZERO = frozenset({"minimax", "non_saturating", "hinge"})


def read_discriminator(path: Path, objective: str | None, growing: bool = False) -> tuple[Measurement, ...]:
    """How the discriminator did in the validations of a metrics.csv, the last of each epoch.

    Args:
        path: The file.
        objective: What the discriminator learned, which says whether its accuracies mean something.
        growing: Whether the file may end in the middle of a line, which then does not count.

    Raises:
        ValueError: It is missing, torn or holds something else than numbers.
    """
    metrics = read_metrics(path, growing=growing)
    by_epoch = {}
    try:
        for cells in metrics.rows:
            row = dict(zip(metrics.columns, cells, strict=True))
            if row.get("val/accuracy_real"):
                epoch = int(float(row["epoch"])) + 1
                by_epoch[epoch] = Measurement(DISCRIMINATOR, epoch, _of_discriminator(row, objective))
    except (ValueError, ArithmeticError, KeyError) as error:
        raise ValueError(f"{path.name} holds something else than numbers") from error
    return tuple(by_epoch[epoch] for epoch in sorted(by_epoch))


def read_measurements(directory: Path) -> tuple[Measurement, ...]:
    """The measurements of a run's samples, in the order in which they were taken; none where there is no file.

    Raises:
        ValueError: The file is damaged or of a format that this version does not know.
    """
    return tuple(part for entry in measures.read_measurements(directory) for part in _parts(entry))


def _of_discriminator(row: Mapping[str, str], objective: str | None) -> dict[str, float]:
    accuracies = {name: float(row[f"val/{name}"]) for name in ("accuracy_real", "accuracy_fake")}
    if not all(0 <= accuracy <= 1 for accuracy in accuracies.values()):
        raise ValueError("not a fraction")
    others = {"distance_from_equilibrium": "val/distance_from_equilibrium", "accuracy_classes": "val/acc1"}
    figures = {name: float(cell) for name, column in others.items() if (cell := row.get(column))}
    decided = accuracies if objective in DECIDES_AT_ZERO else {}
    return decided | {name: value for name, value in figures.items() if math.isfinite(value)}


def _parts(entry: measures.Measurement) -> list[Measurement]:
    """An entry as two measurements at most: in the features of a network, and of pixels, which depend on none."""
    features = entry.features
    space = None
    if features is not None:
        space = FeatureSpace(features.name, features.network, features.sha256 or features.network, features.acc1)
    suffix = "_train" if entry.real_split == "train" else ""
    protocol = Protocol(space, entry.split, entry.real_split, entry.real_images, entry.samples)
    parts = []
    if space is not None and (figures := _figures(entry.values, _names_in_features(space, suffix))):
        parts.append(Measurement(protocol, entry.epoch + 1, figures))
    if figures := _figures(entry.values, {f"{name}{suffix}": name for name in OF_PIXELS}):
        parts.append(Measurement(replace(protocol, space=None), entry.epoch + 1, figures))
    return parts


def _names_in_features(space: FeatureSpace, suffix: str) -> dict[str, str]:
    score = "inception_score" if space.is_inception else f"classifier_score_{space.name}"
    return {f"{name}_{space.name}{suffix}": name for name in IN_FEATURES} | {
        score: "score",
        f"{score}_std": "score_std",
    }


def _figures(values: Mapping[str, float], names: Mapping[str, str]) -> dict[str, float]:
    return {short: values[name] for name, short in names.items() if name in values}
