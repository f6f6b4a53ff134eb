"""A GAN's run as one record, read with distrust: any of its files may be torn, missing or still growing."""

import csv
import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import yaml

from comparison.configuration import Labels, parse_configuration, wandb_labels
from comparison.generators.measurements import Measurement, read_measurements
from comparison.runs import DataSet
from comparison.summary import Summary, printable

TRAINING = "fit"
EVALUATIONS = ("validate", "test")
COMPLETED = "completed"
Part = TypeVar("Part")
# Whose discriminators take an image for real where their logit is above 0, as `val/accuracy_…` counts it: a critic of
# the Wasserstein distance has no such point, and that of least squares lies at 1/2.
DECIDES_AT_ZERO = frozenset({"minimax", "non_saturating", "hinge"})


@dataclass(frozen=True)
class Guesses:
    """How the discriminator did on validation images after an epoch, counted from 1.

    `real` and `fake` are the parts that it was right on, `classes` the part of the real ones whose class it told, if it
    is semi-supervised; `distance` is that of the game from its equilibrium.
    """

    epoch: int
    real: float
    fake: float
    distance: float | None
    classes: float | None

    @property
    def mean(self) -> float:
        """Part of the images, half of them fake, that it was right on; 0.5 is a guess."""
        return (self.real + self.fake) / 2


@dataclass(frozen=True)
class GeneratorRun:
    """A run of a GAN; None where it does not say.

    `state` is empty for a run that ended well, else a few words on how it stands. `unread` names files that are damaged
    and were left out. `filed_under` are its group and tags. `label_runs` sets `experiment`, which runs that differ in
    nothing but the seed share, and `label`.
    """

    directory: Path
    command: str
    state: str
    networks: str
    objective: str | None
    data: DataSet
    seed: int | None
    epochs: int | None
    generator_parameters: int | None
    discriminator_parameters: int | None
    images_per_second: float | None
    wall_time_seconds: float | None
    hardware: str | None
    configuration: Mapping[str, str]
    evaluated: str | None
    guesses: tuple[Guesses, ...]
    measurements: tuple[Measurement, ...]
    unread: tuple[str, ...]
    filed_under: Labels
    experiment: str = ""
    label: str = ""

    @property
    def decides_at_zero(self) -> bool:
        """Whether the accuracies of its discriminator mean something."""
        return self.objective in DECIDES_AT_ZERO


def is_generator(summary: Summary) -> bool:
    """Whether a run is one of a GAN."""
    return (summary.text("model", "class") or "").endswith(".GAN")


def read_generator(directory: Path, summary: Summary) -> GeneratorRun:
    """Read a GAN's run, of whichever command.

    Args:
        directory: Where it lies.
        summary: Its summary.json.

    Raises:
        ValueError: If not even its data set is known.
    """
    unread: list[str] = []
    names = summary.required_text("data", "name"), summary.required_text("model", "architecture")
    text = _read_or_note(lambda: _text(directory / "config.yaml"), "", unread)
    labels = Labels(names[0], names)
    configuration: Mapping[str, str] = {}
    if text:
        configuration = _read_or_note(lambda: parse_configuration(text, directory.name), configuration, unread)
    if configuration:
        labels = wandb_labels(text, directory.name, *names)
    growing = summary.text("status") == "running"
    guesses: tuple[Guesses, ...] = ()
    guesses = _read_or_note(lambda: read_guesses(directory / "metrics.csv", growing), guesses, unread)
    measurements: tuple[Measurement, ...] = ()
    measurements = _read_or_note(lambda: read_measurements(directory), measurements, unread)
    networks = configuration.get("model.init_args.networks") or re.sub(r"^GAN \((.*)\)$", r"\1", names[1])
    objective = configuration.get("model.init_args.objective")
    return GeneratorRun(
        directory=directory,
        command=summary.required_text("command"),
        state=_state(summary),
        networks=printable(networks),
        objective=None if objective is None else printable(objective),
        data=DataSet(
            name=names[0],
            train_images=summary.required_whole("data", "train_images"),
            val_images=summary.required_whole("data", "val_images"),
            selection_split=summary.required_text("data", "selection_split"),
            verified=summary.flag("data", "verified") is not False,
        ),
        seed=summary.whole("seed"),
        epochs=summary.whole("epochs"),
        generator_parameters=summary.whole("model", "parameters", "total"),
        discriminator_parameters=summary.whole("model", "discriminator_parameters", "total"),
        images_per_second=summary.positive("images_per_second"),
        wall_time_seconds=summary.positive("wall_time_seconds"),
        hardware=summary.text("hardware", "gpu") or summary.text("hardware", "cpu"),
        configuration=configuration,
        evaluated=_evaluated(text),
        guesses=guesses,
        measurements=measurements,
        unread=tuple(unread),
        filed_under=labels,
    )


def join_evaluations(runs: Iterable[GeneratorRun]) -> list[GeneratorRun]:
    """The runs of training, with the measurements that later commands took of their checkpoints.

    A measurement of a run that is not among them belongs to nothing, and is passed over.
    """
    everything = list(runs)
    trained = [run for run in everything if run.command == TRAINING]
    later: dict[Path, list[Measurement]] = {}
    for run in everything:
        if run.command in EVALUATIONS and run.evaluated:
            path = Path(run.evaluated)
            directory, checkpoint = (path, None) if path.is_dir() else (path.parent.parent, path.name)
            later.setdefault(directory.resolve(), []).extend(
                measurement.after_training(checkpoint) for measurement in run.measurements
            )
    return [replace(run, measurements=(*run.measurements, *later.get(run.directory.resolve(), ()))) for run in trained]


def read_guesses(path: Path, growing: bool = False) -> tuple[Guesses, ...]:
    """The validations in a metrics.csv, the last of each epoch.

    Args:
        path: The file.
        growing: Whether it may end in the middle of a line, which then does not count.

    Raises:
        ValueError: It is missing, torn or holds something else than numbers.
    """
    lines = _text(path).splitlines(keepends=True)
    if lines and not lines[-1].endswith("\n"):
        if not growing:
            raise ValueError(f"{path.name} ends in the middle of a line")
        lines.pop()
    by_epoch = {}
    try:
        for row in csv.DictReader(lines):
            if row.get("val/accuracy_real"):
                epoch = int(float(row["epoch"])) + 1
                real, fake = float(row["val/accuracy_real"]), float(row["val/accuracy_fake"])
                if not 0 <= real <= 1 or not 0 <= fake <= 1:
                    raise ValueError("not a fraction")
                distance, classes = (_finite(row.get(f"val/{n}")) for n in ("distance_from_equilibrium", "acc1"))
                by_epoch[epoch] = Guesses(epoch, real, fake, distance, classes)
    except (csv.Error, ValueError, ArithmeticError, TypeError, KeyError) as error:
        raise ValueError(f"{path.name} holds something else than numbers") from error
    return tuple(by_epoch[epoch] for epoch in sorted(by_epoch))


def _finite(cell: str | None) -> float | None:
    value = float(cell) if cell else math.nan
    return value if math.isfinite(value) else None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{path.name} cannot be read") from error


def _read_or_note(read: Callable[[], Part], empty: Part, unread: list[str]) -> Part:
    """A part of a run, or an empty one with a note: what else there is of the run counts all the same."""
    try:
        return read()
    except ValueError as error:
        unread.append(str(error))
        return empty


def _evaluated(config: str) -> str | None:
    """What of a run was evaluated: its directory, or one of its checkpoints."""
    line = re.search(r"(?m)^ckpt_path:.*$", config)
    try:
        value = yaml.safe_load(line.group())["ckpt_path"] if line else None
    except yaml.YAMLError:
        return None
    return value if isinstance(value, str) else None


def _state(summary: Summary) -> str:
    status, error = summary.required_text("status"), summary.text("error")
    if status == COMPLETED:
        return ""
    if status == "running":
        return "still running, or killed"
    return f"{status}: {error[:120]}" if error else status
