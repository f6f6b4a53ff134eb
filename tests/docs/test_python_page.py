"""What docs/python.md shows runs as it stands there, in its notebook too."""

import json
import sys
from pathlib import Path

import pytest
from lightning.pytorch import Trainer

from docs.lecture.notebooks import PYTHON
from lightning_modules import ResNet
from tests.docs.test_lecture import code_of

NOTEBOOK = PYTHON.with_suffix(".ipynb")


def test_the_notebook_is_the_page() -> None:
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    assert cells[1]["source"][0] == "# Python\n"
    assert [cell["cell_type"] for cell in cells].count("code") == 1 + PYTHON.read_text("utf-8").count("```python\n")


@pytest.mark.slow(40)
def test_the_notebook_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(PYTHON.parent)
    monkeypatch.setattr("sys.path", [*sys.path])
    names: dict[str, object] = {}
    for number, code in enumerate(code_of(NOTEBOOK)):
        exec(code.replace('"runs/mine"', f'"{tmp_path}/mine"').replace('"exported"', f'"{tmp_path}/exported"'), names)
        if number == 0:
            monkeypatch.chdir(tmp_path)  # where Lightning leaves its logs
    assert isinstance(names["trainer"], Trainer)
    assert isinstance(names["network"], ResNet)
    assert (tmp_path / "exported" / "model.safetensors").is_file()
    assert "ResNet-20" in capsys.readouterr().out
