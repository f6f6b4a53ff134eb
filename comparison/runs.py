"""A run, wherever it was read from, with the reason if it cannot count; `sources` read them."""

import re
import textwrap
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from comparison.configuration import Filing
from comparison.curves import CurvePoint
from comparison.measures import Measurement, Protocol
from comparison.summary import Summary, printable

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


def is_gan(summary: Summary) -> bool:
    """Whether a run is one of a GAN."""
    return (summary.text("model", "class") or "").endswith(".GAN")


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
    history: str = "metrics.csv",
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
    data = DataSet(
        name=summary.required_text("data", "name"),
        train_images=summary.required_whole("data", "train_images"),
        val_images=summary.required_whole("data", "val_images"),
        selection_split=summary.required_text("data", "selection_split"),
        verified=summary.flag("data", "verified") is not False,
    )
    architecture = summary.required_text("model", "architecture")
    configuration, filing = configuration or {}, filing or Filing()
    gan = is_gan(summary)
    if gan:
        networks = configuration.get("model.init_args.networks") or re.sub(r"^GAN \((.*)\)$", r"\1", architecture)
        architecture = printable(networks)
    best_accuracy = summary.fraction("best", "val/acc1", "value")
    best_epoch = summary.whole("best", "val/acc1", "epoch")
    problem = _unfinished(summary) or damage
    if not gan and problem is None and not any(point.accuracy is not None for point in curve):
        problem = f"{history} holds no val/acc1"
    if not gan and problem is None and (best_accuracy is None or data.val_images < 1):
        problem = f"{summary.name} has no best val/acc1 between 0 and 1 on at least one image"
    return Run(
        directory=directory,
        status=summary.required_text("status"),
        problem=problem,
        architecture=architecture,
        parameters={kind: summary.whole("model", "parameters", kind) for kind in ("conv", "fc", "total")},
        multiply_adds=summary.whole("model", "multiply_adds"),
        depth=summary.whole("model", "depth"),
        data=data,
        seed=summary.whole("seed"),
        epochs=summary.whole("epochs"),
        global_batch_size=summary.whole("global_batch_size"),
        precision=summary.text("precision"),
        best_accuracy=best_accuracy,
        best_epoch=None if best_epoch is None else best_epoch + 1,
        last_accuracy=summary.fraction("metrics", "val/acc1"),
        images_per_second=summary.positive("images_per_second"),
        wall_time_seconds=summary.positive("wall_time_seconds"),
        started=summary.text("started"),
        hardware=_hardware(summary),
        versions=summary.texts("versions"),
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
        wandb_id=summary.text("wandb_id"),
        url=url,
        is_gan=gan,
        command=summary.text("command") or "fit",
        discriminator_parameters=summary.whole("model", "discriminator_parameters", "total"),
        measurements=measurements,
        unread=unread,
        evaluated=evaluated,
    )


def _unfinished(summary: Summary) -> str | None:
    status, error = summary.required_text("status"), summary.text("error")
    if status == "completed":
        return None
    if status == "running":
        return "still running, or killed before it could say so"
    return textwrap.shorten(f"{status}: {error}", LONGEST_PROBLEM, placeholder=" …") if error else status


def _hardware(summary: Summary) -> str:
    """One phrase for the accelerators, or for the processor where there are none."""
    gpus, cores = summary.whole("hardware", "gpus"), summary.whole("hardware", "cores")
    if not summary.has("hardware"):
        return NOT_RECORDED
    if gpus:
        phrase = f"{gpus} × {summary.text('hardware', 'gpu') or 'GPU'}"
    else:
        phrase = summary.text("hardware", "cpu") or "unknown processor"
        phrase = f"{phrase}, {cores} cores" if cores else phrase
    hosts = summary.whole("hardware", "hosts") or 1
    return f"{phrase}, {hosts} hosts" if hosts > 1 else phrase


def _commit(summary: Summary) -> str | None:
    commit = summary.text("git", "commit")
    if commit is None:
        return None
    return f"{commit[:10]} with local changes" if summary.flag("git", "dirty") else commit[:10]
