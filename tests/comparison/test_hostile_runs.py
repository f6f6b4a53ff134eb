"""One damaged or hostile run never ends the report of the others, nor does a file that cannot be read to its end."""

import itertools
import json
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from comparison.groups import Comparison, compare
from comparison.page import inline_json, sections_of
from comparison.sources.csv_files import parse_csv_option, read_csv_file
from comparison.table import csv_table, markdown_table, text_table

MakeRun = Callable[..., Path]
HUGE = 10**400
BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]\n" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)
CONTENTS = {
    "nested": '{"format": 1, "a": ' + "[" * 5_000 + "]" * 5_000 + "}",
    "torn": "[" * 100_000,
    "bomb": BOMB,
    "alias of itself": "a: &a [*a]\n",
    "nested checkpoint": "ckpt_path: " + "[" * 3_000 + "]" * 3_000 + "\n",
    "zeros": "\0" * 100,
    "empty": "",
}
FILES = (
    *("summary.json", "config.yaml", "metrics.csv", "class_errors.json", "gradient_flow.json"),
    *("pictures/most_confused.png", "pictures/first_layer_filters.png"),
)


Write = Callable[[Path], object]


def write_records(directory: Path) -> None:
    """Every file that the page looks for in a run."""
    mistake = {"image": 0, "label": 0, "predicted": 1, "probability": 0.9, "place": [0, 0, 8, 8]}
    errors = {"format": 1, "split": "val", "class_names": None, "counts": [[0, 1, 2], [1, 1, 3]], "mistakes": [mistake]}
    (directory / "class_errors.json").write_text(json.dumps(errors))
    gradients = {"format": 1, "layers": ["conv", "fc"], "steps": [1, 2], "gradient": [[1.0, 2.0], [2.0, 1.0]]}
    (directory / "gradient_flow.json").write_text(json.dumps(gradients))
    (directory / "pictures").mkdir()
    for name in ("most_confused", "first_layer_filters"):
        Image.new("RGB", (16, 16)).save(directory / "pictures" / f"{name}.png")


@pytest.fixture
def report_with(tmp_path: Path, make_run: MakeRun) -> Callable[[Iterable[tuple[str, Write]]], Comparison]:
    """The report of a good run beside one for each way of writing a file; one report of all, for drawing takes long."""

    def report(ways: Iterable[tuple[str, Write]]) -> Comparison:
        make_run(tmp_path, "AlexNet", epochs=2)
        for seed, (name, write) in enumerate(ways):
            directory = make_run(tmp_path, "ResNet-20", seed, epochs=2)
            write_records(directory)
            (directory / name).parent.mkdir(exist_ok=True)
            (directory / name).unlink(missing_ok=True)
            write(directory / name)
        return report_of(tmp_path)

    return report


def report_of(runs: Path) -> Comparison:
    """All tables and sections, which must tell of the good run."""
    comparison = compare([runs])
    for table in (text_table, markdown_table, csv_table):
        assert "AlexNet" in table(comparison)
    sections = sections_of(comparison, runs / "page.html")
    asked = [answer for section in sections for _, answer in section.answers()]
    for answer in asked:
        for chart in answer.charts:
            inline_json(chart.specification)  # which knows no infinities
    assert "AlexNet" in "".join(answer.html for answer in asked)
    return comparison


def writing(text: str) -> Write:
    return lambda path: path.write_text(text)


@pytest.mark.slow(4)
def test_any_file_may_hold_anything(report_with: Callable[..., Comparison]) -> None:
    report_with((name, writing(content)) for name in FILES for content in CONTENTS.values())


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes")
@pytest.mark.slow(4)
def test_any_file_may_be_none(report_with: Callable[..., Comparison]) -> None:
    kinds = (os.mkfifo, os.mkdir, lambda path: path.symlink_to("/dev/zero"), lambda path: path.symlink_to(path))
    report_with((name, kind) for name in (*FILES, "wandb/run-x.wandb") for kind in kinds)


def with_value(record: Any, path: tuple[Any, ...], value: Any) -> Any:
    """The record with another value at a path."""
    if not path:
        return value
    copy = list(record) if isinstance(record, list) else dict(record)
    copy[path[0]] = with_value(copy[path[0]], path[1:], value)
    return copy


def paths_in(record: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where the values of a record stand; of a list, the first."""
    parts = record.items() if isinstance(record, dict) else enumerate(record[:1]) if isinstance(record, list) else ()
    return [path, *(place for key, part in parts for place in paths_in(part, (*path, key)))]


@pytest.mark.slow(6)
def test_any_value_may_be_beyond_all_measure(
    tmp_path: Path, make_run: MakeRun, report_with: Callable[..., Comparison]
) -> None:
    example = make_run(tmp_path / "example")
    write_records(example)
    ways = []
    for name in ("summary.json", "class_errors.json", "gradient_flow.json"):
        record = json.loads((example / name).read_text())
        values = [with_value(record, path, value) for path in paths_in(record)[1:] for value in (HUGE, 1e308)]
        ways += [(name, writing(json.dumps(value))) for value in values]
    report_with(ways)


@pytest.mark.slow(6)
def test_any_number_may_be_logged(tmp_path: Path, make_run: MakeRun, report_with: Callable[..., Comparison]) -> None:
    header, *lines = (make_run(tmp_path / "example") / "metrics.csv").read_text().splitlines()
    tables = []
    for cell in ("1" * 400, "1e308", "-1e308", "nan", "-inf", "1e-320", "-1", "1.2.3", "1_0"):
        for number, column in itertools.product((1, len(lines) - 1), range(len(header.split(",")))):
            cells = lines[number].split(",")
            cells[column] = cell
            tables.append("\n".join([header, *lines[:number], ",".join(cells), *lines[number + 1 :]]) + "\n")
    report_with(("metrics.csv", writing(table)) for table in tables)


def test_runs_of_which_none_counts_make_a_report(tmp_path: Path, make_run: MakeRun) -> None:
    make_run(tmp_path, "AlexNet", status="failed")
    assert report_of(tmp_path).groups == {}


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes")
@pytest.mark.parametrize("content", [BOMB, "seed: " + "[" * 3_000, "\xff", None])
def test_arguments_beside_a_csv_may_be_hostile(tmp_path: Path, content: str | None) -> None:
    (tmp_path / "summary.csv").write_text("epoch,eval_top1\n0,50\n")
    path = tmp_path / "args.yaml"
    os.mkfifo(path) if content is None else path.write_text(content, encoding="latin-1")
    facts = ("architecture=A", "data=d", "train_images=10", "val_images=10")
    file = parse_csv_option([str(tmp_path / "summary.csv"), *facts])
    assert read_csv_file(file).problem is None
    (tmp_path / "summary.csv").unlink()
    os.mkfifo(tmp_path / "summary.csv")
    with pytest.raises(ValueError, match="not a regular file"):
        read_csv_file(file)


def test_what_a_refused_command_left_is_not_listed(tmp_path: Path, make_run: MakeRun) -> None:
    make_run(tmp_path, "AlexNet")
    for name, summary in (("refused", None), ("before", "")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.yaml").write_text("seed_everything: 1\n")
        if summary is not None:
            (tmp_path / name / "summary.json").write_text(summary)
    assert report_of(tmp_path).unreadable == []
