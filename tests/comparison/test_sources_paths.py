import os
from collections.abc import Callable
from pathlib import Path

import pytest

from comparison.__main__ import main
from comparison.configuration import Filing, Selection, parse_configuration
from comparison.sources import read_runs
from comparison.sources.paths import find_run_paths

MakeRun = Callable[..., Path]
LOGGER = "trainer:\n  logger:\n  - class_path: experiment.wandb_logger.ResilientWandbLogger\n    init_args:\n"


def with_filing(directory: Path, group: str, *tags: str) -> Path:
    """The run with these settings of its W&B logger."""
    lines = [f"      group: {group}\n      tags:\n", *(f"      - {tag}\n" for tag in tags)]
    (directory / "config.yaml").write_text(LOGGER + "".join(lines))
    return directory


def test_run_directories_are_found_once_and_never_inside_one(tmp_path: Path, make_run: MakeRun) -> None:
    directory = make_run(tmp_path)
    for inner in ("wandb/run-1/files", "checkpoints/old"):
        (directory / inner).mkdir(parents=True)
        (directory / inner / "config.yaml").write_text("a: 1\n")
    assert find_run_paths([tmp_path, directory, tmp_path / "digits"]).directories == [directory]


def test_a_stray_file_hides_no_runs(tmp_path: Path, make_run: MakeRun) -> None:
    (tmp_path / "config.yaml").write_text("a: 1\n")
    directory = make_run(tmp_path)
    assert find_run_paths([tmp_path]).directories == [tmp_path, directory]


def test_a_wandb_file_belongs_to_its_run_directory(tmp_path: Path, make_run: MakeRun) -> None:
    directory = make_run(tmp_path)
    offline = directory / "wandb" / "offline-run-1-x"
    offline.mkdir(parents=True)
    (offline / "run-x.wandb").touch()
    alone = tmp_path / "copied" / "run-y.wandb"
    alone.parent.mkdir()
    alone.touch()
    found = find_run_paths([tmp_path, offline / "run-x.wandb", alone])
    assert (found.directories, found.wandb_files) == ([directory], [alone])
    assert find_run_paths([offline]).wandb_files == [offline / "run-x.wandb"]


def test_without_a_summary_the_wandb_file_speaks_for_the_run(tmp_path: Path, make_run: MakeRun) -> None:
    directory = make_run(tmp_path)
    (directory / "summary.json").unlink()
    file = directory / "wandb" / "offline-run-1-x" / "run-x.wandb"
    file.parent.mkdir(parents=True)
    file.touch()
    found = find_run_paths([tmp_path])
    assert (found.directories, found.wandb_files) == ([], [file])


def test_patterns_that_no_shell_expanded(
    tmp_path: Path, make_run: MakeRun, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for architecture in ("ResNet-20", "AlexNet", "VGG-16"):
        make_run(Path("runs"), architecture)
    assert main(["table", "--format", "csv", "runs/*/[ar]*", "runs/digits/alexnet"]) == 0
    rows = capsys.readouterr().out.splitlines()[1:]
    assert {row.split(",")[1] for row in rows} == {"ResNet-20", "AlexNet"}
    assert len(rows) == 2


def test_a_folder_may_be_called_like_a_pattern(tmp_path: Path, make_run: MakeRun) -> None:
    make_run(tmp_path / "runs[1]")
    assert len(find_run_paths([tmp_path / "runs[1]"]).directories) == 1


@pytest.mark.parametrize("path", ["nowhere", "runs/*/nothing"])
def test_a_path_that_leads_nowhere_is_named(path: str) -> None:
    with pytest.raises(ValueError, match="does not exist: train something first"):
        find_run_paths([path])


@pytest.mark.parametrize(
    ("selection", "expected"),
    [
        (Selection(), {1, 2, 3}),
        (Selection(groups=("ablation",)), {1, 2}),
        (Selection(groups=("ablation", "digits")), {1, 2, 3}),
        (Selection(tags=("wide",)), {2}),
        (Selection(groups=("ablation",), tags=("narrow", "wide")), set()),
        (Selection(tags=("ResNet-20", "digits")), {3}),
    ],
)
def test_runs_are_chosen_by_group_and_tag(
    tmp_path: Path, make_run: MakeRun, selection: Selection, expected: set[int]
) -> None:
    with_filing(make_run(tmp_path, seed=1), "ablation", "narrow")
    with_filing(make_run(tmp_path, seed=2), "ablation", "wide")
    make_run(tmp_path, seed=3)  # what the command line gives to a run without settings
    assert {run.summary.seed for run in read_runs([tmp_path], selection)[0]} == expected


def test_runs_that_are_not_wanted_are_not_named_either(tmp_path: Path, make_run: MakeRun) -> None:
    make_run(tmp_path, change=lambda summary: summary["model"].update({"class": "lightning_modules.gan.module.GAN"}))
    assert read_runs([tmp_path], Selection(groups=("ablation",))) == ([], [])


def test_labels_are_those_of_the_logger_among_several() -> None:
    text = "trainer:\n  logger:\n  - class_path: CSVLogger\n  - class_path: WandbLogger\n    init_args: {group: g}\n"
    assert parse_configuration(text, "run")[1].completed("digits", "NiN") == Filing("g", ("digits", "NiN"))


@pytest.mark.parametrize("logger", ["false", "true", "[1]", "{class_path: WandbLogger}", "null"])
def test_any_logger_setting_is_survived(logger: str) -> None:
    _, filing = parse_configuration(f"trainer:\n  logger: {logger}\n", "run")
    assert filing.completed("digits", None) == Filing("digits", ("digits",))


def test_options_reach_the_table(
    tmp_path: Path, make_run: MakeRun, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    make_run(Path("runs"), "ResNet-20")
    make_run(Path("runs"), "AlexNet")
    assert main(["table", "--tag", "AlexNet"]) == 0
    table = capsys.readouterr().out
    assert "AlexNet" in table
    assert "ResNet-20" not in table
    assert main(["table", "--group", "other", "--tag", "AlexNet"]) == 2
    assert "runs holds no runs of group other and tag AlexNet" in capsys.readouterr().err


@pytest.mark.skipif(not hasattr(os, "symlink"), reason="needs links")
def test_a_run_is_read_once_through_a_link(tmp_path: Path, make_run: MakeRun) -> None:
    directory = make_run(tmp_path / "runs")
    (tmp_path / "latest").symlink_to(directory, target_is_directory=True)
    assert find_run_paths([tmp_path / "runs", tmp_path / "latest"]).directories == [directory]
