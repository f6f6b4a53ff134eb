"""Compare runs: `python -m comparison [table | watch | report | dashboard]`."""

import argparse
import sys
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from comparison.configuration import Selection
from comparison.dashboard import add_dashboard, dashboard
from comparison.groups import Comparison, compare
from comparison.sources.csv_files import CsvFile, parse_csv_option
from comparison.table import csv_table, markdown_table, text_table
from records.failures import exit_status

CLEAR = "\033[2J\033[H"  # of a terminal: empties it and goes to its first line
FORMATS = {"text": text_table, "markdown": markdown_table, "csv": csv_table}


class Sources(NamedTuple):
    """What a command line asks for."""

    paths: list[str]
    selection: Selection
    csv_files: list[CsvFile]

    def __str__(self) -> str:
        where = ", ".join([*self.paths, *(file.path.as_posix() for file in self.csv_files)])
        wanted = str(self.selection)
        return f"{where} holds no runs{f' of {wanted}' if wanted else ''}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status."""
    return exit_status(lambda: _run(sys.argv[1:] if arguments is None else arguments))


def show_table(options: argparse.Namespace) -> None:
    """Print the table of runs and, for a report, write the page."""
    comparison = read(_sources_of(options))
    table = FORMATS[options.format](comparison)
    if options.command == "report":
        # Drawing takes long to import, which the table alone does without.
        from comparison.page import write_page  # noqa: PLC0415

        write_page(comparison, options.output)
        table += f"\n\n{options.output}"
    print(table)
    sys.stdout.flush()
    if options.format == "csv" and comparison.data_sets and comparison.gans:
        print("GANs make a CSV table of their own: name their runs alone.", file=sys.stderr)


def watch(options: argparse.Namespace) -> None:
    """Print the table again and again, in the place of the one before, until Ctrl-C."""
    sources = _sources_of(options)
    try:
        while True:
            comparison = compare(*sources)
            table = text_table(comparison) or f"{sources} yet."
            print(
                f"{CLEAR if sys.stdout.isatty() else ''}{table}\n\n{datetime.now():%H:%M:%S}, Ctrl-C ends.", flush=True
            )
            time.sleep(options.every)
    except KeyboardInterrupt:
        print()


def read(sources: Sources) -> Comparison:
    """Read the runs that are asked for.

    Raises:
        ValueError: If there is nothing at a path, or no run is found.
    """
    comparison = compare(*sources)
    if not comparison.data_sets and not comparison.gans and not comparison.unreadable:
        raise ValueError(f"{sources}: train something first, for example with `make quickstart`.")
    return comparison


def _add_source_options(command: argparse.ArgumentParser) -> None:
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
        help="a run of another tool: its table of epochs, and the facts that the table lacks (docs/comparison.md)",
    )


def _sources_of(options: argparse.Namespace) -> Sources:
    """What the parsed options ask for.

    Raises:
        ValueError: If a `--csv` cannot be understood.
    """
    csv_files = [parse_csv_option(words) for words in options.csv]
    paths = options.paths or ([] if csv_files else ["runs"])
    return Sources(paths, Selection(tuple(options.group), tuple(options.tag)), csv_files)


def _run(arguments: Sequence[str]) -> None:
    options = _parser().parse_args(_with_default_command(arguments))
    options.action(options)


def _with_default_command(arguments: Sequence[str]) -> list[str]:
    asks_for_help = "-h" in arguments or "--help" in arguments
    names_no_command = not arguments or arguments[0].startswith("-")
    return ["report", *arguments] if names_no_command and not asks_for_help else list(arguments)


def _seconds(word: str) -> float:
    try:
        seconds = float(word)
    except ValueError:
        seconds = 0.0
    if not 1 <= seconds <= 86_400:
        raise argparse.ArgumentTypeError(f"must be a number of seconds from 1 to 86400, such as 30, not {word}")
    return seconds


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m comparison",
        description="Compare trained runs by accuracy, size, speed and cost. Without a command: report.",
    )
    commands = parser.add_subparsers(dest="command", metavar="table | watch | report | dashboard")
    table = commands.add_parser("table", help="print the table")
    table.add_argument("--format", choices=FORMATS, default="text", help="default: text")
    live = commands.add_parser("watch", help="print the table again and again while runs train")
    live.add_argument("--every", type=_seconds, default=30, metavar="SECONDS", help="default: %(default)s")
    report = commands.add_parser("report", help="print the table and write the HTML page")
    report.add_argument(
        "--output", type=Path, default=Path("runs/comparison.html"), help="file of the page, default: %(default)s"
    )
    report.set_defaults(format="text")
    for command, action in ((table, show_table), (live, watch), (report, show_table)):
        _add_source_options(command)
        command.set_defaults(action=action)
    page = commands.add_parser("dashboard", help="compare the runs of a W&B project on a page of its own")
    page.set_defaults(action=dashboard)
    add_dashboard(page)
    return parser


if __name__ == "__main__":
    sys.exit(main())
