"""The W&B file that a run left offline, read without the run's directory."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from comparison.configuration import Selection
from comparison.groups import compare
from comparison.runs import WANDB_FILE, Run
from comparison.sources import read_runs
from tests.experiment.wandb_server import end_of_process

pytestmark = [pytest.mark.slow(1), pytest.mark.xdist_group("the W&B file of a run")]

ROOT = Path(__file__).parents[2]
CONFIGS = ("base.yaml", "data/digits.yaml", "model/resnet20.yaml", "quickstart.yaml")
SHORT = ("--trainer.max_epochs=2", "--trainer.limit_train_batches=1", "--model.depth=8")


@pytest.fixture(scope="module")
def run_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the real command line leaves with W&B offline."""
    from main import main

    end_of_process()  # a service of W&B's from an earlier test would write relative to the folder of that test
    folder = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.chdir(folder)
        monkeypatch.setattr("sys.argv", ["main.py"])
        files = [word for name in CONFIGS for word in ("--config", str(ROOT / "configs" / name))]
        main(["fit", *files, *SHORT, "--run_dir", "the_run"])
    end_of_process()
    return folder / "the_run"


@pytest.fixture
def wandb_file(run_directory: Path, tmp_path: Path) -> Path:
    """The run's W&B file, alone in another folder."""
    (original,) = run_directory.glob("wandb/offline-run-*/run-*.wandb")
    return Path(shutil.copy(original, tmp_path))


def only_run(*paths: Path) -> Run:
    (run,), unreadable = read_runs(paths)
    assert unreadable == []
    return run


def facts_of(run: Run) -> list[object]:
    """What the comparison tells of a run's summary, besides its time."""
    summary, model = run.summary, run.summary.model
    parameters = [getattr(model.parameters, kind) for kind in ("conv", "fc", "total")]
    facts = [*parameters, model.multiply_adds, model.depth, model.discriminator_parameters.total, run.is_gan]
    facts += [summary.best_accuracy, summary.best_of("val/acc1").epoch, summary.last_accuracy, run.hardware, run.commit]
    names = ("status", "command", "seed", "epochs", "global_batch_size", "precision", "images_per_second", "started")
    return [*facts, *(getattr(summary, name) for name in (*names, "versions", "wandb_id"))]


def test_the_file_tells_what_the_directory_tells(run_directory: Path, wandb_file: Path) -> None:
    expected, run = only_run(run_directory), only_run(wandb_file)
    assert run.problem is None
    assert run.source == WANDB_FILE
    assert run.summary.wall_time_seconds == pytest.approx(expected.summary.wall_time_seconds, abs=5)
    assert facts_of(run) == facts_of(expected)
    assert run.history().curve == expected.history().curve
    kept = {"directory": wandb_file, "source": WANDB_FILE, "config": run.config, "summary": run.summary}
    assert run == replace(expected, **kept)
    assert "class_path: torch.optim.SGD" in run.config


def test_the_file_of_a_run_that_is_read_counts_once(run_directory: Path, wandb_file: Path) -> None:
    assert only_run(run_directory, wandb_file).directory == run_directory
    assert only_run(wandb_file, run_directory).directory == run_directory


def test_a_copy_of_a_file_counts_once(wandb_file: Path, tmp_path: Path) -> None:
    copy = tmp_path / "older" / wandb_file.name
    copy.parent.mkdir()
    copy.write_bytes(wandb_file.read_bytes()[:-2_000])
    assert only_run(copy, wandb_file).summary.status == "completed"


def test_a_file_is_chosen_by_the_group_and_tags_that_it_was_given(wandb_file: Path) -> None:
    assert len(read_runs([wandb_file], Selection(("digits",), ("digits", "ResNet-8")))[0]) == 1
    assert read_runs([wandb_file], Selection(tags=("AlexNet",))) == ([], [])


def test_a_truncated_file_is_an_unfinished_run_with_what_is_whole(wandb_file: Path) -> None:
    whole = wandb_file.read_bytes()
    wandb_file.write_bytes(whole[: whole.rindex(b"wall_time_seconds")])
    run = only_run(wandb_file)
    assert (run.summary.status, run.problem) == ("running", "still running, or killed before it could say so")
    assert len(run.history().curve) == 2


def test_any_prefix_of_a_file_is_survived(wandb_file: Path) -> None:
    whole = wandb_file.read_bytes()
    for length in range(0, len(whole), len(whole) // 20):
        wandb_file.write_bytes(whole[:length])
        runs, unreadable = read_runs([wandb_file])
        assert [run.problem is None for run in [*runs, *unreadable]] == [False]


def test_a_file_that_is_corrupt_within_is_named(wandb_file: Path) -> None:
    whole = bytearray(wandb_file.read_bytes())
    at = whole.rindex(b"val/acc5")
    whole[at : at + 8] = b"XXXXXXXX"
    wandb_file.write_bytes(whole)
    problem = only_run(wandb_file).problem
    assert problem is not None
    assert problem.endswith("part of the W&B file is corrupt")


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"not a log at all", "no W&B file, or of a version that wandb cannot read"),
        (b"", "the file breaks off before it names its run"),
        (b":W&", "the file breaks off before it names its run"),
    ],
)
def test_what_is_no_wandb_file_is_named(tmp_path: Path, content: bytes, problem: str) -> None:
    (tmp_path / "run-x.wandb").write_bytes(content)
    comparison = compare([tmp_path])
    (unreadable,) = comparison.unreadable
    assert unreadable.problem.startswith(problem)
