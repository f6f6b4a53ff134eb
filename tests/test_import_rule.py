"""Imports run one way: main → experiment → callbacks → networks and data, which do not know each other → records."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = (
    "experiment",
    "comparison",
    "case_studies",
    "architectures",
    "human_test",
    "lightning_modules",
    "datamodules",
    "callbacks",
    "benchmarks",
    "records",
    "main",
    "tests",
)
ALLOWED = {
    "records": set(),
    "lightning_modules": {"lightning_modules"},
    "datamodules": {"datamodules"},
    "callbacks": {"callbacks", "datamodules", "lightning_modules.classifier"},
    "experiment": {"experiment", "lightning_modules", "datamodules", "callbacks"},
    "architectures": {"architectures", "comparison", "experiment", "lightning_modules"},
    "case_studies": {"case_studies", "comparison"},  # it starts main.py as a program
    "human_test": {"human_test", "comparison", "experiment", "lightning_modules", "datamodules", "records"},
    "comparison": {"comparison", "experiment.wandb_connection"},  # no network: a table must not wait for PyTorch
}
SHARED_BY_ARCHITECTURES = {"lightning_modules.classifier", "lightning_modules.local_response_norm"}
NO_ARCHITECTURE = {"__init__", "alexnet_pair", "model_card", "classifier"} | {"evaluation", "finite_loss"}  # its parts


def imported(path: Path) -> set[str]:
    """Modules of this project that a file imports."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names.add(str(node.module))
    return {name for name in names if name.split(".")[0] in PACKAGES}


FILES = sorted(path for package in ALLOWED for path in (ROOT / package).rglob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_run_one_way(path: Path) -> None:
    allowed = ALLOWED[path.relative_to(ROOT).parts[0]] | {"records"}
    wrong = {name for name in imported(path) if not any((name + ".").startswith(prefix + ".") for prefix in allowed)}
    assert not wrong


@pytest.mark.parametrize("path", sorted((ROOT / "lightning_modules").glob("*.py")), ids=lambda path: path.stem)
def test_an_architecture_imports_no_sibling(path: Path) -> None:
    if path.stem not in NO_ARCHITECTURE:
        assert imported(path) <= SHARED_BY_ARCHITECTURES


@pytest.mark.slow(1)
def test_records_need_no_pytorch() -> None:
    modules = [f"records.{path.stem}" for path in (ROOT / "records").glob("*.py") if path.stem != "__init__"]
    program = f"import sys, {', '.join(modules)}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=False).returncode == 0


def test_photographs_do_not_know_imagenet() -> None:
    paths = [*(ROOT / "datamodules/photographs").rglob("*.py")]
    assert paths
    assert not [(path, name) for path in paths for name in imported(path) if name.startswith("datamodules.imagenet")]


def test_no_folder_of_utilities() -> None:
    assert not [path for path in ROOT.glob("*/") if path.name in ("utils", "util", "helpers", "common")]


@pytest.mark.slow(1)
def test_the_drawing_of_the_rooms_shows_the_imports() -> None:
    drawing = re.search(r"```mermaid\n(.*?)```", (ROOT / "docs" / "design.md").read_text(encoding="utf-8"), re.DOTALL)
    assert drawing
    pattern = r"^ *(\w+)(?:\[.*?\])? %s (\w+)"
    solid = set(re.findall(pattern % "-->", drawing[1], re.MULTILINE))
    dotted = set(re.findall(pattern % r"-\. .* \.->", drawing[1], re.MULTILINE))
    rooms = {room for arrow in solid for room in arrow}
    assert rooms == {"main", *ALLOWED}
    below = {room: {room} for room in rooms}
    for _ in rooms:  # as often as a chain of arrows can be long
        for above, under in solid:
            below[above] |= below[under]
    drawn = {(room, name) for room in rooms for name in below[room]} | dotted
    direct = {(room, name.split(".")[0]) for room in rooms for name in imports_of(room)}
    assert direct <= drawn
    assert solid | dotted <= direct


def imports_of(room: str) -> set[str]:
    """Modules of this project that the files of a room import."""
    files = [ROOT / "main.py"] if room == "main" else [path for path in FILES if path.is_relative_to(ROOT / room)]
    return set().union(*map(imported, files))
