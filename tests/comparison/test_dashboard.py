"""What the command sends, against the client library's own model and a server of W&B's protocol on this machine."""

import json
import socket
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from comparison.__main__ import main
from tests.experiment.wandb_server import ENTITY, WandbServer, account_on, no_account

needs_extra = pytest.mark.skipif(find_spec("wandb_workspaces") is None, reason="wandb-workspaces, an extra, is absent")
PROJECT = "landmark-image-networks"
TARGET = f"{ENTITY}/{PROJECT}"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[WandbServer]:
    with WandbServer(projects=[PROJECT]) as server, account_on(server, tmp_path) as environment:
        environment.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
        yield server


def refusal(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """The one line with which the command ends."""
    assert main(["dashboard", *words]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    *_, line = captured.err.splitlines()
    assert line.startswith("error: ")
    return line


def without_random_names(content: Any) -> Any:
    if isinstance(content, dict):
        random = {"id", "__id__", "ref", "name"} if "viewType" in content or "runFeed" in content else {"__id__"}
        return {key: without_random_names(value) for key, value in content.items() if key not in random}
    if isinstance(content, list):
        return [without_random_names(item) for item in content]
    return content


@needs_extra
@pytest.mark.slow(1)
def test_the_file_holds_workspace_and_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "new" / "dashboard.json"
    group = 'it\'s "digits"'
    assert main(["dashboard", TARGET, "--group", group, "--offline", str(file)]) == 0
    assert capsys.readouterr().out == f"{file}\n"
    sent = json.loads(file.read_text(encoding="utf-8"))
    assert set(sent) == {"workspace", "report"}

    from wandb_workspaces.workspaces import Workspace
    from wandb_workspaces.workspaces.internal import View

    # The client library reads it back as what it is.
    workspace = Workspace._from_model(View.model_validate(sent["workspace"]))
    assert (workspace.entity, workspace.project) == (ENTITY, PROJECT)
    assert workspace.settings.x_axis == "images_seen"
    assert [section.name for section in workspace.sections][:4] == [
        "Test accuracy",
        "Learning curves",
        "Accuracy against cost",
        "From architecture to accuracy",
    ]
    (runs,) = sent["workspace"]["spec"]["section"]["runSets"]
    assert runs["filters"]["filters"][1]["value"] == group


@needs_extra
def test_runs_are_grouped_and_evaluations_left_out(tmp_path: Path) -> None:
    main(["dashboard", TARGET, "--offline", str(tmp_path / "dashboard.json")])
    sent = json.loads((tmp_path / "dashboard.json").read_text(encoding="utf-8"))
    grids = [block for block in sent["report"]["spec"]["blocks"] if block["type"] == "panel-grid"]
    report_runs = [grid["metadata"]["runSets"][0] for grid in grids]
    (workspace_runs,) = sent["workspace"]["spec"]["section"]["runSets"]
    grouping = [
        {"section": "config", "name": "data.value.name"},
        {"section": "config", "name": "model.value.architecture"},
    ]
    assert workspace_runs["grouping"] == grouping
    assert all(runs["grouping"] == grouping for runs in report_runs[:-1])
    assert report_runs[-1]["grouping"] == []  # the table
    for runs in (workspace_runs, *report_runs):
        (only,) = runs["filters"]["filters"]
        assert (only["key"]["name"], only["op"], only["value"]) == ("command", "=", "fit")


@needs_extra
def test_panels_of_the_report_fill_rows_and_do_not_overlap() -> None:
    from comparison.dashboard.pages import WIDTH, build_report

    for block in build_report(ENTITY, PROJECT, None, link=False).blocks:
        taken: set[tuple[int, int]] = set()
        for panel in getattr(block, "panels", []):
            at = panel.layout
            cells = {(x, y) for x in range(at.x, at.x + at.w) for y in range(at.y, at.y + at.h)}
            assert not cells & taken
            assert at.x + at.w <= WIDTH
            taken |= cells


@needs_extra
@pytest.mark.slow(1)
def test_the_server_gets_what_the_file_holds(server: WandbServer, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["dashboard", TARGET, "--group", "digits"]) == 0
    addresses = capsys.readouterr().out.split()
    assert len(addresses) == 2
    assert all(address.startswith(f"{server.url}/{TARGET}") for address in addresses)
    assert main(["dashboard", TARGET, "--group", "digits", "--offline", "dashboard.json"]) == 0
    file = json.loads(Path("dashboard.json").read_text(encoding="utf-8"))
    views = {view["type"]: view for view in server.views}
    assert {(view["entityName"], view["projectName"]) for view in server.views} == {(ENTITY, PROJECT)}
    sent = views["project-view"]["spec"]
    assert without_random_names(sent) == without_random_names(file["workspace"]["spec"])
    report = without_random_names(views["runs"]["spec"])
    for block in report["blocks"]:
        for runs in block.get("metadata", {}).get("runSets", []):
            assert runs.pop("project")["entityName"] == ENTITY
    assert report == without_random_names(file["report"]["spec"])


@needs_extra
@pytest.mark.slow(1)
def test_a_second_call_renews_what_the_first_made(
    server: WandbServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert main(["dashboard", TARGET, "--group", "digits"]) == 0
    first = capsys.readouterr().out.split()
    server.views[0]["displayName"] = "changed by hand"
    assert main(["dashboard", TARGET, "--group", "digits"]) == 0
    assert capsys.readouterr().out.split() == first
    assert len(server.views) == 2
    assert server.views[0]["displayName"] == "Architectures on digits"
    assert main(["dashboard", TARGET]) == 0  # of all groups: another one
    assert len(server.views) == 4
    (tmp_path / "cache" / "landmark-image-networks" / "dashboards.json").write_text("[")
    assert main(["dashboard", TARGET]) == 0
    assert len(server.views) == 6


@needs_extra
def test_a_mistyped_project_is_not_created(server: WandbServer, capsys: pytest.CaptureFixture[str]) -> None:
    assert "no project landmark" in refusal(capsys, f"{ENTITY}/landmark")
    assert not server.views


@pytest.mark.parametrize("name", ["landmark", "team/landmark/runs", "team/", "https://wandb.ai/team/landmark"])
def test_a_project_is_named_with_its_owner(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert "ENTITY/PROJECT" in refusal(capsys, name)


def test_without_the_extra_the_command_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("comparison.dashboard.find_spec", lambda _: None)
    assert "pip install wandb-workspaces" in refusal(capsys, TARGET)


@needs_extra
def test_without_a_key_the_command_says_how_to_get_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with no_account(tmp_path):
        line = refusal(capsys, TARGET)
    assert "wandb login" in line
    assert "--offline" in line


@needs_extra
def test_without_a_server_the_command_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with no_account(tmp_path) as environment:
        environment.setenv("WANDB_API_KEY", "a" * 40)
        environment.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{port}")
        assert "cannot be reached" in refusal(capsys, TARGET)


@needs_extra
def test_a_file_that_cannot_be_written_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "name another file" in refusal(capsys, TARGET, "--offline", str(tmp_path))
