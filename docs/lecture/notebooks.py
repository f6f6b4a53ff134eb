"""Notebooks. That of a chapter trains its smallest study, says the verdict and draws the figure.

Its words are those of the chapter's page, so that nothing has to be written twice.
"""

import json
import re
from typing import Any

from docs.lecture.chapters import HERE, Chapter, study
from docs.lecture.pages import PART

FOLDER = HERE / "notebooks"
PYTHON = HERE.parent / "python.md"
CHECKOUT = """import os
import subprocess
import sys
from pathlib import Path

ROOT = next(folder for folder in (Path.cwd(), *Path.cwd().parents) if (folder / "case_studies").is_dir())
os.chdir(ROOT)
sys.path.insert(0, str(ROOT))"""
SETUP = """DATA = os.environ.get("DATA", "data")  # a folder with the data set saves the download
RUNS = os.environ.get("RUNS", "runs/case_studies")
STUDY = "{study}\""""
LAYERS = """from architectures.__main__ import main as architectures

architectures(["{network}"])"""
PLAYERS = """from docs.lecture.counts import counts

for player in ("GAN generator", "GAN discriminator"):
    print(counts(player))"""
TRAIN = """command = [sys.executable, "-m", "case_studies", "run", STUDY, "--scale", "test", "--runs", RUNS]
command += ["--option", f"data.root={DATA}"]
done = subprocess.run(command, capture_output=True, text=True, check=False)
print(done.stdout if done.returncode == 0 else done.stderr)"""
DRAW = """from docs.lecture.figures import trained_figure

trained_figure(STUDY, runs=Path(RUNS))"""
COMMITTED = """from docs.lecture.figures import committed_figure

committed_figure(STUDY)"""


def notebook(chapter: Chapter) -> str:
    """The notebook of a chapter, as its file holds it."""
    text = PART.sub("", (HERE / f"{chapter.name}.md").read_text(encoding="utf-8"))
    title, _, rest = text.partition("\n")
    begin = rest.partition("\n## ")[0].strip()
    exercises = re.search(r"^## What to try next\n(.*?)(?=^## |\Z)", rest, re.MULTILINE | re.DOTALL)
    assert exercises, f"{chapter.name}.md has nothing to try next"
    one = study(chapter.notebook)
    network = LAYERS.format(network=chapter.network) if chapter.network else PLAYERS
    about = f"This notebook goes with [the chapter](../{chapter.name}.md). It trains for a minute or two on one core."
    cells = [
        _words(f"{title}\n\n{begin}\n\n{about}"),
        _code(f"{CHECKOUT}\n{SETUP.format(study=chapter.notebook)}"),
        _words("## The network\n\nCounted from the network itself; nothing is trained yet."),
        _code(network),
        _words(
            f"## A claim\n\n> {one.claim.words}\n> — {one.claim.paper}, {one.claim.section}\n\n{one.question}\n\n"
            "The scale `test` has a few steps of 256 images with two seeds: it shows how a study runs. Its verdict is "
            "exploratory and counts for nothing."
        ),
        _code(TRAIN),
        _words("## Its figure\n\nDots are seeds, the bar is the interval, the shade is what was claimed."),
        _code(DRAW),
        _words("And the same of the runs that count, if there are some in `results/case_studies`:"),
        _code(COMMITTED),
        _words(f"## What to try next\n\n{_for_notebooks(exercises[1].strip())}"),
    ]
    return _file(cells)


def notebook_of_page(text: str) -> str:
    """A notebook of a page of the manual: blocks of Python are its code, all else its words."""
    cells = [_code(CHECKOUT.replace("import subprocess\n", ""))]
    for number, part in enumerate(re.split(r"^```python\n(.*?)^```\n", text, flags=re.MULTILINE | re.DOTALL)):
        if part.strip():
            cells.append(_code(part.strip()) if number % 2 else _words(part.strip()))
    return _file(cells)


def _file(cells: list[dict[str, Any]]) -> str:
    """The text of a notebook of these cells."""
    content = {
        "cells": [{"id": f"cell-{number}", **cell} for number, cell in enumerate(cells)],
        "metadata": {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        },
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def _words(text: str) -> dict[str, Any]:
    return {"cell_type": "markdown", "metadata": {}, "source": text.splitlines(keepends=True)}


def _code(text: str) -> dict[str, Any]:
    lines = text.splitlines(keepends=True)
    return {"cell_type": "code", "execution_count": None, "metadata": {}, "outputs": [], "source": lines}


def _for_notebooks(text: str) -> str:
    """Links as they are seen from the folder of the notebooks."""
    return re.sub(r"\]\((?!https?:|#)", "](../", text)
