"""How commands end that only read and print, and any command where the terminal knows no letter beyond ASCII."""

import errno
import io
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from architectures.__main__ import main as architectures
from case_studies.__main__ import main as case_studies
from comparison.__main__ import main as comparison
from datamodules.imagenet.__main__ import main as imagenet
from human_test.__main__ import main as human_test
from main import main
from records.failures import exit_status
from tests.faults.small_runs import exhaustive

pytestmark = pytest.mark.faults
ROOT = Path(__file__).parents[2]
STUDY = "degradation"


@pytest.mark.parametrize(
    ("error", "code", "sentence"),
    [
        (ValueError("Name a run."), 2, "error: Name a run."),
        (KeyboardInterrupt(), 130, "Stopped."),
        (BrokenPipeError(errno.EPIPE, "closed"), 0, ""),
        (OSError(errno.ENOSPC, "full", "page.html"), 1, "error: page.html is on a full disk ("),
        (OSError(errno.EROFS, "no", "page.html"), 2, "error: page.html is on a file system that is read-only: "),
        (PermissionError(errno.EACCES, "no", "page.html"), 2, "error: page.html may not be read or written: "),
        (FileNotFoundError(errno.ENOENT, "no", "page.html"), 2, "error: page.html is not there: name another."),
        (IsADirectoryError(errno.EISDIR, "no", "page.html"), 2, "error: page.html is a directory: name a file."),
        (MemoryError(), 1, "error: This machine has not enough memory"),
        (ModuleNotFoundError("No module named 'altair'", name="altair"), 2, "error: altair is not installed"),
        (UnicodeDecodeError("ascii", b"\xc3", 0, 1, "ordinal"), 2, "error: A file or a name has letters"),
    ],
)
def test_what_ends_a_command(
    error: BaseException, code: int, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def command() -> None:
        raise error

    assert exit_status(command) == code
    said = capsys.readouterr().err.strip()
    assert said.startswith(sentence)
    assert "\n" not in said


def test_a_bug_stays_one() -> None:
    with pytest.raises(ZeroDivisionError):
        exit_status(lambda: print(1 / 0))


def test_an_output_that_is_full_is_one_line() -> None:
    code = "import sys; from records.failures import exit_status; sys.exit(exit_status(lambda: print('x' * 100_000)))"
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=ROOT, stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert done.returncode == 1
    assert done.stderr.startswith("error: A file is on a full disk (")
    assert done.stderr.count("\n") == 1


COMMANDS: dict[str, tuple[Callable[[list[str]], int], list[str]]] = {
    "comparison": (comparison, ["report", "nowhere"]),
    "case_studies": (case_studies, ["report", "--output", "file/page.html"]),
    "human_test": (human_test, ["score", "nowhere.json"]),
    "architectures": (architectures, ["nowhere.yaml"]),
    "imagenet": (imagenet, ["show", "nowhere"]),
}


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_ends_with_one_line(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    command, words = COMMANDS[name]
    assert command(words) == 2
    said = capsys.readouterr().err.strip()
    assert said.startswith("error: ")
    assert "\n" not in said


@pytest.fixture
def ascii_terminal(monkeypatch: pytest.MonkeyPatch) -> io.TextIOWrapper:
    terminal = io.TextIOWrapper(io.BytesIO(), encoding="ascii", errors="strict")
    for name in ("stdout", "stderr"):
        monkeypatch.setattr(sys, name, terminal)
    return terminal


@pytest.mark.parametrize("words", [["--help"], ["fit", "--model.help=ResNet"], ["fit", "--model=ResNét"]])
def test_a_terminal_without_other_letters(words: list[str], ascii_terminal: io.TextIOWrapper) -> None:
    with pytest.raises(SystemExit) as ending:
        main(words)
    assert ending.value.code == (2 if words[-1].endswith("t") and len(words) == 2 and "help" not in words[-1] else 0)


@pytest.mark.parametrize("name", ["comparison", "case_studies"])
def test_tables_on_a_terminal_without_other_letters(
    name: str, ascii_terminal: io.TextIOWrapper, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    command = {"comparison": comparison, "case_studies": case_studies}[name]
    assert command(["table", str(ROOT / "results" / "digits")] if name == "comparison" else ["table"]) == 0


FIT = "main.py fit --config configs/base.yaml --config configs/data/digits.yaml --config configs/model/resnet20.yaml"
FIT += " --trainer.max_steps 2 --trainer.limit_val_batches 1 --model.depth 8 --trainer.accelerator cpu"


@pytest.mark.slow(8)
@pytest.mark.parametrize(
    "words",
    [exhaustive(words) for words in (FIT, "main.py fit --help", "-m comparison table results", "-m case_studies")],
)
def test_the_locale_c(words: str, tmp_path: Path) -> None:
    ascii_only = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii"}
    command = [sys.executable, *words.split()]
    command += ["--run_dir", str(tmp_path / "läuft")] if words == FIT else []
    done = subprocess.run(command, cwd=ROOT, env=os.environ | ascii_only, capture_output=True, check=False, timeout=200)
    assert done.returncode == 0, done.stderr[-2000:]
    assert b"UnicodeEncodeError" not in done.stderr
