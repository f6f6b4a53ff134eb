"""What the paths of a command line lead to: run directories, W&B files, projects on a server."""

import glob
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from records import layout

RUN_FILES = frozenset({layout.SUMMARY, layout.CONFIG, layout.METRICS})
FOLDERS_WITHOUT_RUNS = frozenset({layout.CHECKPOINTS})
WANDB_SUFFIX = ".wandb"
PROJECT_PREFIX = "wandb://"


@dataclass
class RunPaths:
    """Where runs lie, each once, in the order of their names within each path."""

    directories: list[Path] = field(default_factory=list)
    wandb_files: list[Path] = field(default_factory=list)
    projects: list[str] = field(default_factory=list)


def find_run_paths(paths: Iterable[Path | str]) -> RunPaths:
    """Find all runs at or below the paths.

    A W&B file that lies in a run directory is part of that run, and counts only if the directory has lost its summary.

    Args:
        paths: Files, folders, patterns such as `runs/*/resnet*`, and `wandb://ENTITY/PROJECT`.

    Raises:
        ValueError: If there is nothing at a path.
    """
    found = RunPaths()
    seen: set[Path] = set()
    for path in _expand(paths, found.projects):
        if path.suffix == WANDB_SUFFIX and path.is_file():
            _add(path, found.wandb_files, seen)
        for folder, subfolders, files in os.walk(path):
            directory = Path(folder)
            if layout.SUMMARY in files:
                subfolders.clear()
            else:
                subfolders[:] = sorted(set(subfolders) - FOLDERS_WITHOUT_RUNS)
            if RUN_FILES.intersection(files) and not ("wandb" in subfolders and _wandb_files_of(directory)):
                _add(directory, found.directories, seen)
                subfolders[:] = [name for name in subfolders if name != "wandb"]
            for name in sorted(files):
                if name.endswith(WANDB_SUFFIX) and (directory / name).is_file():  # and not a pipe
                    _add(directory / name, found.wandb_files, seen)
    # Compared with the resolved paths, because the same folder may be named in several ways.
    directories = {directory.resolve() for directory in found.directories}
    found.wandb_files = [file for file in found.wandb_files if directories.isdisjoint(file.resolve().parents)]
    return found


def _expand(paths: Iterable[Path | str], projects: list[str]) -> list[Path]:
    """The paths, with patterns that no shell expanded; projects are set aside."""
    expanded: list[Path] = []
    missing = []
    for name in map(str, paths):
        if name.startswith(PROJECT_PREFIX):
            if name not in projects:
                projects.append(name)
        elif os.path.exists(name):
            expanded.append(Path(name))
        elif matches := sorted(glob.glob(name, recursive=True)):
            expanded += map(Path, matches)
        else:
            missing.append(Path(name).as_posix())
    if missing:
        raise ValueError(
            f"{', '.join(missing)} does not exist: train something first, for example with `make quickstart`."
        )
    return expanded


def _wandb_files_of(directory: Path) -> list[Path]:
    return list(directory.glob(f"wandb/*run-*/run-*{WANDB_SUFFIX}"))


def _add(path: Path, paths: list[Path], seen: set[Path]) -> None:
    if (resolved := path.resolve()) not in seen:
        seen.add(resolved)
        paths.append(path)
