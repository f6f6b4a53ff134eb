"""Runs of a project on a W&B server, through wandb's public API."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from comparison.configuration import Filing, Selection
from comparison.runs import WANDB_SERVER, UnreadableRun
from comparison.sources.paths import PROJECT_PREFIX
from comparison.sources.wandb_run import WandbRun
from records.metrics import ACCURACY, LOSS, POSITION

REQUESTS_AT_A_TIME = 8
STATUSES = {"finished": "completed", "killed": "interrupted", "crashed": "failed"}  # others are called the same

MakeApi = Callable[[], Any]


def read_project(
    address: str, selection: Selection, make_api: MakeApi | None = None
) -> tuple[list[WandbRun], list[UnreadableRun]]:
    """Read the runs of a project that are wanted, and name those that cannot be had.

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
    try:
        # Not lazy: config and summary come with the list, and not with a request for each run.
        found = list(api.runs("/".join(names), filters=_filters(selection), lazy=False))
    except Exception as error:  # its own, those of its transport, and ValueError if there is no such project
        reason = _first_line(error)
        raise ValueError(f"{address} cannot be read ({reason}): check its spelling and your access.") from error
    with ThreadPoolExecutor(REQUESTS_AT_A_TIME) as pool:
        results = list(pool.map(lambda run: _run_or_problem(run, names), found))
    return (
        [result for result in results if isinstance(result, WandbRun)],
        [result for result in results if isinstance(result, UnreadableRun)],
    )


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


def _filters(selection: Selection) -> dict[str, Any]:
    wanted: list[dict[str, Any]] = [{"tags": tag} for tag in selection.tags]
    if selection.groups:
        wanted.append({"group": {"$in": list(selection.groups)}})
    return {"$and": wanted} if wanted else {}


def _run_or_problem(run: Any, names: list[str]) -> WandbRun | UnreadableRun:
    path = Path(f"{PROJECT_PREFIX}{'/'.join(names)}/{run.id}")
    try:
        return _logged(run, path)
    except Exception as error:  # one run that cannot be had must not cost the others
        return UnreadableRun(path, f"the server does not give its history ({_first_line(error)})")


def _logged(run: Any, path: Path) -> WandbRun:
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


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:120]
