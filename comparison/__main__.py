"""Compare runs: `python -m comparison [table | report | dashboard]`."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from comparison.command_line import exit_status
from comparison.dashboard.command import add_dashboard, dashboard
from comparison.groups import Comparison, compare
from comparison.sources.options import Sources, add_source_options, sources_of
from comparison.table import csv_table, markdown_table, text_table

FORMATS = {"text": text_table, "markdown": markdown_table, "csv": csv_table}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status."""
    return exit_status(lambda: _run(sys.argv[1:] if arguments is None else arguments))


def show_table(options: argparse.Namespace) -> None:
    """Print the table of runs and, for a report, write the page."""
    comparison = read(sources_of(options))
    table = FORMATS[options.format](comparison)
    if options.command == "report":
        # Drawing takes long to import, which the table alone does without.
        from comparison.page import write_page  # noqa: PLC0415

        write_page(comparison, options.output)
        table += f"\n\n{options.output}"
    print(table)
    sys.stdout.flush()
    if options.format == "csv" and comparison.data_sets and comparison.generators:
        print("GANs make a CSV table of their own: name their runs alone.", file=sys.stderr)


def read(sources: Sources) -> Comparison:
    """Read the runs that are asked for.

    Raises:
        ValueError: If there is nothing at a path, or no run is found.
    """
    comparison = compare(*sources)
    if not comparison.data_sets and not comparison.generators and not comparison.unreadable:
        raise ValueError(f"{sources}: train something first, for example with `make quickstart`.")
    return comparison


def _run(arguments: Sequence[str]) -> None:
    options = _parser().parse_args(_with_default_command(arguments))
    options.action(options)


def _with_default_command(arguments: Sequence[str]) -> list[str]:
    asks_for_help = "-h" in arguments or "--help" in arguments
    names_no_command = not arguments or arguments[0].startswith("-")
    return ["report", *arguments] if names_no_command and not asks_for_help else list(arguments)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m comparison",
        description="Compare trained runs by accuracy, size, speed and cost. Without a command: report.",
    )
    commands = parser.add_subparsers(dest="command", metavar="table | report | dashboard")
    table = commands.add_parser("table", help="print the table")
    table.add_argument("--format", choices=FORMATS, default="text", help="default: text")
    report = commands.add_parser("report", help="print the table and write the HTML page")
    report.add_argument(
        "--output", type=Path, default=Path("runs/comparison.html"), help="file of the page, default: %(default)s"
    )
    report.set_defaults(format="text")
    for command in (table, report):
        add_source_options(command)
        command.set_defaults(action=show_table)
    page = commands.add_parser("dashboard", help="compare the runs of a W&B project on a page of its own")
    page.set_defaults(action=dashboard)
    add_dashboard(page)
    return parser


if __name__ == "__main__":
    sys.exit(main())
