"""The plugin of `make test-faults`: it has pytest run the tests that `rows.py` names, and writes results/faults.md."""

import platform
from collections import defaultdict
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import pytest

from experiment.run_record import git_state, hardware
from tests.faults.rows import GOALS, ROWS

ROOT = Path(__file__).parents[2]
PACKAGES = ("torch", "lightning", "jsonargparse", "wandb")
KEPT = "faults/outcomes"
COMMIT = str((git_state() or {}).get("commit", "unknown"))[:10]
NAMED = {test for row in (*ROWS.values(), *GOALS) for test in row.tests}


class Outcome(NamedTuple):
    """What a test counted.

    Attributes:
        injected: How often it injected its fault.
        survived: How often that was survived.
        seconds: What it measured, if anything.
        skipped: Why it did not run.
        detail: What else it counted.
        commit: Of what was tested.
    """

    injected: int
    survived: int
    seconds: float | None = None
    skipped: str = ""
    detail: str = ""
    commit: str = ""


outcomes: dict[str, Outcome] = {}


@pytest.hookimpl(tryfirst=True)  # before what `-m` leaves out is left out
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Have `-m faults` choose the tests that inject a fault of the list, wherever they stand."""
    for item in items:
        if any(_is_named(item.nodeid, name) for name in NAMED):
            item.add_marker(pytest.mark.faults)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Note what a test counted."""
    told = dict(report.user_properties)
    name = report.nodeid.partition("@")[0]  # without the group of xdist
    if report.skipped:
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        outcomes[name] = Outcome(0, 0, skipped=reason.removeprefix("Skipped: "), commit=COMMIT)
    elif report.when == "call" or report.failed:
        injected = int(told.get("injected", 1))
        survived = injected if report.passed else int(told.get("survived", 0))
        outcomes[name] = Outcome(injected, survived, told.get("seconds"), "", str(told.get("detail", "")), COMMIT)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Write the report; once, where the results of all processes come together, with those of tests run earlier."""
    cache = session.config.cache
    if hasattr(session.config, "workerinput") or not outcomes or cache is None:
        return
    earlier = {name: Outcome(*values) for name, values in cache.get(KEPT, {}).items()}
    outcomes.update({name: one for name, one in earlier.items() if name not in outcomes})
    cache.set(KEPT, outcomes)
    (ROOT / "results" / "faults.md").write_text(report(), encoding="utf-8")


def report() -> str:
    """The page."""
    lines = [
        "# What a run survives",
        "",
        "Written by `make test-faults`, which injects each fault as often as the table says. What a failing test",
        f"injected counts as not survived. {conditions()}",
        "",
        "| # | fault | injected by | times | survived | tests |",
        "|--:|:--|:--|--:|--:|:--|",
    ]
    for number, row in ROWS.items():
        found = of(row.tests)
        times, survived = sums(found)
        counted = f"{times} | {survived}" if times else "not run | "
        files = ", ".join(dict.fromkeys(f"`{Path(name.partition('::')[0]).name}`" for name in row.tests))
        lines.append(f"| {number} | {row.fault} | {row.injected} | {counted} | {files or row.untested} |")
    lines += [
        "",
        "## Ten goals",
        "",
        "| # | goal | cases | injected | survived | longest | counted |",
        "|--:|:--|--:|--:|--:|--:|:--|",
    ]
    for number, goal in enumerate(GOALS, 1):
        found = of(goal.tests)
        times, survived = sums(found)
        seconds = [one.seconds for one in found.values() if one.seconds is not None]
        longest = f"{max(seconds):.1f} s" if seconds else ""
        ran = sum(not one.skipped for one in found.values())
        details = "; ".join(dict.fromkeys(one.detail for one in found.values() if one.detail))
        counted = f"{ran} | {times} | {survived}" if times else "not run | | "
        lines.append(f"| {number} | {goal.goal} | {counted} | {longest} | {details} |")
    lines += ["", "## What failed", ""]
    failed = [name for name, one in outcomes.items() if one.survived < one.injected]
    lines += [f"- `{name}`" for name in sorted(failed)] or ["Nothing."]
    lines += ["", "## What did not run", ""]
    reasons: dict[str, list[str]] = defaultdict(list)
    for name, one in outcomes.items():
        if one.skipped:
            reasons[one.skipped].append(name)
    lines += [
        f"- {len(names)} of `{Path(names[0].partition('::')[0]).name}`: {reason}" for reason, names in reasons.items()
    ]
    return "\n".join([*lines, *([] if reasons else ["Nothing."]), ""])


def conditions() -> str:
    """Where, when and with what."""
    machine, commits = hardware(1), sorted({one.commit for one in outcomes.values()})
    packages = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    where = f"{machine['cores']} cores of {machine['cpu']}, {machine['memory_gib']} GiB, {machine['gpus']} GPUs"
    system = f"{platform.system()} {platform.release().partition('-')[0]}, Python {platform.python_version()}"
    tested = f"commit {' and '.join(commits)}"
    date = f"{datetime.now(UTC):%Y-%m-%d}"
    return f"{date}, {where}, {system}, {packages}, {tested}. Seconds are of a machine that had other work."


def of(tests: tuple[str, ...]) -> dict[str, Outcome]:
    """Outcomes of the tests that are named."""
    return {name: one for name, one in outcomes.items() if any(_is_named(name, test) for test in tests)}


def sums(found: dict[str, Outcome]) -> tuple[int, int]:
    """How often something was injected, and survived."""
    return sum(one.injected for one in found.values()), sum(one.survived for one in found.values())


def _is_named(nodeid: str, name: str) -> bool:
    path, _, function = f"tests/{name}".partition("::")
    file, _, test = nodeid.partition("::")
    return (file == path or file.startswith(f"{path}/")) and (not function or test.partition("[")[0] == function)
