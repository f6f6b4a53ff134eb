from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from comparison.groups import compare
from comparison.runs import Run
from comparison.sources import read_runs

MakeRun = Callable[..., Path]
NO_NUMBERS = "of metrics.csv holds something other than numbers"


def best_epoch_of(run: Run) -> int | None:
    """Counted from 1."""
    epoch = run.summary.best_of("val/acc1").epoch
    return None if epoch is None else epoch + 1


def test_a_run_is_read_whole(tmp_path: Path, make_run: MakeRun) -> None:
    directory = make_run(tmp_path, "ResNet-20", 7, epochs=10)
    (run,), unreadable = read_runs([tmp_path])
    assert unreadable == []
    assert run.problem is None
    assert (run.directory, run.architecture, run.summary.seed, run.summary.epochs) == (directory, "ResNet-20", 7, 10)
    parameters = run.summary.model.parameters
    assert (parameters.conv, parameters.fc, parameters.total) == (267_696, 650, 269_722)
    assert run.summary.model.multiply_adds == 40_551_040
    curve, best = run.history().curve, run.summary.best_accuracy
    assert best == max(point.accuracy for point in curve if point.accuracy is not None)
    assert best_epoch_of(run) == next(point.epoch for point in curve if point.accuracy == best)
    assert run.hardware == "AMD EPYC 9R14, 2 cores"
    assert run.commit == "0123456789"
    assert len(curve) == 10


def test_a_gan_has_no_accuracy_to_compare(tmp_path: Path, make_run: MakeRun) -> None:
    make_run(tmp_path, change=lambda summary: summary["model"].update({"class": "lightning_modules.gan.module.GAN"}))
    (run,), unreadable = read_runs([tmp_path])
    assert (unreadable, run.is_gan, run.summary.best_accuracy is None) == ([], True, False)
    comparison = compare([tmp_path])
    assert (comparison.groups, comparison.left_out, comparison.unreadable) == ({}, [], [])


@pytest.mark.parametrize("command", ["validate", "test", "predict"])
def test_only_training_is_compared(tmp_path: Path, make_run: MakeRun, command: str) -> None:
    make_run(tmp_path, change=lambda summary: summary.update(command=command))
    assert read_runs([tmp_path]) == ([], [])


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (None, "summary.json is missing"),
        (b"", "summary.json is not valid JSON"),
        (b'{"format": 1, "status": "comp', "summary.json is not valid JSON"),
        (b"\x00\xff" * 40, "summary.json is not valid JSON"),
        (b"[" * 100_000, "summary.json is not valid JSON"),
        (b"[]", "summary.json is not a JSON object"),
        (b'{"format": 2, "command": "fit"}', "summary.json has format 2; this version reads 1"),
        (b'{"format": 1, "command": "fit"}', "summary.json has no usable data.name"),
    ],
)
def test_a_damaged_summary_is_named(tmp_path: Path, make_run: MakeRun, content: bytes | None, problem: str) -> None:
    path = make_run(tmp_path) / "summary.json"
    path.unlink() if content is None else path.write_bytes(content)
    runs, (unreadable,) = read_runs([tmp_path])
    assert runs == []
    assert (unreadable.directory, unreadable.problem) == (path.parent, problem)


def without_best(summary: dict[str, Any]) -> None:
    summary["best"] = {}


def enormous_best(summary: dict[str, Any]) -> None:
    summary["best"]["val/acc1"]["value"] = 10**400


def impossible_best(summary: dict[str, Any]) -> None:
    summary["best"]["val/acc1"]["value"] = 98.6


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"status": "running"}, "still running, or killed before it could say so"),
        ({"status": "failed", "error": "loss is\n  NaN"}, "failed: loss is NaN"),
        ({"status": "interrupted"}, "interrupted"),
        ({"change": without_best}, "summary.json has no best val/acc1 between 0 and 1 on at least one image"),
        ({"change": enormous_best}, "summary.json has no best val/acc1 between 0 and 1 on at least one image"),
        ({"change": impossible_best}, "summary.json has no best val/acc1 between 0 and 1 on at least one image"),
    ],
)
def test_a_run_that_does_not_count_says_why(
    tmp_path: Path, make_run: MakeRun, options: dict[str, Any], problem: str
) -> None:
    make_run(tmp_path, **options)
    (run,), _ = read_runs([tmp_path])
    assert run.problem == problem


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("metrics.csv", b"", "metrics.csv is empty"),
        ("metrics.csv", b"epoch,step,images_seen,val/acc1\n0,1,2,0.5\n1,", "metrics.csv ends in the middle of a line"),
        ("metrics.csv", b"epoch,step,images_seen,val/acc1\n", "metrics.csv holds no val/acc1"),
        ("metrics.csv", b"epoch,step,images_seen,val/acc1\n0,-1,2,0.5\n", f"line 2 {NO_NUMBERS}"),
        ("metrics.csv", b"epoch,step,images_seen,val/acc1\n0,1,inf,0.5\n", f"line 2 {NO_NUMBERS}"),
        ("config.yaml", b"trainer: [1", "config.yaml is not valid YAML"),
        ("config.yaml", b"a: !!python/object/apply:os.getcwd []\n", "config.yaml is not valid YAML"),
        ("config.yaml", b"- 1\n", "config.yaml is not a mapping"),
        ("config.yaml", b"a: &again [*again]\n", "config.yaml is not valid YAML"),
        ("config.yaml", b"\xff\xfe", "config.yaml cannot be read (it is not a text in UTF-8)"),
    ],
)
def test_a_damaged_file_beside_the_summary_is_named(
    tmp_path: Path, make_run: MakeRun, name: str, content: bytes, problem: str
) -> None:
    (make_run(tmp_path) / name).write_bytes(content)
    (run,), _ = read_runs([tmp_path])
    assert run.problem == problem


def test_any_prefix_of_any_file_is_survived(tmp_path: Path, make_run: MakeRun) -> None:
    directory = make_run(tmp_path, epochs=2)
    for name in ("summary.json", "metrics.csv", "config.yaml"):
        whole = (directory / name).read_bytes()
        for length in range(0, len(whole), 37):
            (directory / name).write_bytes(whole[:length])
            runs, unreadable = read_runs([tmp_path])
            assert len(runs) + len(unreadable) == 1
        (directory / name).write_bytes(whole)


def test_control_characters_do_not_reach_a_terminal(tmp_path: Path, make_run: MakeRun) -> None:
    make_run(tmp_path, change=lambda summary: summary["model"].update(architecture="Net\x1b[31m\u202e\nX"))
    (run,), _ = read_runs([tmp_path])
    assert run.architecture == "Net\ufffd[31m\ufffd X"
