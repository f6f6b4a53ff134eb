import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from comparison.__main__ import main

MakeRun = Callable[..., Path]
ROOT = Path(__file__).parents[2]


@pytest.fixture
def two_runs(tmp_path: Path, make_run: MakeRun, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    make_run(Path("runs"), "ResNet-20")
    make_run(Path("runs"), "AlexNet")


@pytest.mark.usefixtures("two_runs")
@pytest.mark.slow(3)
def test_without_arguments_the_table_is_printed_and_the_page_written(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[3].startswith("architecture")
    assert lines[-1] == str(Path("runs/comparison.html"))
    assert Path(lines[-1]).is_file()


@pytest.mark.usefixtures("two_runs")
@pytest.mark.slow(1)
def test_options_need_no_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--output", "elsewhere/page.html"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == str(Path("elsewhere/page.html"))
    assert 'href="../runs/digits/' in Path("elsewhere/page.html").read_text(encoding="utf-8")


@pytest.mark.usefixtures("two_runs")
def test_table_only_prints(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["table", "--format", "csv", "runs/digits/alexnet"]) == 0
    header, row = capsys.readouterr().out.splitlines()
    assert header.startswith("data_set,architecture,")
    assert row.startswith("digits,AlexNet,completed,")
    assert not Path("runs/comparison.html").exists()


def test_watch_prints_the_table_again_until_ctrl_c(
    tmp_path: Path, make_run: MakeRun, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    runs, waited = tmp_path / "runs", []
    runs.mkdir()

    def sleep(seconds: float) -> None:
        waited.append(seconds)
        if len(waited) == 3:
            raise KeyboardInterrupt
        make_run(runs, "AlexNet", status="running")

    monkeypatch.setattr("time.sleep", sleep)
    assert main(["watch", str(runs), "--every", "5"]) == 0
    assert waited == [5, 5, 5]
    nothing, one, both = capsys.readouterr().out.split("Ctrl-C ends.\n")[:3]
    assert f"{runs} holds no runs yet." in nothing
    assert (one.count(" % so far"), both.count(" % so far")) == (1, 2)


def test_watch_refuses_an_interval_that_is_none(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["watch", "--every", "soon"])
    assert "must be a number of seconds from 1 to 86400, such as 30, not soon" in capsys.readouterr().err


@pytest.mark.parametrize("command", [[], ["table"], ["report", "nowhere"], ["table", "."]])
def test_no_runs_is_one_sentence_with_a_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(command) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("error: ")
    assert captured.err.count("\n") == 1
    assert "make quickstart" in captured.err


def test_only_damaged_runs_are_no_failure(
    tmp_path: Path, make_run: MakeRun, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (make_run(Path("runs")) / "summary.json").write_text("{")
    assert main([]) == 0
    assert "summary.json is not valid JSON" in capsys.readouterr().out


@pytest.mark.usefixtures("two_runs")
@pytest.mark.slow(1)
def test_the_table_needs_neither_training_nor_drawing_libraries() -> None:
    code = (
        "import sys; from comparison.__main__ import main; status = main(['table']);"
        "heavy = {'torch', 'lightning', 'altair', 'numpy', 'pandas'} & set(sys.modules); print(heavy);"
        "sys.exit(status or bool(heavy))"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env={"PYTHONPATH": str(ROOT)}, timeout=60)


@pytest.mark.slow(1)
def test_many_runs_are_read(tmp_path: Path, make_run: MakeRun, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(200):
        make_run(tmp_path, "ResNet-20", seed=number % 5, learning_rate=0.001 * (1 + number // 5), epochs=50)
    assert main(["table", str(tmp_path)]) == 0
    assert capsys.readouterr().out.count("ResNet-20 (lr ") == 40


@pytest.mark.slow(1)
def test_a_reader_that_has_read_enough_is_no_mistake(tmp_path: Path, make_run: MakeRun) -> None:
    for number in range(40):
        make_run(tmp_path, "ResNet-20", seed=1, learning_rate=0.001 * (1 + number))
    code = "import sys; from comparison.__main__ import main; sys.exit(main(['table', sys.argv[1]]))"
    command = f"{shlex.quote(sys.executable)} -c {shlex.quote(code)} {shlex.quote(str(tmp_path))} | exec true"
    done = subprocess.run(
        ["sh", "-c", command], env={"PYTHONPATH": str(ROOT)}, capture_output=True, timeout=60, check=True
    )
    assert done.stderr == b""
