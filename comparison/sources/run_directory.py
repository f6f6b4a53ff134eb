"""Run directories: summary.json, config.yaml, metrics.csv and measures.json, each of which may be damaged."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypeVar

from comparison.configuration import Filing, Selection, parse_configuration
from comparison.measures import DISCRIMINATOR, FeatureSpace, Measurement, Protocol
from comparison.runs import Run, make_run
from comparison.sources.csv_files import HPARAMS, NEEDED, CsvFile, read_csv_file
from records import measures
from records.curves import holds_accuracy, read_history
from records.files import LARGEST_YAML, UnreadableError, parse_yaml, read_text
from records.layout import CONFIG, METRICS, SUMMARY
from records.metrics import read_metrics
from records.record import is_measurable
from records.summary import RUNNING, Summary

TRAINING = "fit"
EVALUATIONS = ("validate", "test")
IN_FEATURES = ("fid", "kid", "kid_std", "precision", "recall", "density", "coverage")
OF_PIXELS = ("diversity", "diversity_of_real", "parzen_log_likelihood", "parzen_standard_error", "parzen_sigma")
# Whose discriminators take an image for real where their logit is above 0, as `val/accuracy_…` counts it: a critic of
# the Wasserstein distance has no such point, and that of least squares lies at 1/2.
DECIDES_AT_ZERO = frozenset({"minimax", "non_saturating", "hinge"})
Part = TypeVar("Part")


def read_run_directory(directory: Path, selection: Selection) -> Run | None:
    """Read one run.

    Returns:
        None if it is not wanted, not of training, or a command that was refused left no more than a config; of a GAN
        also what measured one later, wanted or not. A folder of Lightning's CSVLogger is read as its table.

    Raises:
        ValueError: If not even its model and data are known.
    """
    if not any(map(_is_written, (directory / SUMMARY, directory / METRICS))):
        return None
    if not (directory / SUMMARY).exists() and (directory / HPARAMS).is_file():
        return _read_lightning(directory / METRICS)
    summary = Summary.read(directory)
    gan = summary.model.is_gan
    if summary.command != TRAINING and not (gan and summary.command in EVALUATIONS):
        return None
    damage: list[str] = []
    config = _read(lambda: read_text(directory / CONFIG, LARGEST_YAML), "", damage)
    nothing: tuple[Mapping[str, str], Filing] = {}, Filing()
    parse = partial(parse_configuration, config, directory.name)
    configuration, filing = nothing if damage else _read(parse, nothing, damage)
    filing = filing.completed(summary.data.name, summary.model.architecture)
    metrics = metrics_of(directory)
    if gan:
        none: tuple[Measurement, ...] = ()
        objective, growing = configuration.get("model.init_args.objective"), summary.status == RUNNING
        told = _read(lambda: read_discriminator(metrics, objective, growing), none, damage)
        sampled = _read(lambda: read_measurements(directory), none, damage)
        run = make_run(directory, summary, validated=False, config=config, configuration=configuration)
        measured, evaluated = (*told, *sampled), _evaluated(config)
        return replace(run, filing=filing, measurements=measured, unread=tuple(damage), evaluated=evaluated)
    if not selection.includes(filing):
        return None
    validated = _read(lambda: holds_accuracy(metrics), False, damage)
    run = make_run(
        directory,
        summary,
        validated=validated,
        history=lambda: read_history(metrics),
        config=config,
        configuration=configuration,
        damage=damage[-1] if damage else None,
    )
    return replace(run, filing=filing)


def metrics_of(directory: Path) -> Path:
    """The metrics.csv of a run: its own, or the newest of Lightning's CSVLogger below it, with the same columns."""
    own = directory / METRICS
    if own.exists():
        return own
    others = [path for path in directory.glob(f"*/version_*/{METRICS}") if path.with_name(HPARAMS).is_file()]
    return max(others, key=lambda path: path.stat().st_mtime, default=own)


def _read_lightning(path: Path) -> Run:
    try:
        return read_csv_file(CsvFile(path, {}))
    except ValueError as error:
        said = " ".join([f"--csv {path.as_posix()}", *(f"{key}=…" for key in NEEDED)])
        raise ValueError(
            f"a table of Lightning's CSVLogger: {error}. Name it with what it does not say: {said}"
        ) from error


def join_evaluations(gans: Iterable[Run], selection: Selection) -> list[Run]:
    """The runs of training that are wanted, with the measurements that later commands took of their checkpoints.

    A measurement of a run that is not among them belongs to nothing, and is passed over.
    """
    everything = list(gans)
    later: dict[Path, list[Measurement]] = {}
    for run in everything:
        if run.summary.command in EVALUATIONS and run.evaluated:
            path = Path(run.evaluated)
            directory, checkpoint = (path, None) if path.is_dir() else (path.parent.parent, path.name)
            later.setdefault(directory.resolve(), []).extend(
                measurement.after_training(checkpoint)
                for measurement in run.measurements
                if measurement.protocol.of_samples
            )
    return [
        replace(run, measurements=(*run.measurements, *later.get(run.directory.resolve(), ())))
        for run in everything
        if run.summary.command == TRAINING and selection.includes(run.filing)
    ]


def read_discriminator(path: Path, objective: str | None, growing: bool = False) -> tuple[Measurement, ...]:
    """How the discriminator did in the validations of a metrics.csv, the last of each epoch.

    Args:
        path: The file.
        objective: What the discriminator learned, which says whether its accuracies mean something.
        growing: Whether the file may end in the middle of a line, which then does not count.

    Raises:
        ValueError: It is missing, torn or holds something other than numbers.
    """
    metrics = read_metrics(path, growing=growing, holding="val/accuracy_real")
    by_epoch = {}
    try:
        for cells in metrics.rows:
            row = dict(zip(metrics.columns, cells, strict=True))
            if row.get("val/accuracy_real"):
                epoch = int(float(row["epoch"])) + 1
                if not 0 < epoch < 2**63:
                    raise ValueError("not an epoch")
                by_epoch[epoch] = Measurement(DISCRIMINATOR, epoch, _of_discriminator(row, objective))
    except (ValueError, ArithmeticError, KeyError) as error:
        raise ValueError(f"{path.name} holds something other than numbers") from error
    return tuple(by_epoch[epoch] for epoch in sorted(by_epoch))


def read_measurements(directory: Path) -> tuple[Measurement, ...]:
    """The measurements of a run's samples, in the order in which they were taken; none where there is no file.

    Raises:
        ValueError: The file is damaged or of a format that this version does not know.
    """
    return tuple(part for entry in measures.read_measurements(directory) for part in _parts(entry))


def _is_written(path: Path) -> bool:
    return path.exists() and not (path.is_file() and path.stat().st_size == 0)


def _read(read: Callable[[], Part], otherwise: Part, damage: list[str]) -> Part:
    """A part of a run; where it cannot be read, a note says so."""
    try:
        return read()
    except ValueError as error:
        damage.append(str(error))
        return otherwise


def _evaluated(config: str) -> str | None:
    """What of a run was evaluated: its directory, or one of its checkpoints."""
    line = re.search(r"(?m)^ckpt_path:.*$", config)
    try:
        value = parse_yaml(line.group(), CONFIG)["ckpt_path"] if line else None
    except UnreadableError:
        return None
    return value if isinstance(value, str) else None


def _of_discriminator(row: Mapping[str, str], objective: str | None) -> dict[str, float]:
    accuracies = {name: float(row[f"val/{name}"]) for name in ("accuracy_real", "accuracy_fake")}
    if not all(0 <= accuracy <= 1 for accuracy in accuracies.values()):
        raise ValueError("not a fraction")
    others = {"distance_from_equilibrium": "val/distance_from_equilibrium", "accuracy_classes": "val/acc1"}
    figures = {name: float(cell) for name, column in others.items() if (cell := row.get(column))}
    decided = accuracies if objective in DECIDES_AT_ZERO else {}
    return decided | {name: value for name, value in figures.items() if is_measurable(value)}


def _parts(entry: measures.Measurement) -> list[Measurement]:
    """An entry as two measurements at most: in the features of a network, and of pixels, which depend on none."""
    features = entry.features
    space = None
    if features is not None:
        space = FeatureSpace(features.name, features.network, features.sha256 or features.network, features.acc1)
    suffix = "_train" if entry.real_split == "train" else ""
    protocol = Protocol(space, entry.split, entry.real_split, entry.real_images, entry.samples)
    parts = []
    names = {} if space is None else _names_in_features(space, suffix)
    if figures := _figures(entry.values, names):
        reference = _figures(entry.reference, names)
        parts.append(Measurement(protocol, entry.epoch + 1, figures, reference=reference))
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
