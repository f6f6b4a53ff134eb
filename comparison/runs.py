"""A run, wherever it was read from, with the reason if it cannot count; `sources` read them."""

import re
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from comparison.configuration import Filing
from comparison.measures import ACCURACY, Measurement, Protocol
from records.class_errors import ClassErrors, ConfidenceBin
from records.config import Published, published_figure
from records.curves import History
from records.files import UnreadableError
from records.layout import METRICS, SUMMARY
from records.record import printable, required
from records.summary import COMPLETED, RUNNING, Summary

LONGEST_PROBLEM = 200

RUN_DIRECTORY, WANDB_FILE, WANDB_SERVER, CSV_FILE = "run directory", "W&B file", "W&B server", "CSV file"
NOT_RECORDED = "not recorded"


@dataclass(frozen=True)
class DataSet:
    """The images that a run was trained on, and those that its accuracies were measured on.

    `verified` says whether they have the published checksums; None where there are none, or nobody compared them.
    """

    name: str
    train_images: int
    val_images: int
    selection_split: str
    verified: bool | None
    test_images: int | None = None


@dataclass(frozen=True)
class Run:
    """A classifier's or a GAN's run, as its source tells it.

    The architecture of a GAN is its pair of networks. It has `measurements` in the place of an accuracy, and counts as
    far as it came.

    Attributes:
        directory: The run's directory, or the file or address that it was read from if `source` is another one; then
            nothing lies below it.
        summary: What summary.json says, or the same from another source; None where it says nothing.
        data: What of it must be known of the data.
        problem: Why the run cannot count in statistics, in a few words; None for a run that counts.
        config: Text of config.yaml.
        configuration: What makes it this experiment, as `path: value`.
        history: Reads what the metrics come to, which takes long.
        url: The page of a run that was read from a W&B server.
        unread: Files of a GAN that are damaged and were left out.
        evaluated: The run or checkpoint that a command of its own measured.
        experiment: What runs that differ in nothing but the seed share; `label_gans` sets it, and `label`.
    """

    directory: Path
    summary: Summary
    data: DataSet
    architecture: str
    problem: str | None
    config: str
    configuration: Mapping[str, str]
    history: Callable[[], History] = field(compare=False, repr=False)
    source: str = RUN_DIRECTORY
    filing: Filing = field(default_factory=Filing)
    url: str | None = None
    measurements: tuple[Measurement, ...] = ()
    unread: tuple[str, ...] = ()
    evaluated: str | None = None
    experiment: str = ""
    label: str = ""

    @property
    def is_gan(self) -> bool:
        """Whether it is of a pair of networks."""
        return self.summary.model.is_gan

    @property
    def published(self) -> Published | None:
        """What the recipe was published with, if that is of this network and of these data."""
        figure = published_figure(self.config)
        fits = figure and (figure.architecture, figure.data) == (self.architecture, self.data.name)
        return figure if fits else None

    @property
    def objective(self) -> str | None:
        """What a GAN's networks play for."""
        objective = self.configuration.get("model.init_args.objective")
        return None if objective is None else printable(objective)

    @property
    def hardware(self) -> str:
        """One phrase for the accelerators, or for the processor where there are none."""
        machine = self.summary.hardware
        if machine is None:
            return NOT_RECORDED
        if machine.gpus:
            phrase = f"{machine.gpus} × {machine.gpu or 'GPU'}"
        else:
            phrase = machine.cpu or "unknown processor"
            phrase = f"{phrase}, {machine.cores} cores" if machine.cores else phrase
        return f"{phrase}, {machine.hosts} hosts" if (machine.hosts or 1) > 1 else phrase

    @property
    def commit(self) -> str | None:
        """The state of the project."""
        git = self.summary.git
        if git is None or git.commit is None:
            return None
        return f"{git.commit[:10]} with local changes" if git.dirty else git.commit[:10]

    def confidence_bins(self, split: str) -> Sequence[ConfidenceBin]:
        """How sure a classifier was of the images of a split, and how right; empty where nobody recorded it."""
        with suppress(UnreadableError):
            errors = ClassErrors.read_if_any(self.directory) if self.source == RUN_DIRECTORY else None
            return errors.calibration.get(split, ()) if errors else ()
        return ()

    def measured(self, protocol: Protocol) -> list[Measurement]:
        """The measurements by a protocol, in the order in which they were taken."""
        return [measurement for measurement in self.measurements if measurement.protocol == protocol]

    def last(self, protocol: Protocol) -> Measurement | None:
        """The last measurement by a protocol."""
        return next(iter(self.measured(protocol)[-1:]), None)


@dataclass(frozen=True)
class UnreadableRun:
    """A run of which not even the model and the data are known."""

    directory: Path
    problem: str


def protocols(runs: Iterable[Run]) -> list[Protocol]:
    """All protocols by which samples of any run were measured: those of most runs first, features before pixels."""
    found = [{m.protocol for m in run.measurements if m.protocol.of_samples} for run in runs]
    every: set[Protocol] = set().union(*found)
    return sorted(every, key=lambda p: (p.space is None, -sum(p in of_run for of_run in found), str(p)))


def make_run(
    directory: Path,
    summary: Summary,
    *,
    validated: bool,
    history: Callable[[], History] = History,
    name: str = SUMMARY,
    metrics: str = METRICS,
    config: str = "",
    configuration: Mapping[str, str] | None = None,
    damage: str | None = None,
) -> Run:
    """Put a run together from what a source knows of it; what else there is to know, the source adds.

    Args:
        directory: Where the run lies.
        summary: What summary.json says, or the same from another source.
        validated: Whether an accuracy was logged.
        history: What reads the metrics.
        name: What to call the source of the summary.
        metrics: What to call the source of the metrics.
        config: Text of its config.
        configuration: The config without what is not part of the experiment.
        damage: What of the run could not be read, so that it cannot count.

    Raises:
        ValueError: If it is no run that could be compared.
    """
    about = summary.data
    data = DataSet(
        name=required(about.name, "data.name", name),
        train_images=required(about.train_images, "data.train_images", name),
        val_images=summary.images_of("val", required(about.val_images, "data.val_images", name)) or 0,
        selection_split=required(about.selection_split, "data.selection_split", name),
        verified=about.verified,
        test_images=summary.images_of("test", about.test_images),
    )
    architecture = required(summary.model.architecture, "model.architecture", name)
    problem = _unfinished(required(summary.status, "status", name), summary.error) or damage
    configuration = configuration or {}
    if summary.model.is_gan:
        networks = configuration.get("model.init_args.networks") or re.sub(r"^GAN \((.*)\)$", r"\1", architecture)
        architecture = printable(networks)
    elif problem is None and not validated:
        problem = f"{metrics} holds no {ACCURACY.name}"
    elif problem is None and (summary.best_accuracy is None or data.val_images < 1):
        problem = f"{name} has no best {ACCURACY.name} between 0 and 1 on at least one image"
    # The images count too: a config may be satisfied by two versions of a data set.
    images = {"train_images": data.train_images, "val_images": data.val_images, "selection_split": data.selection_split}
    configuration = {**configuration, **{f"data.{key}": str(value) for key, value in images.items()}}
    return Run(directory, summary, data, architecture, problem, config, configuration, history)


def results_of(history: History) -> dict[str, Any]:
    """What a summary says of a run's results, where only its learning curve tells them."""
    best, last = history.best, history.last_accuracy
    return {
        "epochs": history.curve[-1].epoch if history.curve else None,
        "best": {ACCURACY.name: {"value": best.accuracy, "epoch": best.epoch_index}} if best else {},
        "metrics": {ACCURACY.name: last} if best else {},
    }


def _unfinished(status: str, error: str | None) -> str | None:
    if status == COMPLETED:
        return None
    if status == RUNNING:
        return "still running, or killed before it could say so"
    return textwrap.shorten(f"{status}: {error}", LONGEST_PROBLEM, placeholder=" …") if error else status
