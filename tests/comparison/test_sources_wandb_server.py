import csv
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from comparison.configuration import Selection
from comparison.runs import WANDB_SERVER
from comparison.sources import read_runs
from comparison.sources.wandb_runs import connect
from tests.comparison.wandb_api_server import serve_project

MakeRun = Callable[..., Path]
ROOT = Path(__file__).parents[2]
ADDRESS = "wandb://team/networks"
ROWS: list[dict[str, Any]] = [
    {"_step": 0, "step": 0, "images_seen": 0, "lr-SGD": 0.1},
    {"_step": 1, "epoch": 0, "step": 9, "images_seen": 320, "train/loss": 2.0},
    {"_step": 2, "epoch": 0, "step": 9, "images_seen": 320, "val/acc1": 0.5},
    {"_step": 3, "epoch": 1, "step": 19, "images_seen": 640, "train/loss": 1.0},
    {"_step": 4, "epoch": 1, "step": 19, "images_seen": 640, "val/acc1": 0.75},
]


class FakeApi:
    """As much of `wandb.Api` as is asked for, with the filters that it was given."""

    def __init__(self, runs: Iterable[Any] | Exception) -> None:
        self.found = runs
        self.asked: list[tuple[str, dict[str, Any]]] = []

    def runs(self, path: str, filters: dict[str, Any], lazy: bool) -> Iterator[Any]:
        self.asked.append((path, filters))
        if isinstance(self.found, Exception):
            raise self.found
        yield from self.found


def config(architecture: str = "ResNet-20", seed: int = 1) -> dict[str, Any]:
    """What the run record gives to the W&B logger."""
    card = {
        "architecture": architecture,
        "parameters": {"conv": 9, "fc": 1, "total": 10},
        "multiply_adds": 100,
        "depth": 2,
    }
    data = {"name": "digits", "train_images": 320, "val_images": 80, "selection_split": "val", "verified": True}
    plain = {"format": 1, "command": "fit", "model": card, "data": data, "seed": seed}
    return plain | {"config": {"trainer": {"max_epochs": 2}}, "wandb_id": f"id-{seed}"}


def server_run(id: str = "a", **changes: Any) -> SimpleNamespace:
    """A run as the public API gives it."""

    def scan_history(keys: list[str], use_cache: bool) -> Iterator[dict[str, Any]]:
        return ({key: row[key] for key in keys} for row in ROWS if row.keys() >= set(keys))

    plain = {"id": id, "state": "finished", "group": "digits", "tags": ["digits", "ResNet-20"], "config": config()}
    plain |= {
        "summary_metrics": {"wall_time_seconds": 9.0, "test/acc1": 0.625},
        "url": f"https://example.org/team/networks/runs/{id}",
    }
    return SimpleNamespace(**(plain | {"scan_history": scan_history} | changes))


def read(api: FakeApi, *paths: Path | str, selection: Selection = Selection()) -> Any:  # noqa: B008  frozen
    return read_runs([*paths, ADDRESS], selection, make_api=lambda: api)


def test_a_run_on_the_server_is_read() -> None:
    (run,), unreadable = read(FakeApi([server_run()]))
    assert unreadable == []
    assert (run.problem, run.source, run.architecture, run.summary.seed) == (None, WANDB_SERVER, "ResNet-20", 1)
    curve = [(point.epoch, point.accuracy, point.train_loss) for point in run.history().curve]
    assert curve == [(1, 0.5, 2.0), (2, 0.75, 1.0)]
    summary, best = run.summary, run.summary.best_of("val/acc1")
    assert (summary.best_accuracy, best.epoch, summary.last_accuracy, summary.epochs) == (0.75, 1, 0.75, 2)
    assert (summary.wall_time_seconds, summary.images_per_second, summary.test_accuracy) == (9.0, None, 0.625)
    assert (run.filing.group, summary.wandb_id) == ("digits", "a")
    assert run.url == "https://example.org/team/networks/runs/a"


@pytest.mark.parametrize(
    ("state", "problem"),
    [
        ("running", "still running, or killed before it could say so"),
        ("crashed", "failed"),
        ("killed", "interrupted"),
        ("preempted", "preempted"),
    ],
)
def test_a_run_that_did_not_finish_does_not_count(state: str, problem: str) -> None:
    (run,), _ = read(FakeApi([server_run(state=state)]))
    assert run.problem == problem


def test_the_server_is_asked_for_what_is_wanted() -> None:
    api = FakeApi([server_run(), server_run("b", group="other"), server_run("c", tags=None)])
    runs, _ = read(api, selection=Selection(("digits", "mnist"), ("ResNet-20",)))
    assert api.asked == [("team/networks", {"$and": [{"tags": "ResNet-20"}, {"group": {"$in": ["digits", "mnist"]}}]})]
    assert [run.summary.wandb_id for run in runs] == ["a"]


def test_a_run_that_lies_here_counts_once(tmp_path: Path, make_run: MakeRun) -> None:
    directory = make_run(tmp_path, change=lambda summary: summary.update(wandb_id="a"))
    (run,), _ = read(FakeApi([server_run()]), tmp_path)
    assert run.directory == directory


def test_runs_that_cannot_be_had_are_named_beside_the_others() -> None:
    def fail(**_: object) -> None:
        raise RuntimeError("no history found\nmore")

    runs, unreadable = read(FakeApi([server_run("a", scan_history=fail), server_run("b", config={}), server_run("c")]))
    assert [run.summary.wandb_id for run in runs] == ["c"]
    assert [str(run.problem)[:40] for run in unreadable] == [
        "the server does not give its history (no",
        "its W&B config is not that of a run of t",
    ]


@pytest.mark.parametrize("address", ["wandb://team", "wandb://team/", "wandb://a/b/c"])
def test_an_address_names_a_project(address: str) -> None:
    with pytest.raises(ValueError, match="names no project: write wandb://ENTITY/PROJECT"):
        read_runs([address], make_api=lambda: FakeApi([]))


def test_a_project_that_is_not_there_is_one_sentence() -> None:
    with pytest.raises(ValueError, match=r"wandb://team/networks cannot be read \(Could not find project\): check"):
        read(FakeApi(ValueError("Could not find project\ndetails")))


@pytest.mark.parametrize(
    ("key", "problem", "sentence"),
    [(False, None, "No API key for .*: run `wandb login`"), (True, "it is down", "it is down: check the network")],
)
def test_without_key_or_network_there_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, key: bool, problem: str | None, sentence: str
) -> None:
    monkeypatch.setattr("experiment.wandb_connection.has_key", lambda url: key)
    monkeypatch.setattr("experiment.wandb_connection.server_problem", lambda url: problem)
    with pytest.raises(ValueError, match=sentence):
        connect()


def node(name: str, seed: int) -> dict[str, Any]:
    """A run as GraphQL gives it."""
    values = {key: {"value": value} for key, value in config(seed=seed).items()}
    node = {"id": f"storage-{name}", "name": name, "displayName": name, "config": json.dumps(values)}
    node |= {"tags": ["digits"], "group": "digits", "state": "finished", "user": {"username": "me"}}
    node |= {"summaryMetrics": '{"wall_time_seconds": 9.0}', "systemMetrics": "{}", "historyLineCount": len(ROWS)}
    return node | {"historyKeys": {"lastStep": 4, "keys": {}}, "createdAt": "2026-01-01T00:00:00"}


@pytest.mark.slow(1)
def test_wandb_itself_reads_a_server_of_this_machine_page_by_page(tmp_path: Path) -> None:
    asked: list[Any] = []
    with serve_project([node("a", 1), node("b", 2)], ROWS, asked) as url:
        environment = {key: value for key, value in os.environ.items() if not key.startswith("WANDB_")}
        environment |= {"WANDB_BASE_URL": url, "WANDB_API_KEY": "a" * 40, "WANDB_ERROR_REPORTING": "false"}
        environment |= {"PYTHONPATH": str(ROOT), "WANDB_CACHE_DIR": str(tmp_path), "WANDB_CONFIG_DIR": str(tmp_path)}
        command = [sys.executable, "-m", "comparison", "table", "--format", "csv", "--group", "digits", ADDRESS]
        done = subprocess.run(
            command, capture_output=True, text=True, env=environment, cwd=tmp_path, timeout=200, check=False
        )
    assert done.stderr == ""
    (row,) = csv.DictReader(done.stdout.splitlines())
    assert (row["architecture"], row["depth"], row["val_acc1"], row["seeds"]) == ("ResNet-20", "2", "0.75", "2")
    assert row["runs"] == "wandb:/team/networks/a wandb:/team/networks/b"
    assert {"$and": [{"group": {"$in": ["digits"]}}]} in [json.loads(v.get("filters") or "{}") for v in asked]
