"""Run directories: summary.json, config.yaml, metrics.csv and measures.json, each of which may be damaged."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import yaml

from comparison.configuration import Filing, Selection, parse_configuration, wandb_filing
from comparison.curves import read_curve
from comparison.measures import Measurement
from comparison.runs import Run, make_run
from comparison.sources.gan_files import read_discriminator, read_measurements
from records.files import LARGEST_YAML, read_text
from records.layout import CONFIG, METRICS
from records.summary import RUNNING, Summary

TRAINING = "fit"
EVALUATIONS = ("validate", "test")
Part = TypeVar("Part")


def read_run_directory(directory: Path, selection: Selection) -> Run | None:
    """Read one run.

    Returns:
        None if it is not wanted, or not of training; of a GAN also what measured one later, wanted or not.

    Raises:
        ValueError: If not even its model and data are known.
    """
    summary = Summary.read(directory)
    gan = summary.model.is_gan
    if summary.command != TRAINING and not (gan and summary.command in EVALUATIONS):
        return None
    damage: list[str] = []
    config, configuration, filing = _config(directory / CONFIG, summary, damage)
    if gan:
        objective = configuration.get("model.init_args.objective")
        growing = summary.status == RUNNING
        told = _read(lambda: read_discriminator(directory / METRICS, objective, growing), damage)
        sampled = _read(lambda: read_measurements(directory), damage)
        return make_run(
            directory,
            summary,
            config=config,
            configuration=configuration,
            filing=filing,
            measurements=(*told, *sampled),
            unread=tuple(damage),
            evaluated=_evaluated(config),
        )
    if not selection.includes(filing):
        return None
    curve = _read(lambda: read_curve(directory / METRICS), damage)
    return make_run(
        directory,
        summary,
        curve,
        config=config,
        configuration=configuration,
        damage=damage[-1] if damage else None,
        filing=filing,
    )


def join_evaluations(gans: Iterable[Run], selection: Selection) -> list[Run]:
    """The runs of training that are wanted, with the measurements that later commands took of their checkpoints.

    A measurement of a run that is not among them belongs to nothing, and is passed over.
    """
    everything = list(gans)
    later: dict[Path, list[Measurement]] = {}
    for run in everything:
        if run.command in EVALUATIONS and run.evaluated:
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
        if run.command == TRAINING and selection.includes(Filing(run.group, run.tags))
    ]


def _config(path: Path, summary: Summary, damage: list[str]) -> tuple[str, Mapping[str, str], Filing]:
    """Text, content, and group and tags of config.yaml."""
    names = summary.data.name, summary.model.architecture
    text, run_name = "", path.parent.name
    try:
        text = read_text(path, LARGEST_YAML)
        return text, parse_configuration(text, run_name), wandb_filing(text, run_name, *names)
    except ValueError as error:
        damage.append(str(error))
        return text, {}, Filing(names[0], tuple(name for name in names if name))


def _read(read: Callable[[], tuple[Part, ...]], damage: list[str]) -> tuple[Part, ...]:
    """A part of a run, or an empty one with a note."""
    try:
        return read()
    except ValueError as error:
        damage.append(str(error))
        return ()


def _evaluated(config: str) -> str | None:
    """What of a run was evaluated: its directory, or one of its checkpoints."""
    line = re.search(r"(?m)^ckpt_path:.*$", config)
    try:
        value = yaml.safe_load(line.group())["ckpt_path"] if line else None
    except yaml.YAMLError:
        return None
    return value if isinstance(value, str) else None
