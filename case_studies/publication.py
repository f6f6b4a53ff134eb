"""What a verdict rests on, to be committed: the verdict itself and, of each run, its summary and its metrics.

`--runs FOLDER/runs` lets every command judge the committed runs again.
"""

import json
import math
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from case_studies.report import record_of, validation_errors
from case_studies.results import Result
from case_studies.runs import PlannedRun, Registration
from records.files import write_json
from records.layout import METRICS
from records.summary import Summary

COMMITTED_RUNS = "runs"
DEFAULT_SCALE = "laptop"
DATA = ("name", "verified", "train_images", "val_images", "test_images")


def path_of(study: str, scale: str, folder: Path) -> Path:
    """The file of a verdict; of the usual scale, the study's name says enough."""
    return folder / (f"{study}.json" if scale == DEFAULT_SCALE else f"{study}.{scale}.json")


def save(result: Result, runs: Sequence[PlannedRun], tuning: Mapping[PlannedRun, float], folder: Path) -> Path:
    """Write a verdict, and copy what it rests on.

    Args:
        result: The verdict.
        runs: As `planned` lists them; those that are not done are left out.
        tuning: The runs that found the rates, of which the errors are kept.
        folder: `NAME.json` is written there, and runs below `runs`.

    Returns:
        The file of the verdict.
    """
    done = [run for run in runs if run.is_done]
    for run in done:
        copy = folder / COMMITTED_RUNS / run.directory.name
        copy.mkdir(parents=True, exist_ok=True)
        for name in (Summary.FILE, METRICS):
            shutil.copyfile(run.directory / name, copy / name)
        if run.registration is not None:
            shutil.copyfile(run.beside(Registration.FILE), copy.with_name(copy.name + Registration.FILE))
    path = path_of(result.study.name, result.scale, folder)
    write_json(path, {**record_of(result), **_circumstances(done), "tuning": _tuning(tuning)})
    return path


def _circumstances(runs: Sequence[PlannedRun]) -> dict[str, Any]:
    """On which machines and data, with which versions and from which commits the runs were trained: each once."""
    known = [summary.plain() for run in runs if (summary := run.summary) is not None]
    return {
        "seeds": sorted({run.seed for run in runs}),
        **{name: _distinct(summary.get(name) for summary in known) for name in ("hardware", "precision", "versions")},
        "data": _distinct({name: summary.get("data", {}).get(name) for name in DATA} for summary in known),
        "commits": _distinct(summary.get("git") for summary in known),
    }


def _distinct(values: Any) -> list[Any]:
    return list({json.dumps(value, sort_keys=True): value for value in values}.values())


def _tuning(runs: Mapping[PlannedRun, float]) -> dict[str, dict[str, float | None]]:
    """The validation error of each arm at each rate; None where a run is missing."""
    return {
        arm: {f"{rate:g}": error if math.isfinite(error) else None for rate, error in of_rates.items()}
        for arm, of_rates in validation_errors(runs).items()
    }
