"""What a stranger meets first is right: links, commands and configs in texts, workflows, changelog, citation."""

import contextlib
import importlib
import io
import re
import subprocess
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from PIL import Image

import callbacks

ROOT = Path(__file__).parents[1]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
IGNORED = (".git", ".venv", ".venv-lowest", "data", "runs", "wandb")  # not of the repository
OF_THE_READER = ("lightning_modules/mynet.py", "configs/model/mynet.yaml")
TEXTS = sorted(path for path in ROOT.rglob("*.md") if path.relative_to(ROOT).parts[0] not in IGNORED)
SUBCOMMANDS = ("fit", "validate", "test", "predict")

each_text = pytest.mark.parametrize("text", TEXTS, ids=lambda path: str(path.relative_to(ROOT)))


def without_code(markdown: str) -> str:
    """The prose of a page: fenced blocks and code within lines are left out."""
    return re.sub(r"`[^`\n]*`", "", re.sub(r"^```.*?^```", "", markdown, flags=re.MULTILINE | re.DOTALL))


def anchors(page: Path) -> set[str]:
    """What `#…` may name in a page: its headings, as code hosts write them."""
    headings = re.findall(r"^#+ +(.+)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def links(page: Path) -> list[str]:
    """Where a page's links and pictures lead to."""
    return re.findall(r"\]\(([^)\s]+)\)", without_code(re.sub(r"\[`([^`\n]*)`\]", r"[\1]", page.read_text("utf-8"))))


def commands(page: Path) -> list[str]:
    """The command lines that a page shows, in blocks or within a line, each in one line."""
    content = re.sub(r"\\\n\s*", " ", page.read_text(encoding="utf-8"))
    blocks = re.findall(r"^```(?!mermaid)\w*\n(.*?)^```", content, flags=re.MULTILINE | re.DOTALL)
    inline = re.findall(r"`([^`]+)`", re.sub(r"^```.*?^```", "", content, flags=re.MULTILINE | re.DOTALL))
    lines = [line for block in blocks for line in block.splitlines()]
    return [" ".join(line.partition(" #")[0].split()) for line in (*lines, *inline)]


@cache
def help_of(module: str, *words: str) -> str:
    """What `python -m MODULE WORDS --help` prints."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), pytest.raises(SystemExit) as stop:
        importlib.import_module(module).main([*words, "--help"])
    assert stop.value.code == 0, f"python -m {module} {' '.join(words)}"
    return printed.getvalue()


def runnable(module: str) -> str | None:
    """The module that `python -m` runs for a name of this project, None if there is none."""
    path = ROOT.joinpath(*module.split("."))
    if (path / "__main__.py").is_file():
        return f"{module}.__main__"
    file = path.with_suffix(".py")
    return module if file.is_file() and "__main__" in file.read_text(encoding="utf-8") else None


@each_text
def test_links_lead_somewhere(text: Path) -> None:
    for link in links(text):
        if re.match(r"https?:|mailto:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (text.parent / path).resolve() if path else text
        assert target.exists(), f"{link}: there is no such file"
        if anchor:
            assert anchor in anchors(target), f"{link}: there is no such heading"


@each_text
def test_files_and_modules_that_texts_name_exist(text: Path) -> None:
    if text.name in ("adding.md", "CHANGELOG.md"):
        return  # they name what the reader makes, and what there was
    content = text.read_text(encoding="utf-8")
    rooms = "|".join(path.name for path in ROOT.iterdir() if path.is_dir() and path.name not in IGNORED)
    for name in re.findall(rf"(?<=[\s`\[])(?:{rooms})/[\w/.*-]*\w", content):
        assert list(ROOT.glob(name)) or list(text.parent.glob(name)) or name in OF_THE_READER, name
    for name in re.findall(rf"(?<=[\s`])(?:{rooms})(?:\.[a-z_]\w*)+(?=[\s`.])", content):
        path = ROOT.joinpath(*name.split("."))
        assert path.is_dir() or path.with_suffix(".py").is_file() or path.name == "mynet", name


@each_text
def test_commands_that_texts_name_exist(text: Path) -> None:
    if text.name in ("adding.md", "CHANGELOG.md"):
        return  # they name what the reader makes, and what there was
    targets = make_targets()
    for command in commands(text):
        for module, rest in re.findall(r"python -m ([\w.]+)((?: [^`|&;<>…]*)?)", command):
            if (ROOT / module.split(".")[0]).exists():
                check_command(module, rest.split())
        for subcommand in re.findall(r"python main\.py (\S+)", command):
            assert subcommand in (*SUBCOMMANDS, "--help", "…"), command
        for target in re.findall(r"^make (?:--?\w+ )*([a-z][\w-]*)", command):
            assert target in targets, command
        for recipe in re.findall(r"main\.py fit .*?--config ([a-z]\w+)(?= |$)", command):
            assert (ROOT / "configs" / "recipes" / f"{recipe}.yaml").is_file(), command
        for name in re.findall(r"--trainer\.callbacks\+=(\w+)", command):
            assert name == "Name" or hasattr(callbacks, name), command


def check_command(module: str, words: list[str]) -> None:
    """The module can be run, has the subcommand if one is named, and each option stands in its help."""
    runs = runnable(module)
    assert runs, f"python -m {module} cannot be run"
    if module.startswith("benchmarks"):
        return
    options = [word.partition("=")[0] for word in words if re.match(r"\[?--\w", word)]
    known = help_of(runs)
    choices = re.search(r"^usage: .*?(?:\{([\w,]+)\}|\b(\w+(?:\s+\|\s+\w+)+)\b) \.\.\.", known, flags=re.DOTALL)
    if choices and words and re.fullmatch(r"[a-z]+", words[0]):
        assert words[0] in re.findall(r"\w+", choices[1] or choices[2]), f"python -m {module} {words[0]}"
        known = help_of(runs, words[0])
    elif choices:  # the command without a name is the default
        known += "".join(help_of(runs, word) for word in re.findall(r"\w+", choices[1] or choices[2]))
    for option in options:
        assert option.strip("[]") in known, f"python -m {module} {' '.join(words)}"


def make_targets() -> set[str]:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    return set(re.findall(r"^([a-z][\w-]*):", makefile, flags=re.MULTILINE))


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.stem)
def test_workflows_call_what_make_has(workflow: Path) -> None:
    content = load(workflow)
    assert content["name"] == workflow.stem
    assert content[True]  # YAML 1.1 reads `on` as true
    assert content["permissions"]
    for job in content["jobs"].values():
        assert job["timeout-minutes"]
        for step in job["steps"]:
            assert ("uses" in step) != ("run" in step)
            assert re.fullmatch(r"actions/[\w-]+@v\d+", step.get("uses", "actions/checkout@v1"))
            script = step.get("run", "make lint")
            called = re.findall(r"^make (?:--?\w+ )*([a-z][\w-]*)", script)
            assert called or script.startswith("gh release create ")
            assert set(called) <= make_targets()


def test_every_python_that_is_allowed_is_tested() -> None:
    pythons = load(ROOT / ".github/workflows/nightly.yml")["jobs"]["test"]["strategy"]["matrix"]["python"]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["requires-python"] == f">={pythons[0]}"
    assert (
        load(ROOT / ".github/workflows/quick.yml")["jobs"]["check"]["steps"][1]["with"]["python-version"] == pythons[0]
    )


def test_hooks_have_the_linter_that_make_installs() -> None:
    repositories = load(ROOT / ".pre-commit-config.yaml")["repos"]
    assert all(re.fullmatch(r"v\d+\.\d+\.\d+", repository["rev"]) for repository in repositories)
    (ruff,) = [repository for repository in repositories if "ruff" in repository["repo"]]
    assert f"\nruff=={ruff['rev'][1:]} " in (ROOT / "requirements-dev.txt").read_text()


def test_the_version_has_its_part_of_the_changelog() -> None:
    headings = re.findall(r"^## (.+)$", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert headings[0] == "Unreleased"
    assert re.fullmatch(rf"{re.escape(VERSION)} - \d{{4}}-\d\d-\d\d", headings[1])
    notes = release_notes(VERSION)
    assert notes.returncode == 0
    assert "### Added" in notes.stdout
    assert "\n## " not in notes.stdout
    assert release_notes("9.9").returncode != 0


def release_notes(version: str) -> subprocess.CompletedProcess[str]:
    command = ["make", "--silent", "release-notes", f"VERSION={version}"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)


def test_the_citation_names_the_project_and_its_papers() -> None:
    citation = load(ROOT / "CITATION.cff")
    assert {"cff-version", "message", "title", "authors"} <= citation.keys()
    assert (citation["cff-version"], citation["version"], citation["license"]) == ("1.2.0", VERSION, "Apache-2.0")
    papers = citation["references"]
    assert len({paper["title"] for paper in papers}) == len(papers) == 12
    for paper in papers:
        assert {"type", "title", "authors", "year"} <= paper.keys()
        assert all({"family-names", "given-names"} <= author.keys() for author in paper["authors"])
    notes = " ".join(paper["notes"] for paper in papers)
    for name in ("AlexNet", "ZFNet", "NIN", "VGG", "GoogLeNet", "ResNet", "DCGAN", "WGAN-GP", "SNGAN"):
        assert name in notes


@pytest.mark.parametrize("form", ["bug", "paper", "feature"])
def test_issue_forms_have_what_a_code_host_asks_of_them(form: str) -> None:
    content = load(ROOT / f".github/ISSUE_TEMPLATE/{form}.yml")
    assert {"name", "description", "body"} <= content.keys()
    names = [part["id"] for part in content["body"]]
    assert len(set(names)) == len(names)
    for part in content["body"]:
        assert part["type"] in ("input", "textarea", "dropdown", "checkboxes")
        assert part["attributes"]["label"]


def load(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def test_the_readme_is_read_in_minutes() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    pictures = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", text)
    assert len(text.split()) <= 900
    assert 1 <= len(pictures) <= 4
    for picture in pictures:
        with Image.open(ROOT / picture) as image:
            assert image.width <= 700, picture


def test_every_recipe_and_every_page_is_listed() -> None:
    recipes = re.findall(r"`([a-z0-9]+_\w+)`", (ROOT / "docs" / "recipes.md").read_text(encoding="utf-8"))
    assert set(recipes) == {path.stem for path in (ROOT / "configs" / "recipes").glob("*.yaml")}
    for folder in (ROOT / "docs", ROOT / "docs" / "callbacks"):
        linked = {link.partition("#")[0] for link in links(folder / "README.md")}
        pages = {path.name for path in folder.glob("*.md")} - {"README.md"}
        assert pages <= {link.rpartition("/")[2] for link in linked}
