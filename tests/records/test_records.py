"""What is written is read back; what a reader can do without is None where it makes no sense; damage is named."""

import json
import math
import re
from pathlib import Path
from typing import Any

import pytest

from records import class_errors, gradient_flow, layout, measures
from records.checkpoints import best_checkpoints, digest_path, is_verified, run_of, sha256_of, write_digest
from records.class_errors import ClassErrors
from records.config import arguments_of, class_name, read_config, write_config
from records.files import UnreadableError
from records.gradient_flow import GradientFlow
from records.measures import add_measurement, read_measurements
from records.metrics import append_row, flush_rows, metrics_of, read_metrics, write_metrics
from records.record import fraction, printable, required
from records.summary import Summary

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "results"


@pytest.mark.parametrize("path", sorted(RESULTS.rglob("summary.json")), ids=lambda path: str(path.relative_to(RESULTS)))
def test_a_summary_is_written_as_it_was_read(path: Path, tmp_path: Path) -> None:
    Summary.read(path.parent).write(tmp_path)
    assert (tmp_path / "summary.json").read_bytes() == path.read_bytes()


@pytest.mark.parametrize(
    "path", sorted(RESULTS.rglob("class_errors.json")), ids=lambda path: str(path.relative_to(RESULTS))
)
def test_class_errors_are_written_as_they_were_read(path: Path, tmp_path: Path) -> None:
    errors = ClassErrors.read_if_any(path.parent)
    assert errors is not None
    errors.write(tmp_path)
    assert (tmp_path / "class_errors.json").read_bytes() == path.read_bytes()


def test_gradients_are_written_and_read(tmp_path: Path) -> None:
    flow = GradientFlow(
        layers=["conv1", "fc"], steps=[10, 20], gradient=[[1, 0.5], [math.nan, 2]], gradient_over_weight=[[1, 1]] * 2
    )
    assert GradientFlow.read_if_any(tmp_path) is None
    flow.write(tmp_path)
    assert '"format":1' in (tmp_path / "gradient_flow.json").read_text()
    read = GradientFlow.read_if_any(tmp_path)
    assert read is not None
    assert (read.layers, read.steps) == (flow.layers, flow.steps)
    assert str(read.gradient) == str(flow.gradient)


def test_format_numbers_stand_once() -> None:
    constants = [
        path
        for package in ("records", "experiment", "callbacks", "comparison")
        for path in (ROOT / package).rglob("*.py")
        if re.search(r"^(SUPPORTED_)?FORMAT = ", path.read_text(), re.M)
    ]
    assert constants == [ROOT / "records" / "measures.py"]
    assert {
        model.model_fields["format"].default for model in (Summary, ClassErrors, GradientFlow, measures.Measures)
    } == {1}


SENSELESS = [None, "", 7, -1, True, 0.5, math.nan, math.inf, 10**400, [], [1], {}, {"a": 1}, {"a": {"a": {}}}, "\x1b"]


@pytest.mark.parametrize("value", SENSELESS, ids=repr)
def test_a_summary_bears_any_value_anywhere(value: Any) -> None:
    for field in Summary.model_fields.keys() - {"format"}:
        Summary.of({"format": 1, field: value}, "summary.json")
    for part, field in (("model", "class"), ("model", "parameters"), ("data", "mean"), ("git", "dirty"), ("best", "a")):
        Summary.of({"format": 1, part: {field: value}}, "summary.json")
    summary = Summary.of({"format": 1, "best": {"val/acc1": {"value": value, "epoch": value}}}, "summary.json")
    assert summary.best_accuracy == (value if value in (0.5,) and not isinstance(value, bool) else None)


def test_the_format_comes_first(tmp_path: Path) -> None:
    Summary(command="fit", seed=42).write(tmp_path)
    assert json.loads((tmp_path / "summary.json").read_text()) == {"format": 1, "command": "fit", "seed": 42}
    assert next(iter(Summary(command="fit").plain())) == "format"


def test_values_of_another_kind_are_none() -> None:
    summary = Summary.of(
        {
            "format": 1,
            "seed": True,
            "epochs": -1,
            "images_per_second": 0,
            "wall_time_seconds": math.inf,
            "command": 7,
            "model": {"architecture": "Net\x1b[31m\u202e\nX", "depth": 2.5},
            "data": "digits",
            "versions": {"torch": "2.15.0", "numpy": None},
            "metrics": {"val/acc1": 98.6, "val/loss": "low", "train/loss": 0.1},
            "unknown": {"of": "a later version"},
        },
        "summary.json",
    )
    assert (summary.seed, summary.epochs, summary.images_per_second, summary.wall_time_seconds) == (None,) * 4
    assert (summary.command, summary.model.depth, summary.data.name, summary.hardware, summary.git) == (None,) * 5
    assert summary.model.architecture == "Net\ufffd[31m\ufffd X"
    assert summary.versions == {"torch": "2.15.0"}
    assert summary.metrics == {"val/acc1": 98.6, "train/loss": 0.1}
    assert (summary.last_accuracy, summary.best_accuracy) == (None, None)
    assert summary.plain()["unknown"] == {"of": "a later version"}


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (None, "summary.json is missing"),
        ("[]", "summary.json is not a JSON object"),
        ("{}", "summary.json has format None; this version reads 1"),
        ('{"format": 2}', "summary.json has format 2; this version reads 1"),
    ],
)
def test_a_damaged_summary_is_named(tmp_path: Path, content: str | None, problem: str) -> None:
    if content is not None:
        (tmp_path / "summary.json").write_text(content)
    with pytest.raises(UnreadableError, match=f"^{re.escape(problem)}$"):
        Summary.read(tmp_path)


def test_what_a_reader_cannot_do_without() -> None:
    assert required(0, "seed", "summary.json") == 0
    with pytest.raises(UnreadableError, match=r"^summary.json has no usable data.name$"):
        required(Summary().data.name, "data.name", "summary.json")


@pytest.mark.parametrize(("value", "answer"), [(0.0, 0.0), (1.0, 1.0), (1.1, None), (-0.1, None), (math.nan, None)])
def test_fractions(value: float, answer: float | None) -> None:
    assert fraction(value) == answer


def test_printable_is_one_line() -> None:
    assert printable(" a\t b\nc\x07\ud800 ") == "a b c\ufffd\ufffd"


ERRORS = {
    "format": 1,
    "split": "val",
    "class_names": ["cat", "dog"],
    "counts": [[0, 0, 3], [0, 1, 2]],
    "mistakes": [{"image": 1, "label": 0, "predicted": 1, "probability": 1, "place": [0, 0, 8, 8]}],
}
FLOW = {"format": 1, "layers": ["conv1", "fc"], "steps": [1, 2], "gradient": [[1, 2], [3, 4]]}


@pytest.mark.parametrize(
    ("record", "changes", "problem"),
    [
        (class_errors, {"format": 2}, "has format 2; this version reads 1"),
        (class_errors, {"counts": [[0, 0, 0]]}, "is damaged .*a count of 0"),
        (class_errors, {"counts": [[0, 2, 1]]}, "is damaged .*no name"),
        (class_errors, {"counts": [[-1, 0, 1]]}, "is damaged"),
        (class_errors, {"counts": [[0, 1]]}, "is damaged"),
        (class_errors, {"counts": [[0, 1, 10**400, 4]]}, "is damaged"),
        (class_errors, {"counts": 7}, "is damaged"),
        (class_errors, {"class_names": 7}, "is damaged"),
        (class_errors, {"mistakes": [{}]}, "is damaged"),
        (class_errors, {"mistakes": None}, "is damaged"),
        (gradient_flow, {"format": None}, "has format None; this version reads 1"),
        (gradient_flow, {"steps": []}, "is damaged"),
        (gradient_flow, {"steps": [1]}, "is damaged"),
        (gradient_flow, {"layers": ["conv1"]}, "is damaged"),
        (gradient_flow, {"gradient": [["a", 1], [1, 1]]}, "is damaged"),
        (gradient_flow, {"gradient": None}, "is damaged"),
        (gradient_flow, {"steps": [10, math.inf]}, "is damaged"),
    ],
)
def test_a_damaged_record_is_named(tmp_path: Path, record: Any, changes: dict[str, Any], problem: str) -> None:
    name, whole, read = {
        class_errors: (layout.CLASS_ERRORS, ERRORS, ClassErrors.read_if_any),
        gradient_flow: (layout.GRADIENT_FLOW, FLOW, GradientFlow.read_if_any),
    }[record]
    (tmp_path / name).write_text(json.dumps(whole))
    assert read(tmp_path) is not None  # type: ignore[operator]
    (tmp_path / name).write_text(json.dumps(whole | changes))
    with pytest.raises(UnreadableError, match=f"{name} {problem}"):
        read(tmp_path)  # type: ignore[operator]


def test_a_huge_count_is_read(tmp_path: Path) -> None:
    (tmp_path / layout.CLASS_ERRORS).write_text(json.dumps(ERRORS | {"counts": [[0, 1, 10**400]]}))
    errors = ClassErrors.read_if_any(tmp_path)
    assert errors is not None
    assert errors.counts == [(0, 1, 10**400)]
    assert errors.name_of(1) == "dog"


MEASUREMENT = {
    "split": "val",
    "epoch": 4,
    "step": 500,
    "real_split": "evaluated",
    "real_images": 100,
    "samples": 200,
    "features": {"name": "resnet8", "network": "ResNet-8", "sha256": "ab", "acc1": 0.9},
    "values": {"fid_resnet8": 3.5, "kid_resnet8": math.nan},
}


def test_a_measurement_that_is_taken_again_is_replaced(tmp_path: Path) -> None:
    assert read_measurements(tmp_path) == []
    add_measurement(tmp_path, MEASUREMENT)
    add_measurement(tmp_path, MEASUREMENT | {"step": 600})
    add_measurement(tmp_path, MEASUREMENT | {"values": {"fid_resnet8": 2.5}})
    later, again = read_measurements(tmp_path)
    assert (later.step, later.values) == (600, {"fid_resnet8": 3.5})
    assert (again.step, again.values) == (500, {"fid_resnet8": 2.5})
    assert again.features is not None
    assert (again.features.name, again.features.sha256, again.features.acc1) == ("resnet8", "ab", 0.9)


@pytest.mark.parametrize("content", ["", "[]", '{"format": 1, "measurements": 7}', '{"measurements": [7, null]}'])
def test_measures_that_cannot_be_read_are_begun_anew(tmp_path: Path, content: str) -> None:
    (tmp_path / "measures.json").write_text(content)
    add_measurement(tmp_path, MEASUREMENT)
    assert len(read_measurements(tmp_path)) == 1


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"split": 7}, "is damaged"),
        ({"epoch": -1}, "is damaged"),
        ({"samples": None}, "is damaged"),
        ({"features": {"name": "resnet8"}}, "is damaged"),
        ({"values": None}, "is damaged"),
    ],
)
def test_damaged_measures_are_named(tmp_path: Path, changes: dict[str, Any], problem: str) -> None:
    add_measurement(tmp_path, MEASUREMENT | changes)
    with pytest.raises(UnreadableError, match=f"measures.json {problem}"):
        read_measurements(tmp_path)


def test_metrics_are_written_continued_and_read(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    flush_rows(path)
    write_metrics(path, ["epoch", "step", "val/acc1"], [{"step": 0}, {"epoch": 0, "step": 9, "val/acc1": 0.5}])
    append_row(path, ["epoch", "step", "val/acc1"], {"epoch": 1, "step": 19, "val/acc1": math.nan})
    flush_rows(path)
    metrics = read_metrics(path, needed=("step",))
    assert metrics.columns == ("epoch", "step", "val/acc1")
    assert metrics.rows[0] == ["", "0", ""]
    assert metrics.numbers("epoch") == [None, 0, 1]
    assert str(metrics.numbers("val/acc1")) == "[None, 0.5, nan]"
    assert metrics.numbers("train/loss") == [None] * 3
    assert metrics_of([{"epoch": 1, "step": 0.5}], ["step", "epoch", "loss"], "it").rows == [["0.5", "1", ""]]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "metrics.csv is empty"),
        ("step,loss\n1,2\n3", "metrics.csv ends in the middle of a line"),
        ("step,loss\n1,2\n3\n", "line 3 of metrics.csv has 1 cells instead of 2"),
        ("epoch,loss\n1,2\n", "metrics.csv has no column step"),
        ('step,loss\n"1,2\n', "metrics.csv cannot be read"),
        ("step,loss\n1,\0\n", "line 2 of metrics.csv holds something other than numbers"),
        ("step,loss\n1,2\n2,much\n", "line 3 of metrics.csv holds something other than numbers"),
    ],
)
def test_damaged_metrics_are_named(tmp_path: Path, text: str, problem: str) -> None:
    (tmp_path / "metrics.csv").write_text(text)
    with pytest.raises(UnreadableError, match=problem):
        read_metrics(tmp_path / "metrics.csv", needed=["step"]).numbers("loss")


def test_half_a_line_of_a_growing_file_does_not_count(tmp_path: Path) -> None:
    (tmp_path / "metrics.csv").write_text("step,loss\n1,2\n3")
    assert read_metrics(tmp_path / "metrics.csv", growing=True).rows == [["1", "2"]]
    (tmp_path / "metrics.csv").write_text("step,lo")
    assert read_metrics(tmp_path / "metrics.csv", growing=True)[1:] == ((), [])


def test_a_config_that_differs_is_kept(tmp_path: Path) -> None:
    for text in ("a: 1\n", "a: 1\n", "a: 2\n", "a: 3\n"):
        write_config(tmp_path, text)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {
        "config-1.yaml": "a: 1\n",
        "config-2.yaml": "a: 2\n",
        "config.yaml": "a: 3\n",
    }
    assert read_config(tmp_path) == {"a": 3}


def test_classes_of_a_config() -> None:
    model = {"class_path": "lightning_modules.ResNet", "init_args": {"depth": 20}}
    assert (class_name(model), arguments_of(model), arguments_of({})) == ("ResNet", {"depth": 20}, {})
    for part in (None, {}, {"class_path": 7}, "ResNet"):
        with pytest.raises(UnreadableError, match="names no class"):
            class_name(part)


def test_checkpoints_are_found_and_signed(tmp_path: Path) -> None:
    checkpoint = tmp_path / layout.CHECKPOINTS / "best-0001.ckpt"
    checkpoint.parent.mkdir()
    checkpoint.write_bytes(b"weights")
    assert best_checkpoints(tmp_path) == [checkpoint]
    assert run_of(checkpoint) == run_of(tmp_path) == tmp_path
    assert not is_verified(checkpoint)
    write_digest(checkpoint, sha256_of(checkpoint))
    assert is_verified(checkpoint)
    digest_path(checkpoint).write_bytes(b"\xff")
    assert not is_verified(checkpoint)
