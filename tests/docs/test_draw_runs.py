"""The runs that the docs' pictures are drawn from are accepted as they are written."""

from pathlib import Path

import pytest
import yaml

from docs.draw_runs import RUNS, command_of, main
from main import main as fit


@pytest.mark.parametrize("name", RUNS)
@pytest.mark.slow(1)
def test_a_run_is_a_command_that_fit_accepts(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, program, *options = command_of(RUNS[name], tmp_path / "run", ["--data.root", "elsewhere"])
    assert program == "main.py"
    with pytest.raises(SystemExit) as stop:
        fit([*options, "--print_config"])
    assert stop.value.code == 0
    config = yaml.safe_load(capsys.readouterr().out)
    assert config["data"]["init_args"]["root"] == "elsewhere"
    assert not (tmp_path / "run").exists()


def test_an_unknown_name_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main([str(tmp_path / "pictures"), "head"])
    assert stop.value.code == 2
    assert "there is no run head: name some of heads, first_steps, filters" in capsys.readouterr().err
    assert not (tmp_path / "pictures").exists()
