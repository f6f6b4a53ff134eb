"""A saved workspace and a report on Weights & Biases that compare architectures: `python -m comparison dashboard`."""

import argparse
import json
import os
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from records.files import UnreadableError, read_json, write_json

ADDRESSES = Path("landmark-image-networks", "dashboards.json")  # in the user's folder of caches
WORKSPACE_PARTS = ("name", "sections", "settings", "runset_settings")
REPORT_PARTS = ("title", "description", "blocks", "width")
INSTEAD = "write what would be sent with --offline FILE, or compare without an account: python -m comparison"


def add_dashboard(parser: argparse.ArgumentParser) -> None:
    """Give the parser its options."""
    parser.description = "Make a saved workspace and a report on Weights & Biases that compare the runs of a project."
    parser.add_argument("project", metavar="ENTITY/PROJECT", help="where the runs are, as in the address of the page")
    parser.add_argument("--group", help="only the runs of this group, which is the data set; default: all runs")
    parser.add_argument(
        "--offline", type=Path, metavar="FILE", help="write the content to a JSON file, and send nothing"
    )


def dashboard(options: argparse.Namespace) -> None:
    """Save workspace and report, or write them to a file.

    Raises:
        ValueError: The project is not named as it must be, or wandb-workspaces, a key, the server or the project is
            missing.
    """
    named = re.fullmatch(r"([^/\s]+)/([^/\s]+)", options.project)
    if named is None:
        raise ValueError(f"{options.project} does not name a project: give ENTITY/PROJECT, as in its page's address.")
    if find_spec("wandb_workspaces") is None:
        raise ValueError(
            "The dashboard needs wandb-workspaces, the extra `dashboard` of pyproject.toml: "
            "pip install wandb-workspaces."
        )
    entity, project = named.groups()
    if options.offline:
        write(options.offline, content(entity, project, options.group))
        print(options.offline)
    else:
        for address in save(entity, project, options.group):
            print(address)


def content(entity: str, project: str, group: str | None) -> dict[str, Any]:
    """Workspace and report as the client library would send them, but for the number of the project."""
    # Late imports: the table of runs needs neither of them.
    from comparison.dashboard.pages import build_report, build_workspace  # noqa: PLC0415

    models = {
        "workspace": build_workspace(entity, project, group)._to_model(),
        "report": build_report(entity, project, group, link=False)._to_model(),
    }
    return {name: model.model_dump(mode="json", by_alias=True, exclude_none=True) for name, model in models.items()}


def write(path: Path, sent: dict[str, Any]) -> None:
    """Write JSON, in a new folder if need be."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(sent, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    except OSError as error:
        raise ValueError(f"{path} cannot be written ({error.strerror}): name another file with --offline.") from None


def save(entity: str, project: str, group: str | None) -> list[str]:
    """Send workspace and report in the place of those that an earlier call made, if they are still there.

    W&B does not find a workspace by its name, so the addresses are kept in the user's folder of caches.

    Returns:
        Their addresses.
    """
    import wandb  # noqa: PLC0415
    import wandb_workspaces.reports.v2 as wr  # noqa: PLC0415
    import wandb_workspaces.workspaces as ws  # noqa: PLC0415

    from comparison.dashboard.pages import build_report, build_workspace  # noqa: PLC0415
    from experiment.wandb_connection import has_key, server_problem  # noqa: PLC0415

    server = wandb.setup().settings.base_url
    if not has_key(server):
        raise ValueError(f"No W&B key was found: run `wandb login`, or {INSTEAD}.")
    if problem := server_problem(server):
        raise ValueError(f"W&B cannot be used, {problem}: try again later, or {INSTEAD}.")
    try:
        projects = {found.name for found in wandb.Api().projects(entity)}
    except Exception as error:  # of the client library, of many kinds
        raise _refusal(entity, error) from error
    if project not in projects:  # a report would create it
        raise ValueError(f"{entity} has no project {project}: train a run with W&B online, or correct the name.")
    try:
        known = _addresses()
        of_project = "/".join([server, entity, project, *([group] if group else [])])
        earlier = known.get(of_project)
        earlier = earlier if isinstance(earlier, dict) else {}
        workspace = build_workspace(entity, project, group)
        workspace = _renewed(ws.Workspace.from_url, earlier.get("workspace"), workspace, WORKSPACE_PARTS).save()
        report = build_report(entity, project, group, link=True)
        report = _renewed(wr.Report.from_url, earlier.get("report"), report, REPORT_PARTS).save()
    except Exception as error:
        raise _refusal(entity, error) from error
    known[of_project] = {"workspace": workspace.url, "report": report.url}
    with suppress(OSError):  # a folder of caches that cannot be written to: the next call makes new ones
        write_json(_file_of_addresses(), known, indent=2)
    return [workspace.url, report.url]


def _renewed(load: Callable[[str], Any], address: Any, new: Any, parts: Sequence[str]) -> Any:
    """What lies at an address, with the content of the new one; the new one where nothing does."""
    if not isinstance(address, str):
        return new
    try:
        old = load(address)
    except Exception:  # it was deleted, or the account cannot see it
        return new
    for part in parts:
        setattr(old, part, getattr(new, part))
    return old


def _file_of_addresses() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / ADDRESSES


def _addresses() -> dict[str, Any]:
    try:
        return read_json(_file_of_addresses())
    except UnreadableError:
        return {}


def _refusal(entity: str, error: Exception) -> ValueError:
    reason = str(error).strip().partition("\n")[0] or type(error).__name__
    return ValueError(f"W&B refused the dashboard ({reason}): see whether you may write to {entity}, or {INSTEAD}.")
