"""What the config of a GAN's run says."""

from pathlib import Path
from typing import Any

import yaml

import datamodules
from experiment.resume import CONFIG


def config_of(run: Path) -> dict[str, Any]:
    """The config of a run, given by its directory or by a checkpoint in it.

    Raises:
        ValueError: There is none, or it names no GAN, or no data of this project.
    """
    if not run.exists():
        raise ValueError(f"There is no run {run}: give the directory of a GAN's run, or a checkpoint in one.")
    file = directory_of(run) / CONFIG
    try:
        config = yaml.safe_load(file.read_text())
        model, data = (class_name(config[part]) for part in ("model", "data"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError, KeyError, TypeError, AttributeError):
        raise ValueError(
            f"There is no {file} that names a GAN and its data: give the directory of a GAN's run, or a checkpoint in "
            "one."
        ) from None
    if model != "GAN":
        raise ValueError(f"{run} holds {model}, which makes no images: give the run of a GAN.")
    if data not in datamodules.__all__:
        raise ValueError(f"{file} names data {data}, which this project does not have: give another run.")
    return config


def class_name(part: dict[str, Any]) -> str:
    """The class that a part of a config names, without its module."""
    return str(part["class_path"]).rpartition(".")[2]


def arguments_of(part: dict[str, Any]) -> dict[str, Any]:
    """The arguments that a part of a config gives to its class."""
    return dict(part.get("init_args") or {})


def directory_of(run: Path) -> Path:
    """The directory of a run that is given by it or by one of its checkpoints."""
    return run if run.is_dir() else run.parent.parent


def model_name(config: dict[str, Any]) -> str:
    """The GAN of a config in a few words, such as GAN (dcgan)."""
    networks = arguments_of(config["model"]).get("networks")
    return f"GAN ({networks})" if networks else "GAN"
