"""Offline `.wandb` files, read by the program that wandb ships for it: its Python reader is no more."""

import importlib.util
import json
import math
import os
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

from comparison.configuration import Filing
from comparison.runs import WANDB_FILE, UnreadableRun
from comparison.sources.wandb_run import WandbRun

READING_SECONDS = 300.0

Entry = dict[str, Any]


def read_wandb_files(paths: Sequence[Path]) -> tuple[list[WandbRun], list[UnreadableRun]]:
    """Read W&B files; what is whole of a truncated one makes a run that did not end.

    Raises:
        ValueError: If wandb cannot be used for it.
    """
    if not paths:
        return [], []
    program = _reading_program()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        results = list(pool.map(lambda path: _run_or_problem(program, path), paths))
    return (
        [result for result in results if isinstance(result, WandbRun)],
        [result for result in results if isinstance(result, UnreadableRun)],
    )


def join_parts(logged: Iterable[WandbRun]) -> list[WandbRun]:
    """Put runs together that were killed and resumed offline, which leaves a W&B file of each part.

    Parts have the directory of the run and the whole experiment in common. Of steps that were taken again, the later
    part counts; how it ended, and how long it took, is for the last part to say.
    """
    runs: list[list[WandbRun]] = []
    latest: dict[object, list[WandbRun]] = {}
    # Of several copies of a file the one that says most counts.
    whole = {(run.id, run.started): run for run in sorted(logged, key=lambda run: len(run.rows))}
    for run in sorted(whole.values(), key=lambda run: run.started):
        experiment = json.dumps([run.config.get("seed"), *sorted(run.experiment.items())])
        key = (run.directory, experiment) if run.directory else run.path
        parts = latest.get(key)
        if parts is None or (parts[-1].status == "completed" and parts[-1].id != run.id):
            parts = latest[key] = []
            runs.append(parts)
        parts.append(run)
    return [_joined(parts) for parts in runs]


def _joined(parts: Sequence[WandbRun]) -> WandbRun:
    *earlier, last = parts
    rows = list(last.rows)
    for run in reversed(earlier):
        taken_again = min(_steps(rows), default=math.inf)
        rows = [row for row in run.rows if min(_steps([row]), default=-1.0) < taken_again] + rows
    config = {**last.config, "started": parts[0].config.get("started")}
    return replace(
        last,
        rows=rows,
        config=config,
        damage=next((run.damage for run in parts if run.damage), None),
        other_ids=tuple({run.id for run in earlier} - {last.id}),
    )


def _steps(rows: Iterable[Mapping[str, Any]]) -> Iterator[float]:
    return (row["step"] for row in rows if isinstance(row.get("step"), int | float))


def _reading_program() -> str:
    """The program behind `wandb leet inspect`; called by itself, because `wandb` takes a second to start."""
    package = importlib.util.find_spec("wandb")
    program = Path(package.origin or "").parent / "bin" / "wandb-core" if package else Path()
    if not program.is_file():
        raise ValueError("Reading .wandb files needs wandb 0.31 or newer: pip install 'wandb>=0.31'.")
    return str(program)


def _run_or_problem(program: str, path: Path) -> WandbRun | UnreadableRun:
    try:
        entries, remark = _entries(program, path)
        run = _logged(path, entries, remark)
        _ = run.experiment  # damage shows here, where it is of this file alone
        return run
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        problem = str(error) if isinstance(error, ValueError) else "its entries are not those of a W&B run"
        return UnreadableRun(path, problem)


def _entries(program: str, path: Path) -> tuple[list[Entry], str]:
    """The entries of a file that are whole, and what the program remarks on the others."""
    command = [program, "leet", "inspect", "--json", "--no-observability", f"--run-file={path}"]
    try:
        done = subprocess.run(command, check=False, capture_output=True, timeout=READING_SECONDS)
        remark = " ".join(done.stderr.decode(errors="replace").split())
        if done.returncode != 0:
            raise ValueError(f"no W&B file, or of a version that wandb cannot read ({_reason(remark)})")
        return [json.loads(line) for line in done.stdout.splitlines()], remark
    except json.JSONDecodeError as error:
        raise ValueError("wandb reads it into something that is not JSON") from error
    except (OSError, subprocess.TimeoutExpired, RecursionError) as error:
        raise ValueError(f"wandb cannot read it ({type(error).__name__})") from error


def _reason(remark: str) -> str:
    return remark.removeprefix("Error: ")[:120]


def _logged(path: Path, entries: Iterable[Entry], remark: str) -> WandbRun:
    run: Entry = {}
    config: Entry = {}
    summary: Entry = {}
    rows: list[Entry] = []
    directory, status = "", "running"
    for entry in entries:
        content = entry[entry["type"]]
        match entry["type"]:
            case "run":
                run = content
                config |= content.get("config", {}).get("update", {})
            case "config":
                config |= content.get("update", {})
            case "summary":
                summary |= content.get("update", {})
            case "history":
                rows.append(content["item"])
            case "environment":
                directory = content.get("root", directory)
            case "exit":
                status = "failed" if content.get("exit_code") else "completed"
    if not run:
        raise ValueError("the file breaks off before it names its run")
    damage = "part of the W&B file is corrupt" if "corrupt" in remark else None
    return WandbRun(
        path=path,
        source=WANDB_FILE,
        id=run["run_id"],
        filing=Filing(run.get("run_group"), tuple(run.get("tags", ()))),
        config=config,
        summary=summary,
        rows=rows,
        status="damaged" if damage and status == "running" else status,
        directory=directory,
        started=str(run.get("start_time", "")),
        damage=damage,
    )
