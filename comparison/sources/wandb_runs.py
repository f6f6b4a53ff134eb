"""Runs as the W&B logger recorded them: in offline `.wandb` files, or in a project on a server."""

import importlib.util
import json
import math
import os
import subprocess
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path, PurePath
from typing import Any

import yaml

from comparison.configuration import Filing, Selection, parse_configuration
from comparison.runs import WANDB_FILE, WANDB_SERVER, Run, UnreadableRun, make_run, results_of
from comparison.sources.paths import PROJECT_PREFIX
from records.curves import history_of
from records.metrics import ACCURACY, LOSS, POSITION
from records.summary import TEST_ACCURACY, Summary

CONFIG, HISTORY = "the W&B config", "the W&B history"
READING_SECONDS = 300.0
REQUESTS_AT_A_TIME = 8
STATUSES = {"finished": "completed", "killed": "interrupted", "crashed": "failed"}  # others are called the same

Entry = dict[str, Any]
MakeApi = Callable[[], Any]


@dataclass(frozen=True)
class WandbRun:
    """What W&B knows of a run.

    `config` and `summary` are as the logger sent them, `rows` the history with the columns of metrics.csv, `status` as
    in summary.json. `directory` is the one that the run wrote to and `started` when, empty if they are not known.
    `other_ids` are those of parts that the run consists of besides.
    """

    path: Path
    source: str
    id: str
    filing: Filing
    config: Mapping[str, Any]
    summary: Mapping[str, Any]
    rows: Sequence[Mapping[str, Any]]
    status: str
    directory: str = ""
    started: str = ""
    damage: str | None = None
    url: str | None = None
    other_ids: tuple[str, ...] = ()

    @cached_property
    def config_text(self) -> str:
        """The config of the command line as config.yaml has it; empty if it was not recorded."""
        config = self.config.get("config")
        if not isinstance(config, dict):
            return ""
        try:
            dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
            return yaml.dump(config, Dumper=dumper, sort_keys=False, allow_unicode=True)
        except (yaml.YAMLError, RecursionError) as error:
            raise ValueError("its W&B config is none that YAML can hold") from error

    @cached_property
    def experiment(self) -> Mapping[str, str]:
        """The config without what is not part of the experiment.

        Raises:
            ValueError: If it is not such a config.
        """
        text = self.config_text
        return parse_configuration(text, PurePath(self.directory).name)[0] if text else {}


def run_of(logged: WandbRun, selection: Selection) -> Run | None:
    """The run that W&B knows, as one that can be compared.

    Returns:
        None if it is not of training, or not wanted.

    Raises:
        ValueError: If not even its model and data are known.
    """
    if not selection.includes(logged.filing):
        return None
    if "format" not in logged.config:
        raise ValueError(
            logged.damage
            or "its W&B config is not that of a run of this project, or the run was killed before it could send it"
        )
    history = history_of(logged.rows, HISTORY)
    told = {"wandb_id": logged.id, "status": logged.status, "error": logged.damage}
    in_summary = ("images_per_second", "wall_time_seconds", "measured_images")
    told |= {name: logged.summary.get(name) for name in in_summary}
    found = results_of(history)
    tested = {TEST_ACCURACY: logged.summary[TEST_ACCURACY]} if TEST_ACCURACY in logged.summary else {}
    found["metrics"] = {**found["metrics"], **tested}
    summary = Summary.of({**logged.config, **told, **found}, CONFIG)
    if summary.command != "fit":
        return None
    if summary.model.is_gan:
        raise ValueError("a GAN, which has no accuracy to compare: see its pictures and measures.json")
    run = make_run(
        logged.path,
        summary,
        validated=history.best is not None,
        history=lambda: history,
        name=CONFIG,
        metrics=HISTORY,
        config=logged.config_text,
        configuration=logged.experiment,
        damage=logged.damage,
    )
    return replace(run, source=logged.source, filing=logged.filing, url=logged.url)


def read_wandb_files(paths: Sequence[Path]) -> list[WandbRun | UnreadableRun]:
    """Read W&B files; what is whole of a truncated one makes a run that did not end.

    The program that wandb ships for it does this: its Python reader is no more.

    Raises:
        ValueError: If wandb cannot be used for it.
    """
    if not paths:
        return []
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(partial(_run_of_file, _reading_program()), paths))


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


def read_project(address: str, selection: Selection, make_api: MakeApi | None = None) -> list[WandbRun | UnreadableRun]:
    """Read the runs of a project that are wanted, through wandb's public API, and name those that cannot be had.

    Args:
        address: `wandb://ENTITY/PROJECT`.
        selection: What is wanted; the server is asked for nothing else.
        make_api: What gives a `wandb.Api`; by default one of the account and server that wandb is set up for.

    Raises:
        ValueError: If the server cannot be asked, or has no such project.
    """
    names = address.removeprefix(PROJECT_PREFIX).strip("/").split("/")
    if len(names) != 2 or not all(names):
        raise ValueError(f"{address} names no project: write wandb://ENTITY/PROJECT.")
    api = (make_api or connect)()
    wanted: list[dict[str, Any]] = [{"tags": tag} for tag in selection.tags]
    if selection.groups:
        wanted.append({"group": {"$in": list(selection.groups)}})
    try:
        # Not lazy: config and summary come with the list, and not with a request for each run.
        found = list(api.runs("/".join(names), filters={"$and": wanted} if wanted else {}, lazy=False))
    except Exception as error:  # its own, those of its transport, and ValueError if there is no such project
        reason = _first_line(error)
        raise ValueError(f"{address} cannot be read ({reason}): check its spelling and your access.") from error
    with ThreadPoolExecutor(REQUESTS_AT_A_TIME) as pool:
        return list(pool.map(partial(_run_of_server, "/".join(names)), found))


def connect() -> Any:
    """A `wandb.Api`, of the account and the server that wandb is set up for.

    Raises:
        ValueError: If there is no key or no answer.
    """
    # wandb takes seconds to import, and only this source needs it.
    import wandb  # noqa: PLC0415
    from wandb.sdk import wandb_setup  # noqa: PLC0415

    from experiment.wandb_connection import has_key, server_problem  # noqa: PLC0415

    url = wandb_setup.singleton().settings.base_url
    if not has_key(url):
        raise ValueError(f"No API key for {url}: run `wandb login`, or set WANDB_API_KEY.")
    if problem := server_problem(url):
        raise ValueError(f"{problem}: check the network, or read the runs' own directories or .wandb files.")
    try:
        return wandb.Api()
    except Exception as error:
        raise ValueError(f"{url} refuses the login ({_first_line(error)}): run `wandb login` again.") from error


def _joined(parts: Sequence[WandbRun]) -> WandbRun:
    *earlier, last = parts
    rows = list(last.rows)
    for run in reversed(earlier):
        taken_again = min(_steps(rows), default=math.inf)
        rows = [row for row in run.rows if min(_steps([row]), default=-1.0) < taken_again] + rows
    return replace(
        last,
        rows=rows,
        config={**last.config, "started": parts[0].config.get("started")},
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


def _run_of_file(program: str, path: Path) -> WandbRun | UnreadableRun:
    try:
        run = _logged_in_file(path, *_entries(program, path))
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
            reason = remark.removeprefix("Error: ")[:120]
            raise ValueError(f"no W&B file, or of a version that wandb cannot read ({reason})")
        return [json.loads(line) for line in done.stdout.splitlines()], remark
    except json.JSONDecodeError as error:
        raise ValueError("wandb reads it into something that is not JSON") from error
    except (OSError, subprocess.TimeoutExpired, RecursionError) as error:
        raise ValueError(f"wandb cannot read it ({type(error).__name__})") from error


def _logged_in_file(path: Path, entries: Iterable[Entry], remark: str) -> WandbRun:
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


def _run_of_server(project: str, run: Any) -> WandbRun | UnreadableRun:
    path = Path(f"{PROJECT_PREFIX}{project}/{run.id}")
    try:
        status = STATUSES.get(run.state, str(run.state))
        rows = [
            dict(row)
            for column in (LOSS, ACCURACY)
            # Only rows that have all of the keys come back, so each column is asked for by itself.
            for row in run.scan_history(keys=[*POSITION, column], use_cache=status == "completed")
        ]
        return WandbRun(
            path=path,
            source=WANDB_SERVER,
            id=run.id,
            filing=Filing(run.group, tuple(run.tags or ())),
            config=dict(run.config),
            summary=dict(run.summary_metrics or {}),
            rows=rows,
            status=status,
            url=run.url,
        )
    except Exception as error:  # one run that cannot be had must not cost the others
        return UnreadableRun(path, f"the server does not give its history ({_first_line(error)})")


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:120]
