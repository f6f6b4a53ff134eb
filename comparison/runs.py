"""A run, wherever it was read from, with the reason if it cannot count; `sources` read them."""

import re
import textwrap
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from comparison.configuration import Filing
from comparison.curves import CurvePoint
from comparison.measures import ACCURACY, Measurement, Protocol
from records.layout import METRICS, SUMMARY
from records.record import printable, required
from records.summary import COMPLETED, RUNNING, Summary

LONGEST_PROBLEM = 200

RUN_DIRECTORY, WANDB_FILE, WANDB_SERVER, CSV_FILE = "run directory", "W&B file", "W&B server", "CSV file"
NOT_RECORDED = "not recorded"


@dataclass(frozen=True)
class DataSet:
    """The images that a run was trained and validated on."""

    name: str
    train_images: int
    val_images: int
    selection_split: str
    verified: bool


@dataclass(frozen=True)
class Run:
    """A classifier's or a GAN's run, as its source tells it; None where it does not.

    `directory` is the run's directory, or the file or address that it was read from if `source` is another one; then
    nothing lies below it. `url` is the page of a run that was read from a W&B server.
    `config` is the text of config.yaml and `configuration` what makes it this experiment, as `path: value`.
    `problem` says in a few words why the run cannot count in statistics; it is None for a run that counts.
    Accuracies are fractions, times seconds, epochs counted from 1.

    The architecture of a GAN is its pair of networks, `parameters` are its generator's. It has `measurements` in the
    place of an accuracy, counts as far as it came, and `unread` names files that are damaged and were left out.
    `evaluated` is the run or checkpoint that a command of its own measured. `label_gans` sets `experiment`, which runs
    that differ in nothing but the seed share, and `label`.
    """

    directory: Path
    status: str
    problem: str | None
    architecture: str
    parameters: dict[str, int | None]
    multiply_adds: int | None
    depth: int | None
    data: DataSet
    seed: int | None
    epochs: int | None
    global_batch_size: int | None
    precision: str | None
    best_accuracy: float | None
    best_epoch: int | None
    last_accuracy: float | None
    images_per_second: float | None
    wall_time_seconds: float | None
    started: str | None
    hardware: str
    versions: dict[str, str]
    commit: str | None
    config: str
    configuration: Mapping[str, str]
    curve: tuple[CurvePoint, ...]
    source: str = RUN_DIRECTORY
    group: str | None = None
    tags: tuple[str, ...] = ()
    wandb_id: str | None = None
    url: str | None = None
    is_gan: bool = False
    command: str = "fit"
    discriminator_parameters: int | None = None
    measurements: tuple[Measurement, ...] = ()
    unread: tuple[str, ...] = ()
    evaluated: str | None = None
    experiment: str = ""
    label: str = ""

    @property
    def objective(self) -> str | None:
        """What a GAN's networks play for."""
        objective = self.configuration.get("model.init_args.objective")
        return None if objective is None else printable(objective)

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
    curve: tuple[CurvePoint, ...] = (),
    *,
    name: str = SUMMARY,
    history: str = METRICS,
    config: str = "",
    configuration: Mapping[str, str] | None = None,
    damage: str | None = None,
    source: str = RUN_DIRECTORY,
    filing: Filing | None = None,
    url: str | None = None,
    measurements: tuple[Measurement, ...] = (),
    unread: tuple[str, ...] = (),
    evaluated: str | None = None,
) -> Run:
    """Put a run together from what a source knows of it.

    Args:
        directory: Where the run lies.
        summary: What summary.json says, or the same from another source.
        curve: Its learning curve.
        name: What to call the source of the summary.
        history: What to call the source of the curve.
        config: Text of its config.
        configuration: The config without what is not part of the experiment.
        damage: What of the run could not be read, so that it cannot count.
        source: Kind of the source.
        filing: Group and tags of the run.
        url: Address of the run's page.
        measurements: Those of a GAN.
        unread: Files that could not be read, without which the run counts all the same.
        evaluated: Run or checkpoint that was measured, if this run is of such a command.

    Raises:
        ValueError: If it is no run that could be compared.
    """
    known, model = summary.data, summary.model
    data = DataSet(
        name=required(known.name, "data.name", name),
        train_images=required(known.train_images, "data.train_images", name),
        val_images=required(known.val_images, "data.val_images", name),
        selection_split=required(known.selection_split, "data.selection_split", name),
        verified=known.verified is not False,
    )
    architecture = required(model.architecture, "model.architecture", name)
    status = required(summary.status, "status", name)
    configuration, filing = configuration or {}, filing or Filing()
    if model.is_gan:
        networks = configuration.get("model.init_args.networks") or re.sub(r"^GAN \((.*)\)$", r"\1", architecture)
        architecture = printable(networks)
    best_epoch = summary.best_of(ACCURACY.name).epoch
    problem = _unfinished(status, summary.error) or damage
    if problem is None and not model.is_gan:
        if not any(point.accuracy is not None for point in curve):
            problem = f"{history} holds no {ACCURACY.name}"
        elif summary.best_accuracy is None or data.val_images < 1:
            problem = f"{name} has no best {ACCURACY.name} between 0 and 1 on at least one image"
    return Run(
        directory=directory,
        status=status,
        problem=problem,
        architecture=architecture,
        parameters={kind: getattr(model.parameters, kind) for kind in ("conv", "fc", "total")},
        multiply_adds=model.multiply_adds,
        depth=model.depth,
        data=data,
        seed=summary.seed,
        epochs=summary.epochs,
        global_batch_size=summary.global_batch_size,
        precision=summary.precision,
        best_accuracy=summary.best_accuracy,
        best_epoch=None if best_epoch is None else best_epoch + 1,
        last_accuracy=summary.last_accuracy,
        images_per_second=summary.images_per_second,
        wall_time_seconds=summary.wall_time_seconds,
        started=summary.started,
        hardware=_hardware(summary),
        versions=summary.versions,
        commit=_commit(summary),
        config=config,
        # The images count too: a config may be satisfied by two versions of a data set.
        configuration={
            **configuration,
            "data.train_images": str(data.train_images),
            "data.val_images": str(data.val_images),
            "data.selection_split": data.selection_split,
        },
        curve=curve,
        source=source,
        group=filing.group,
        tags=filing.tags,
        wandb_id=summary.wandb_id,
        url=url,
        is_gan=model.is_gan,
        command=summary.command or "fit",
        discriminator_parameters=model.discriminator_parameters.total,
        measurements=measurements,
        unread=unread,
        evaluated=evaluated,
    )


def _unfinished(status: str, error: str | None) -> str | None:
    if status == COMPLETED:
        return None
    if status == RUNNING:
        return "still running, or killed before it could say so"
    return textwrap.shorten(f"{status}: {error}", LONGEST_PROBLEM, placeholder=" …") if error else status


def _hardware(summary: Summary) -> str:
    """One phrase for the accelerators, or for the processor where there are none."""
    machine = summary.hardware
    if machine is None:
        return NOT_RECORDED
    if machine.gpus:
        phrase = f"{machine.gpus} × {machine.gpu or 'GPU'}"
    else:
        phrase = machine.cpu or "unknown processor"
        phrase = f"{phrase}, {machine.cores} cores" if machine.cores else phrase
    return f"{phrase}, {machine.hosts} hosts" if (machine.hosts or 1) > 1 else phrase


def _commit(summary: Summary) -> str | None:
    if summary.git is None or summary.git.commit is None:
        return None
    commit = summary.git.commit[:10]
    return f"{commit} with local changes" if summary.git.dirty else commit
