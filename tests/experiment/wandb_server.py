"""A server of W&B's protocol on this machine, as far as runs, views and sweeps need it: GraphQL, file stream, uploads.

It keeps what it is sent, for tests to look at. Written against wandb 0.31.
"""

import base64
import gzip
import json
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import wandb
from wandb.sdk import wandb_setup

ENTITY = "team"
KEY = "a" * 40
TIME = "2026-01-31T12:00:00Z"


def end_of_process() -> None:
    """What wandb does when a process ends: the runs are finished and the service stops."""
    wandb_setup.singleton().finish_all_active_runs()
    wandb.teardown()


@contextmanager
def no_account(folder: Path) -> Iterator[pytest.MonkeyPatch]:
    """No key and no settings of W&B's, whatever the machine has, in an empty folder; wandb reads all of it anew."""
    end_of_process()  # before the environment is kept: its WANDB_SERVICE would name a service that has ended
    with pytest.MonkeyPatch.context() as monkeypatch:
        for name in [name for name in os.environ if name.startswith("WANDB_") and name != "WANDB_ERROR_REPORTING"]:
            monkeypatch.delenv(name)
        monkeypatch.setenv("NETRC", str(folder / "netrc"))
        monkeypatch.setenv("WANDB_CONFIG_DIR", str(folder / "config"))
        monkeypatch.chdir(folder)
        yield monkeypatch
        end_of_process()


@contextmanager
def account_on(server: "WandbServer", folder: Path) -> Iterator[pytest.MonkeyPatch]:
    """A key that `server` takes."""
    with no_account(folder) as monkeypatch:
        monkeypatch.setenv("WANDB_BASE_URL", server.url)
        monkeypatch.setenv("WANDB_API_KEY", KEY)
        yield monkeypatch


class WandbServer:
    """Start it with `with WandbServer() as server`, and give its `url` as WANDB_BASE_URL.

    `runs` holds what has arrived of each run by its id: attributes, config, summary and rows of the history; `views`
    the saved workspaces and reports; `files` the uploaded paths; `alerts` what users are told. `sweeps` are the configs
    of sweeps by their ids, as YAML; an agent gets the `commands` one after the other.
    """

    def __init__(self, projects: Sequence[str] = ()) -> None:
        self.projects = list(projects)
        self.runs: dict[str, dict[str, Any]] = {}
        self.views: list[dict[str, Any]] = []
        self.files: set[str] = set()
        self.sweeps: dict[str, str] = {}
        self.commands: list[dict[str, Any]] = []
        self.alerts: list[dict[str, Any]] = []
        self.unknown: list[str] = []
        handler = type("Handler", (_Handler,), {"server_of_tests": self})
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._http.daemon_threads = True
        self._http.handle_error = lambda *_: None  # type: ignore[method-assign]  wandb closes connections as it likes
        self.url = f"http://127.0.0.1:{self._http.server_port}"

    def __enter__(self) -> "WandbServer":
        threading.Thread(target=self._http.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._http.shutdown()
        self._http.server_close()

    def config(self, run: str) -> dict[str, Any]:
        """The config of a run as it was given."""
        return {name: entry["value"] for name, entry in self.runs[run]["config"].items()}

    def answer(self, operation: str, variables: dict[str, Any]) -> dict[str, Any]:
        """The data of a GraphQL answer; nothing for operations that a client can do without."""
        answers: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
            "Viewer": lambda _: {"viewer": {"id": "user", "username": "user", "entity": ENTITY, "flags": "{}"}},
            "UpsertBucket": self._upsert_run,
            "RunResumeStatus": self._run_to_resume,
            "CreateRunFiles": self._upload_addresses,
            "UpsertView2": self._upsert_view,
            "upsertView": self._upsert_view,
            "View": self._view_named,
            "SpecificReport": self._report,
            "GetProjects": self._projects,
            "ProjectInternalId": self._project_number,
            "SweepWithRuns": self._sweep,
            "CreateAgent": lambda _: {"createAgent": {"agent": {"id": "agent"}}},
            "Heartbeat": self._next_command,
            "NotifyScriptableRunAlert": self._alert,
        }
        if operation not in answers:
            self.unknown.append(operation)
            return {}
        return answers[operation](variables)

    def stream(self, run: str, content: dict[str, Any]) -> None:
        """Take lines of a run's files."""
        kept = self.runs[run]
        for name, part in content.get("files", {}).items():
            lines = [json.loads(line) for line in part["content"] if name.endswith((".jsonl", ".json"))]
            if name == "wandb-history.jsonl":
                kept["rows"][part["offset"] :] = lines
            elif name == "wandb-summary.json":
                kept["summary"] = lines[-1]
            elif name == "output.log":
                kept.setdefault("console", []).extend(part["content"])
        kept["preempting"] = kept.get("preempting") or content.get("preempting")
        if content.get("complete"):
            kept["exit_code"] = content["exitcode"]

    def _upsert_run(self, variables: dict[str, Any]) -> dict[str, Any]:
        name = variables["name"]
        inserted = name not in self.runs
        run = self.runs.setdefault(name, {"rows": [], "summary": {}, "config": {}})
        run |= {key: value for key, value in variables.items() if value is not None and key != "config"}
        run["config"] |= json.loads(variables.get("config") or "{}")
        bucket = {
            "id": f"storage-{name}",
            "name": name,
            "displayName": run.get("displayName", name),
            "config": json.dumps(run["config"]),
            "historyLineCount": len(run["rows"]),
            "project": {"id": "project", "name": run["project"], "entity": {"id": "entity", "name": ENTITY}},
        }
        return {"upsertBucket": {"bucket": bucket, "inserted": inserted}}

    def _run_to_resume(self, variables: dict[str, Any]) -> dict[str, Any]:
        name = variables["name"]
        run = self.runs.get(name)
        bucket = run and {
            "id": f"storage-{name}",
            "name": name,
            "displayName": run.get("displayName", name),
            "summaryMetrics": json.dumps(run["summary"]),
            "logLineCount": 0,
            "historyLineCount": len(run["rows"]),
            "eventsLineCount": 0,
            "historyTail": json.dumps([json.dumps(row) for row in run["rows"][-1:]]),
            "eventsTail": "[]",
            "config": json.dumps(run["config"]),
            "tags": run.get("tags") or [],
            "notes": None,
            "wandbConfig": json.dumps({"t": 1}),
        }
        entity = {"id": "entity", "name": ENTITY}
        return {"model": {"id": "project", "name": variables["project"], "entity": entity, "bucket": bucket}}

    def _upload_addresses(self, variables: dict[str, Any]) -> dict[str, Any]:
        files = [{"name": name, "uploadUrl": f"{self.url}/upload/{name}"} for name in variables["files"]]
        return {"createRunFiles": {"runID": "storage", "uploadHeaders": [], "files": files}}

    def _upsert_view(self, variables: dict[str, Any]) -> dict[str, Any]:
        kept = variables | {"spec": json.loads(variables["spec"])}
        number = self._number_of(variables.get("id"))
        if number is None:
            self.views.append(kept)
            number = len(self.views) - 1
        else:
            self.views[number] |= {name: value for name, value in kept.items() if value is not None}
        return {"upsertView": {"view": self._view(number), "inserted": True}}

    def _number_of(self, id: str | None) -> int | None:
        numbers = (n for n in range(len(self.views)) if _view_id(n).rstrip("=") == (id or "").rstrip("="))
        return next(numbers, None)

    def _view(self, number: int) -> dict[str, Any]:
        kept = self.views[number]
        project = {"id": "project", "name": kept["projectName"], "entityName": kept["entityName"]}
        view = {"id": _view_id(number), "project": project, "updatedAt": TIME, "spec": json.dumps(kept["spec"])}
        return view | {name: kept.get(name) for name in ("name", "displayName", "description", "type")}

    def _view_named(self, variables: dict[str, Any]) -> dict[str, Any]:
        numbers = [n for n, view in enumerate(self.views) if view.get("name") == variables["viewName"]]
        return {"project": {"allViews": {"edges": [{"node": self._view(number)} for number in numbers]}}}

    def _report(self, variables: dict[str, Any]) -> dict[str, Any]:
        number = self._number_of(variables["reportId"])
        return {"view": None if number is None else self._view(number)}

    def _projects(self, variables: dict[str, Any]) -> dict[str, Any]:
        nodes = [{"id": name, "name": name, "entityName": ENTITY, "createdAt": TIME} for name in self.projects]
        edges = [{"node": node | {"isBenchmark": False, "user": None}, "cursor": "end"} for node in nodes]
        return {"models": {"edges": edges, "pageInfo": {"endCursor": None, "hasNextPage": False}}}

    def _project_number(self, variables: dict[str, Any]) -> dict[str, Any]:
        return {"project": {"id": "project", "internalId": "1"} if variables["projectName"] in self.projects else None}

    def _sweep(self, variables: dict[str, Any]) -> dict[str, Any]:
        name = variables["sweep"]
        return {"project": {"sweep": {"id": name, "name": name, "config": self.sweeps[name], "runs": {"edges": []}}}}

    def _alert(self, variables: dict[str, Any]) -> dict[str, Any]:
        self.alerts.append(variables)
        return {"notifyScriptableRunAlert": {"success": True}}

    def _next_command(self, variables: dict[str, Any]) -> dict[str, Any]:
        commands = [self.commands.pop(0)] if self.commands else []
        return {"agentHeartbeat": {"agent": {"id": variables["id"]}, "commands": json.dumps(commands)}}


def _view_id(number: int) -> str:
    return base64.b64encode(f"View:{number + 1}".encode()).decode()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_of_tests: WandbServer

    def do_GET(self) -> None:
        self._reply({})

    def do_PUT(self) -> None:
        self._body()
        self.server_of_tests.files.add(self.path.removeprefix("/upload/"))
        self._reply({})

    def do_POST(self) -> None:
        content = json.loads(self._body())
        if self.path == "/graphql":
            operation = content.get("operationName") or content["query"].split("(")[0].split()[1]
            self._reply({"data": self.server_of_tests.answer(operation, content.get("variables") or {})})
            return
        if self.path.endswith("/file_stream"):
            self.server_of_tests.stream(self.path.split("/")[-2], content)
        self._reply({"limits": {}})

    def log_message(self, *_: object) -> None:
        """Be quiet."""

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") == "chunked":
            parts = []
            while length := int(self.rfile.readline(), 16):
                parts.append(self.rfile.read(length))
                self.rfile.readline()
            self.rfile.readline()
            body = b"".join(parts)
        else:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        return gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body

    def _reply(self, content: dict[str, Any]) -> None:
        body = json.dumps(content).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
