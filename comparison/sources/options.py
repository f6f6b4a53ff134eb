"""The options that say which runs are compared."""

import argparse
from typing import NamedTuple

from comparison.sources.csv_files import CsvFile, parse_csv_option
from comparison.sources.selection import Selection

DEFAULT_FOLDER = "runs"


class Sources(NamedTuple):
    """What a command line asks for."""

    paths: list[str]
    selection: Selection
    csv_files: list[CsvFile]

    def __str__(self) -> str:
        where = ", ".join([*self.paths, *(file.path.as_posix() for file in self.csv_files)])
        wanted = str(self.selection)
        return f"{where} holds no runs{f' of {wanted}' if wanted else ''}"


def add_source_options(command: argparse.ArgumentParser) -> None:
    """Give a command the paths of runs, and the options that choose among them."""
    command.add_argument(
        "paths",
        nargs="*",
        metavar="PATH",
        help="runs, .wandb files, folders of either, patterns, or wandb://ENTITY/PROJECT; default: runs",
    )
    command.add_argument("--group", action="append", default=[], metavar="NAME", help="only runs of this W&B group")
    command.add_argument("--tag", action="append", default=[], metavar="NAME", help="only runs with this W&B tag")
    command.add_argument(
        "--csv",
        action="append",
        nargs="+",
        default=[],
        metavar=("FILE", "KEY=VALUE"),
        help="a run of another tool: its table of epochs, and what that does not say (docs/comparison.md)",
    )


def sources_of(options: argparse.Namespace) -> Sources:
    """What the parsed options ask for.

    Raises:
        ValueError: If a `--csv` cannot be understood.
    """
    csv_files = [parse_csv_option(words) for words in options.csv]
    paths = options.paths or ([] if csv_files else [DEFAULT_FOLDER])
    return Sources(paths, Selection(tuple(options.group), tuple(options.tag)), csv_files)
