"""Test the papers' claims: `python -m case_studies [table | tune | run | plan | verdict | save | report]`."""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from case_studies.plans import FORMATS
from case_studies.publication import COMMITTED_RUNS, DEFAULT_SCALE, save
from case_studies.report import explained, record_of, table, tuned
from case_studies.results import Result, judge
from case_studies.runs import ROOT, RUNS, PlannedRun, distinct, planned, tuning_runs
from case_studies.study import Study, studies
from case_studies.verdicts import Verdict
from case_studies.words import LANGUAGES
from records.failures import exit_status

RESULTS = Path("results/case_studies")
STOPPED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    code = 0

    def command() -> None:
        nonlocal code
        options = _parser().parse_args(words or ["table"])
        code = options.action(options) or 0

    return exit_status(command) or code


def show_table(options: argparse.Namespace) -> None:
    """Print a line for each study: what is claimed, how many runs are there, and the verdict."""
    results = _results(options)
    print(table(results))
    if of_project := [result.study.name for result in results if result.committed]:
        print(f"\nTrained by the project, in {RESULTS}: {', '.join(of_project)}.")


def tune(options: argparse.Namespace) -> int:
    """Train each arm at several rates on a seed of its own, then print the best ones as the study's file names them."""
    chosen = _studies(options)
    runs = [
        {_at_wandb(run, options): rate for run, rate in tuning_runs(study, options.scale, *_where(options)).items()}
        for study in chosen
    ]
    code = _train([run for of_study in runs for run in of_study], options.workers)
    if code != STOPPED:
        print("\n\n".join(tuned(study, options.scale, rates) for study, rates in zip(chosen, runs, strict=True)))
    return code


def run(options: argparse.Namespace) -> int:
    """Train what the studies still lack, then print their verdicts."""
    code = _train(_runs(options), options.workers)
    if code != STOPPED:
        print("\n\n".join(explained(result) for result in _results(options)))
    return code


def _train(runs: Sequence[PlannedRun], workers: int | None) -> int:
    """Train runs and return the exit status: 1 if some failed."""
    from case_studies.pool import train  # noqa: PLC0415  training takes seconds to import

    try:
        failed = train(distinct(runs), workers)
    except KeyboardInterrupt:
        print("\nStopped; the same command goes on.", file=sys.stderr)
        return STOPPED
    return 1 if failed else 0


def plan(options: argparse.Namespace) -> None:
    """Print the runs that the studies want for an engine that trains them elsewhere."""
    runs = distinct(_runs(options))
    for one in runs:
        one.register()
    print(FORMATS[options.format](runs), end="")


def verdict(options: argparse.Namespace) -> None:
    """Print the verdicts with all that they rest on."""
    results = _results(options)
    if options.json:
        print(json.dumps([record_of(result) for result in results], indent=2))
    else:
        print("\n\n".join(explained(result) for result in results))


def save_results(options: argparse.Namespace) -> None:
    """Write the verdicts of studies that have one, with what they rest on, into a folder that can be committed."""
    for study in _studies(options):
        runs = planned(study, options.scale, options.runs)
        result = judge(study, options.scale, runs)
        if result.verdict is Verdict.OPEN:
            print(f"{study.name} has no verdict yet, and is left out.", file=sys.stderr)
        else:
            print(save(result, runs, tuning_runs(study, options.scale, options.runs), options.output))


def report(options: argparse.Namespace) -> None:
    """Write the page of all claims."""
    from case_studies.page import write_page  # noqa: PLC0415  the table does without what draws

    write_page(_results(options), options.output, options.language)
    print(options.output)


def _studies(options: argparse.Namespace) -> list[Study]:
    found = studies(options.names)
    return [study for study in found if options.names or options.scale in study.scales]


def _runs(options: argparse.Namespace) -> list[PlannedRun]:
    return [
        _at_wandb(run, options)
        for study in _studies(options)
        for run in planned(study, options.scale, *_where(options))
    ]


def _where(options: argparse.Namespace) -> tuple[Path, list[str]]:
    return options.runs, options.local


def _at_wandb(run: PlannedRun, options: argparse.Namespace) -> PlannedRun:
    return replace(run, wandb=options.wandb)


def _results(options: argparse.Namespace) -> list[Result]:
    return [_result(study, options) for study in _studies(options)]


def _result(study: Study, options: argparse.Namespace) -> Result:
    """The verdict of the user's own runs, or, while there are none, of those that the project has committed."""
    own = judge(study, options.scale, planned(study, options.scale, options.runs))
    if own.done or own.failed or options.runs != RUNS:
        return own
    committed = judge(study, options.scale, planned(study, options.scale, ROOT / RESULTS / COMMITTED_RUNS))
    return replace(committed, committed=True) if committed.done else own


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m case_studies",
        description="Test what the papers claimed, by runs that differ in one thing. Without a command: table.",
    )
    commands = parser.add_subparsers(
        dest="command", required=True, metavar="table | tune | run | plan | verdict | save | report"
    )
    for action, name, about, names in (
        (show_table, "table", "list the studies with their runs and verdicts", "*"),
        (tune, "tune", "find the learning rate of each arm, on a seed that is in no verdict", "+"),
        (run, "run", "train the runs that are missing, then print the verdicts", "+"),
        (plan, "plan", "print the commands of the runs for a shell, SLURM or Snakemake", "+"),
        (verdict, "verdict", "print the verdicts with what they rest on", "*"),
        (save_results, "save", "write the verdicts with what they rest on into a folder that can be committed", "*"),
        (report, "report", "write the page of all claims", "*"),
    ):
        command = commands.add_parser(name, help=about, description=f"{about[0].upper()}{about[1:]}.")
        command.add_argument("names", nargs=names, metavar="NAME", help="studies: files of configs/case_study")
        command.add_argument("--scale", default=DEFAULT_SCALE, help="size of the runs; default: %(default)s")
        command.add_argument("--runs", type=Path, default=RUNS, help="folder of the runs; default: %(default)s")
        command.set_defaults(action=action, local=[])
        if name in ("tune", "run", "plan"):
            command.add_argument(
                "--option",
                dest="local",
                action="append",
                type=lambda text: f"--{text}",
                metavar="NAME=VALUE",
                help="an option of main.py for this machine, such as data.root=FOLDER; verdicts do not depend on it",
            )
            command.add_argument(
                "--wandb",
                metavar="PROJECT",
                help="log to this project at Weights & Biases too: a study is a group, an arm a tag",
            )
        if name in ("tune", "run"):
            command.add_argument(
                "--workers", type=_positive, help=f"runs at a time; default: one for each core, here {os.cpu_count()}"
            )
        elif name == "plan":
            command.add_argument("--format", choices=FORMATS, default="sh", help="default: %(default)s")
        elif name == "verdict":
            command.add_argument("--json", action="store_true", help="as JSON, for other programs")
        elif name == "save":
            command.add_argument("--output", type=Path, default=RESULTS, help="folder; default: %(default)s")
        elif name == "report":
            command.add_argument(
                "--output", type=Path, default=Path("runs/case_studies.html"), help="page; default: %(default)s"
            )
            command.add_argument(
                "--language", choices=LANGUAGES, default="en", help="of the page; default: %(default)s"
            )
    return parser


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a number of processes")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
