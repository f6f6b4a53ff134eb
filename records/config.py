"""config.yaml: the whole resolved config of the experiment that a run is of."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from records.files import UnreadableError, parse_yaml, read_yaml, write_whole
from records.layout import CONFIG


@dataclass(frozen=True)
class Published:
    """A figure of a paper or of its authors, which comparisons show beside what was measured.

    Args:
        architecture: Network that it is of, as runs call it, such as ResNet-20.
        data: Data set that it is of, as runs call it, such as cifar10.
        acc1: Top-1 accuracy, from 0 to 1.
        source: Paper with its table, and which images and views were evaluated.
    """

    architecture: str
    data: str
    acc1: float
    source: str


def read_config(directory: Path) -> dict[str, Any]:
    """The config of a run.

    Raises:
        UnreadableError: It is missing, or not a mapping of plain values in YAML.
    """
    return read_yaml(directory / CONFIG)


def write_config(directory: Path, text: str) -> None:
    """Write the config of a run; an earlier one of the same run that differs is kept under another name.

    Each file is there as a whole at every instant; a full disk leaves the earlier one in its place.
    """
    path = directory / CONFIG
    if path.exists():
        earlier = path.read_bytes()
        if earlier == text.encode():
            return
        others = (path.with_stem(f"{path.stem}-{number}") for number in count(1))
        write_whole(next(other for other in others if not other.exists()), earlier)
    write_whole(path, text)


def published_figure(text: str) -> Published | None:
    """The figure that the text of a config names; None if it names none that can be understood."""
    block = re.search(r"(?m)^published:\n(?: .*\n?)+", text)
    try:
        values: Any = (parse_yaml(block.group(), CONFIG) or {})["published"] if block else None
        return Published(values["architecture"], values["data"], float(values["acc1"]), str(values["source"]))
    except (UnreadableError, KeyError, TypeError, ValueError):
        return None


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
