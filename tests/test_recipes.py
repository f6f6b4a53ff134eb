"""What docs/adding.md says of adding things works as printed, in a copy of the checkout."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.comparison.conftest import write_run

ROOT = Path(__file__).parents[1]
COPIED = (
    *(
        "records",
        "lightning_modules",
        "datamodules",
        "callbacks",
        "experiment",
        "architectures",
        "comparison",
        "case_studies",
    ),
    *("human_test", "configs", "tests", "main.py", "pyproject.toml"),
)
BLOCK = re.compile(r"^```(python|yaml|diff)\n# (\S+\.(?:py|yaml))\n(.*?)^```$", re.M | re.S)
# What makes a training short: two steps, an evaluation of one batch, no W&B.
SHORT = (
    *("--trainer.max_epochs", "1", "--trainer.limit_train_batches", "2", "--trainer.limit_val_batches", "1"),
    *("--trainer.limit_test_batches", "1", "--data.batch_size", "8", "--trainer.accelerator", "cpu"),
    *("--trainer.logger", "experiment.csv_logger.ResumableCSVLogger", "--run_dir", "run"),
)
# A process that has imported the libraries, none of our packages; it forks another for the commands of each checkout.
RUN = """
import contextlib, gc, io, json, os, runpy, sys
import altair, lightning.pytorch.cli, sklearn.datasets, torch, torchvision, wandb
gc.freeze()

def results(commands):
    for module, *words in commands:
        sys.argv = [module, *words]
        out, err, code = io.StringIO(), io.StringIO(), 0
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                runpy.run_module(module, run_name="__main__", alter_sys=True)
            except SystemExit as end:
                code = end.code or 0
        yield code, out.getvalue(), err.getvalue()

for line in sys.stdin:
    folder, commands = json.loads(line)
    if os.fork() == 0:
        try:
            os.chdir(folder)
            print(json.dumps(list(results(commands))), flush=True)
        finally:
            os._exit(0)
    os.wait()
    print("end", flush=True)
gc.unfreeze()
"""

pytestmark = [pytest.mark.slow(6), pytest.mark.xdist_group("recipes")]


class Result(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str


Run = Callable[..., list[Result]]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy to write into."""
    folder = tmp_path / "checkout"
    folder.mkdir()
    for name in COPIED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, folder / name)
    return folder


def follow(section: str, checkout: Path) -> list[str]:
    """Do what a section prints: write its files, add its lines. Returns the names of the files that are new."""
    new, lines = [], 0
    for language, name, content in BLOCK.findall(section):
        file = checkout / name
        if language == "diff":
            marked = content.splitlines(keepends=True)
            before, after = "".join(line[1:] for line in marked if line[0] == " "), "".join(line[1:] for line in marked)
            assert file.read_text().count(before) == 1, f"{name} has no such place: {before}"
            file.write_text(file.read_text().replace(before, after))
            lines += len([line for line in marked if line[0] == "+"])
        else:
            assert not file.exists()
            file.write_text(f"# {name}\n{content}" if language == "yaml" else content)
            new.append(name)
    assert len([name for name in new if name.endswith(".py") and not name.startswith("tests/")]) == 1
    assert lines <= 1, "more than one line in a list"
    python = [name for _, name, _ in BLOCK.findall(section) if name.endswith(".py")]
    for words in (["check"], ["format", "--check"]):
        lint = [sys.executable, "-m", "ruff", *words, "--no-cache", "--quiet", *python]
        assert subprocess.run(lint, cwd=checkout, capture_output=True, text=True, check=False).stdout == ""
    return new


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """Type commands, each a module and its words, in a checkout."""
    with subprocess.Popen(
        [sys.executable, "-c", RUN],
        cwd=tmp_path_factory.mktemp("empty"),
        env={**os.environ, "TRUSTED_IMPORTS": "my_package"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin and process.stdout  # noqa: PT018

        def type_in(checkout: Path, *commands: Sequence[str]) -> list[Result]:
            print(json.dumps([str(checkout), commands]), file=process.stdin, flush=True)
            *_, results = iter(process.stdout.readline, "end\n")  # type: ignore[union-attr]
            return [Result(*result) for result in json.loads(results)]

        yield type_in


def section_of(page: str, heading: str) -> str:
    """A part of a page."""
    (section,) = re.findall(rf"^## {heading}\n(.*?)(?=^## |\Z)", (ROOT / page).read_text(), re.M | re.S)
    return section


def fit(section: str, *more: str) -> list[str]:
    """The command that a section prints, for two steps."""
    (words,) = re.findall(r"^(?:#\s+)?python main\.py (fit .*)$", section, re.M)
    return ["main", *shlex.split(words), *SHORT, *more]


def pytest_of(*words: str) -> list[str]:
    """The command that runs tests."""
    return ["pytest", "-q", "-p", "no:cacheprovider", *words]


def test_an_architecture(checkout: Path, run: Run) -> None:
    section, config = section_of("docs/adding.md", "An architecture"), "configs/model/mynet.yaml"
    assert follow(section, checkout) == ["lightning_modules/mynet.py", config]
    trained, refused, exported, again, several, one, tests = run(
        checkout,
        fit(section),
        fit(section, "--model.weights", "nowhere.pth", "--run_dir", "refused"),
        ["experiment.export", "run", "exported"],
        fit(section, "--model.weights", "exported", "--run_dir", "again"),
        ["architectures", config, "configs/model/resnet20.yaml", "configs/model/vgg11_32.yaml"],
        ["architectures", config, "--format", "csv"],
        pytest_of("tests/architectures", "-k", "MyNet or exported"),
    )
    assert trained.code == 0, trained.err
    summary = json.loads((checkout / "run" / "summary.json").read_text())
    assert (summary["steps"], summary["model"]["architecture"]) == (2, "MyNet")
    assert refused.code == 2
    assert refused.err.splitlines()[-1].startswith("error: There are no weights nowhere.pth: give a file")
    assert not (checkout / "refused").exists()
    assert (exported.code, "MyNet is in exported." in exported.out) == (0, True), exported.err
    assert again.code == 0, again.err
    assert "weights: exported" in (checkout / "again" / "config.yaml").read_text()
    rows = [line.split()[0] for line in several.out.splitlines() if "3x32x32" in line or "3x224x224" in line]
    assert [Path(row).stem for row in rows] == ["vgg11_32", "resnet20", "mynet"]
    assert "features,conv 3x3,conv,128x" in one.out
    assert tests.code == 0, tests.out
    assert "2 passed" in tests.out


def test_a_callback(checkout: Path, run: Run) -> None:
    section = section_of("docs/adding.md", "A callback")
    file, test = follow(section, checkout)
    (checkout / "my_package").mkdir()
    shutil.copy(checkout / file, checkout / "my_package" / "own.py")
    by_path = [word.replace("=WeightNorm", "=my_package.own.WeightNorm") for word in fit(section, "--run_dir", "own")]
    unknown = [word.replace("=WeightNorm", "=Zigzag") for word in fit(section, "--run_dir", "refused")]
    by_name, own, refused, tests = run(checkout, fit(section), by_path, unknown, pytest_of(test))
    for result, folder in ((by_name, "run"), (own, "own")):
        assert result.code == 0, result.err
        assert "train/weight_norm" in (checkout / folder / "metrics.csv").read_text()
    assert refused.code == 2
    assert "Zigzag is not a known class: give its full path, such as my_package.my_module.Zigzag" in refused.err
    assert "1 passed" in tests.out, tests.out


def test_a_data_set(checkout: Path, run: Run) -> None:
    section = section_of("docs/adding.md", "A data set")
    file, config, test = follow(section, checkout)
    assert (file, config) == ("datamodules/stripes.py", "configs/data/stripes.yaml")
    again = ["experiment.export", "run", "exported"]
    trained, exported, tests = run(
        checkout, fit(section), again, pytest_of(test, "tests/test_configs.py", "-k", "stripes or Stripes")
    )
    assert trained.code == 0, trained.err
    data = json.loads((checkout / "run" / "summary.json").read_text())["data"]
    assert (data["name"], data["train_images"], data["val_images"], data["test_images"]) == ("stripes", 900, 100, 200)
    assert exported.code == 0, exported.err
    assert json.loads((checkout / "exported" / "config.json").read_text())["class_names"] == ["upright", "level"]
    assert "3 passed" in tests.out, tests.out


def test_a_chart_of_the_page(checkout: Path, run: Run) -> None:
    section = section_of("docs/adding.md", "A chart of the comparison's page")
    file, test = follow(section, checkout)
    assert file == "comparison/questions/training_time.py"
    for architecture in ("ResNet-20", "VGG-16"):
        write_run(checkout / "runs", architecture)
    (words,) = re.findall(r"^python -m (comparison .*)$", section, re.M)
    report, tests = run(checkout, words.split(), pytest_of(test, "tests/comparison/test_questions.py"))
    assert report.code == 0, report.err
    page = (checkout / "runs" / "comparison.html").read_text()
    assert "How long did a training take?" in page
    assert "The longest of digits is VGG-16: " in page
    assert tests.code == 0, tests.out


def test_a_network_of_a_gan(checkout: Path, run: Run) -> None:
    section = section_of("docs/adding.md", "A GAN's network")
    file, test = follow(section, checkout)
    assert file == "lightning_modules/gan/networks/linear.py"
    trained, tests = run(checkout, fit(section, "--data.val_size", "297"), pytest_of(test))
    assert trained.code == 0, trained.err
    assert json.loads((checkout / "run" / "summary.json").read_text())["steps"] == 2
    assert "2 passed" in tests.out, tests.out
