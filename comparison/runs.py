"""Runs as they lie on disk: finding run directories and reading each into one record, damaged ones included."""

import os
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from comparison.configuration import parse_configuration
from comparison.curves import CurvePoint, read_curve
from comparison.summary import Summary

RUN_FILES = frozenset({"summary.json", "config.yaml", "metrics.csv"})
LONGEST_PROBLEM = 200
FOLDERS_WITHOUT_RUNS = frozenset({"checkpoints", "wandb"})


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
    """One `fit`, as its directory tells it; None where it does not.

    `config` is the text of config.yaml and `configuration` what makes it this experiment, as `path: value`.
    `problem` says in a few words why the run cannot count in statistics; it is None for a run that counts.
    Accuracies are fractions, times seconds, epochs counted from 1.
    """

    directory: Path
    status: str
    problem: str | None
    architecture: str
    parameters: dict[str, int]
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


@dataclass(frozen=True)
class UnreadableRun:
    """A run directory of which not even the model and the data are known."""

    directory: Path
    problem: str


def find_run_directories(paths: Iterable[Path]) -> Iterator[Path]:
    """Every run directory at or below the paths, each once, in the order of their names."""
    seen: set[Path] = set()
    for path in paths:
        for folder, subfolders, files in os.walk(path):
            directory = Path(folder)
            if "summary.json" in files:
                subfolders.clear()
            else:
                subfolders[:] = sorted(set(subfolders) - FOLDERS_WITHOUT_RUNS)
            if RUN_FILES.intersection(files) and directory.resolve() not in seen:
                seen.add(directory.resolve())
                yield directory


def read_runs(paths: Iterable[Path]) -> tuple[list[Run], list[UnreadableRun]]:
    """Read all runs of training at or below the paths; validate, test and predict are passed over.

    A damaged run is never fatal: it is returned with its `problem`, as an `UnreadableRun` if need be.
    """
    runs: list[Run] = []
    unreadable: list[UnreadableRun] = []
    for directory in find_run_directories(paths):
        try:
            summary = Summary.read(directory / "summary.json")
            if summary.text("command") == "fit":
                runs.append(_run(directory, summary))
        except ValueError as error:
            unreadable.append(UnreadableRun(directory, str(error)))
    return runs, unreadable


def _run(directory: Path, summary: Summary) -> Run:
    if (summary.text("model", "class") or "").endswith(".GAN"):
        raise ValueError("a GAN, which has no accuracy to compare: see its pictures and measures.json")
    data = DataSet(
        name=summary.required_text("data", "name"),
        train_images=summary.required_whole("data", "train_images"),
        val_images=summary.required_whole("data", "val_images"),
        selection_split=summary.required_text("data", "selection_split"),
        verified=summary.flag("data", "verified") is not False,
    )
    best_accuracy = summary.fraction("best", "val/acc1", "value")
    best_epoch = summary.whole("best", "val/acc1", "epoch")
    curve, curve_damage = _curve_or_damage(directory / "metrics.csv")
    config, configuration, config_damage = _config_or_damage(directory / "config.yaml")
    problem = _unfinished(summary) or curve_damage or config_damage
    if problem is None and not any(point.accuracy is not None for point in curve):
        problem = "metrics.csv holds no val/acc1"
    if problem is None and (best_accuracy is None or data.val_images < 1):
        problem = "summary.json has no best val/acc1 between 0 and 1 on at least one image"
    return Run(
        directory=directory,
        status=summary.required_text("status"),
        problem=problem,
        architecture=summary.required_text("model", "architecture"),
        parameters={kind: summary.required_whole("model", "parameters", kind) for kind in ("conv", "fc", "total")},
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
    )


def _unfinished(summary: Summary) -> str | None:
    status, error = summary.required_text("status"), summary.text("error")
    if status == "completed":
        return None
    if status == "running":
        return "still running, or killed before it could say so"
    return textwrap.shorten(f"{status}: {error}", LONGEST_PROBLEM, placeholder=" …") if error else status


def _curve_or_damage(path: Path) -> tuple[tuple[CurvePoint, ...], str | None]:
    try:
        return read_curve(path), None
    except ValueError as error:
        return (), str(error)


def _config_or_damage(path: Path) -> tuple[str, Mapping[str, str], str | None]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return "", {}, f"{path.name} cannot be read"
    try:
        return text, parse_configuration(text, path.parent.name), None
    except ValueError as error:
        return text, {}, str(error)


def _hardware(summary: Summary) -> str:
    """One phrase for the accelerators, or for the processor where there are none."""
    gpus, cores = summary.whole("hardware", "gpus"), summary.whole("hardware", "cores")
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
