"""config.yaml: the whole resolved config of the experiment that a run is of."""

from collections.abc import Mapping
from itertools import count
from pathlib import Path
from typing import Any

from records.files import LARGEST_YAML, UnreadableError, read_text, read_yaml, write_whole
from records.layout import CONFIG


def read_config(directory: Path) -> dict[str, Any]:
    """The config of a run.

    Raises:
        UnreadableError: It is missing, or not a mapping of plain values in YAML.
    """
    return read_yaml(directory / CONFIG)


def write_config(directory: Path, text: str) -> None:
    """Write the config of a run; an earlier one of the same run that differs is kept under another name."""
    path = directory / CONFIG
    if path.exists() and _text(path) != text:
        others = (path.with_stem(f"{path.stem}-{number}") for number in count(1))
        path.rename(next(other for other in others if not other.exists()))
    write_whole(path, text)


def class_name(part: Any) -> str:
    """The class that a part of a config, such as model or data, names, without its module.

    Raises:
        UnreadableError: It names none.
    """
    class_path = part.get("class_path") if isinstance(part, Mapping) else None
    if not isinstance(class_path, str):
        raise UnreadableError("a part of the config names no class")
    return class_path.rpartition(".")[2]


def arguments_of(part: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments that a part of a config gives to its class."""
    arguments = part.get("init_args")
    return dict(arguments) if isinstance(arguments, Mapping) else {}


def _text(path: Path) -> str | None:
    try:
        return read_text(path, LARGEST_YAML)
    except UnreadableError:
        return None
