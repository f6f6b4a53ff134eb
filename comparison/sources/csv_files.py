"""Learning curves of other tools: a CSV file with a row an epoch, and what the file does not say told beside it.

timm's train.py leaves summary.csv, which is recognized, and args.yaml, what it was started with. Lightning's CSVLogger
leaves metrics.csv, a wide table with a row for each call of log, and hparams.yaml.
"""

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from comparison.configuration import parse_configuration
from comparison.runs import CSV_FILE, Run, make_run, results_of
from records.curves import history_of
from records.files import UnreadableError, read_text, read_yaml
from records.metrics import LARGEST
from records.summary import COMPLETED, TEST_ACCURACY, Summary

COLUMNS = ("epoch", "accuracy", "train_loss", "images_seen")
TEXTS = ("architecture", "data", "selection_split", "percent")
NUMBERS = ("train_images", "val_images", "test_images", "seed", "parameters", "multiply_adds", "depth")
NEEDED = ("architecture", "data", "train_images", "val_images")
KEYS = (*COLUMNS, *TEXTS, *NUMBERS)
# Epochs are counted from 0, accuracies are in per cent.
TIMM_COLUMNS = {"epoch": "epoch", "accuracy": "eval_top1", "train_loss": "train_loss"}
BOOKKEEPING = frozenset({"output", "experiment", "workers", "log_interval", "log_wandb"})
HPARAMS = "hparams.yaml"
# What people call these columns; Lightning adds _epoch where a value is logged by step, too.
USUAL_COLUMNS = {
    "accuracy": ("val/acc1", "val_acc1", "val/acc", "val_acc", "val/accuracy", "val_accuracy", "val/top1", "val_top1"),
    "train_loss": ("train/loss_epoch", "train_loss_epoch", "train/loss", "train_loss", "loss_epoch", "loss"),
    "test_accuracy": ("test/acc1", "test_acc1", "test/acc", "test_acc", "test/accuracy", "test_accuracy", "test_top1"),
}

Rows = Sequence[Mapping[str, str]]


@dataclass(frozen=True)
class CsvFile:
    """A CSV file with what was said of it: names of its columns, and facts that it does not hold."""

    path: Path
    facts: Mapping[str, str]


def parse_csv_option(words: Sequence[str]) -> CsvFile:
    """The option `--csv FILE KEY=VALUE …`.

    Raises:
        ValueError: If there is no such file, a word is no KEY=VALUE, or a key or value is none that is known.
    """
    path, *pairs = words
    if not Path(path).is_file():
        raise ValueError(f"{path} is no file: name the CSV file itself behind --csv.")
    facts = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals:
            raise ValueError(f"{pair} after --csv is not KEY=VALUE: write paths of runs before --csv.")
        if key not in KEYS:
            raise ValueError(f"--csv knows no {key}: use {', '.join(KEYS)}.")
        if key in NUMBERS and not (value.isdecimal() and len(value) < 19):
            raise ValueError(f"--csv {key}={value} is not a whole number.")
        facts[key] = value
    if facts.get("percent", "yes") not in ("yes", "no"):
        raise ValueError(f"--csv percent={facts['percent']} is neither yes nor no.")
    return CsvFile(Path(path), facts)


def read_csv_file(file: CsvFile) -> Run:
    """Read the run of a CSV file.

    Raises:
        ValueError: If it cannot be read, or says too little.
    """
    header, rows = read_table(file.path)
    timm, lightning = is_timm(header), is_lightning(file.path, header)
    arguments = arguments_beside(file.path, "args.yaml" if timm else HPARAMS) if timm or lightning else {}
    facts = {**({"percent": "yes"} if timm else {}), **facts_of(arguments), **file.facts}
    for key in NEEDED:
        if key not in facts:
            raise ValueError(f"the file does not say its {key}: add {key}=VALUE behind it")
    known = TIMM_COLUMNS if timm else usual_columns(header) if lightning else {}
    columns = choose_columns(header, file.facts, known)
    percent = {"yes": True, "no": False, None: None}[facts.get("percent")]
    tested = _last(rows, known.get("test_accuracy")) if lightning else []
    if lightning:
        rows = ends_of_epochs(rows, columns)
    history = history_of(logged_rows(rows, columns, int(facts["train_images"]), percent, timm or lightning), "the file")
    numbers = {key: int(facts[key]) for key in NUMBERS if key in facts}
    model: dict[str, Any] = {"architecture": facts["architecture"], "parameters": {"total": numbers.get("parameters")}}
    model |= {name: numbers.get(name) for name in ("multiply_adds", "depth")}
    data: dict[str, Any] = {"name": facts["data"], "selection_split": facts.get("selection_split", "val")}
    data |= {name: numbers.get(name) for name in ("train_images", "val_images", "test_images")}
    values = {"format": 1, "status": COMPLETED, "model": model, "data": data, "seed": numbers.get("seed")}
    results = results_of(history)
    if tested:
        results["metrics"][TEST_ACCURACY] = _fractions(tested, percent)[0]
    run = make_run(
        file.path,
        Summary.of({**values, **results}, "the file"),
        validated=history.best is not None,
        history=lambda: history,
        name="the file",
        metrics="the file",
        config=yaml.safe_dump(arguments, sort_keys=False) if arguments else "",
        configuration=_configuration(file.path, arguments, seed_is_said="seed" in file.facts),
    )
    return replace(run, source=CSV_FILE)


def _configuration(path: Path, arguments: Mapping[str, Any], seed_is_said: bool) -> Mapping[str, str]:
    if arguments:
        return parse_configuration(yaml.safe_dump(arguments), path.parent.name)[0]
    # Who says the seed of a run says that others of its architecture differ in nothing else. Without, nothing is known.
    return {} if seed_is_said else {"file": path.as_posix()}


def read_table(path: Path) -> tuple[list[str], list[dict[str, str]]]:
    """Header and rows of a CSV file.

    Raises:
        ValueError: If it is no table.
    """
    try:
        text = read_text(path, LARGEST)
        rows = list(csv.reader(text.splitlines(), strict=True))
    except csv.Error as error:
        raise ValueError("the file cannot be read as CSV") from error
    if not rows:
        raise ValueError("the file is empty")
    header = [name.strip() for name in rows[0]]
    # A tool that is still writing leaves half a line at the end, which is none yet; others end without a line feed.
    if not text.endswith("\n") and len(rows[-1]) != len(header):
        rows.pop()
    for line, row in enumerate(rows[1:], start=2):
        if len(row) != len(header):
            raise ValueError(f"line {line} of the file has {len(row)} cells instead of {len(header)}")
    return header, [dict(zip(header, (cell.strip() for cell in row), strict=True)) for row in rows[1:]]


def choose_columns(header: Sequence[str], said: Mapping[str, str], known: Mapping[str, str]) -> dict[str, str]:
    """The name of each of `COLUMNS` that the table has.

    Args:
        header: Names of all columns.
        said: Names that the user gave.
        known: Names that this tool's tables have; a column is else called as in `COLUMNS`.

    Raises:
        ValueError: If a column that the user named, or the accuracy, is not there.
    """
    columns = {key: said.get(key, known.get(key, key)) for key in COLUMNS}
    for key, name in columns.items():
        if name not in header and (key in said or key == "accuracy"):
            raise ValueError(f"the file has no column {name}: say {key}=COLUMN with one of {', '.join(header)}")
    return {key: name for key, name in columns.items() if name in header}


def logged_rows(
    rows: Rows, columns: Mapping[str, str], train_images: int, percent: bool | None, from_zero: bool
) -> list[dict[str, Any]]:
    """The rows with the columns of metrics.csv; in a table without epochs each row is one.

    Args:
        rows: Rows of the table.
        columns: Names of its columns.
        train_images: Images of an epoch.
        percent: Whether accuracies are in per cent; None if nobody said.
        from_zero: Whether epochs are counted from 0 even where no row has that number.

    Raises:
        ValueError: If a column holds something other than numbers.
    """
    table = {key: [_number(row[name], name) for row in rows] for key, name in columns.items()}
    nothing = [None] * len(rows)
    images, losses = table.get("images_seen", nothing), table.get("train_loss", nothing)
    epochs = _epochs(table.get("epoch", list(range(len(rows)))), from_zero)
    accuracies = _fractions(table["accuracy"], percent)
    return [
        {
            "epoch": epoch,
            "step": epoch,
            "images_seen": (epoch + 1) * train_images if seen is None else seen,
            "val/acc1": accuracy,
            "train/loss": loss,
        }
        for epoch, seen, accuracy, loss in zip(epochs, images, accuracies, losses, strict=True)
    ]


def _last(rows: Rows, column: str | None) -> list[float | None]:
    """The last number of a column, if it has any."""
    cells = [cell for row in rows if column and (cell := row[column])]
    return [_number(cells[-1], column or "")] if cells else []


def _epochs(numbers: Sequence[float | None], from_zero: bool) -> list[int]:
    """Epochs counted from 0."""
    if any(number is None or not math.isfinite(number) or number < 0 for number in numbers):
        raise ValueError("its column of epochs has a cell that is no epoch")
    whole = [int(number) for number in numbers if number is not None]
    first = 0 if from_zero or 0 in whole else 1
    return [number - first for number in whole]


def _fractions(accuracies: Sequence[float | None], percent: bool | None) -> list[float | None]:
    """Accuracies as fractions: in per cent if somebody said so, or else if one is above 1, which no fraction can be."""
    highest = max((accuracy for accuracy in accuracies if accuracy is not None), default=0.0)
    if percent is False and highest > 1:
        raise ValueError(f"the file has an accuracy of {highest:g}, which is no fraction: add percent=yes")
    scale = 100 if (highest > 1 if percent is None else percent) else 1
    return [None if accuracy is None else accuracy / scale for accuracy in accuracies]


def _number(cell: str, column: str) -> float | None:
    try:
        return float(cell) if cell else None
    except ValueError as error:
        raise ValueError(f"column {column} of the file holds {cell[:20]!r}, which is not a number") from error


def is_timm(header: Sequence[str]) -> bool:
    """Whether a table with this header is timm's."""
    return {TIMM_COLUMNS["epoch"], TIMM_COLUMNS["accuracy"]} <= set(header)


def is_lightning(path: Path, header: Sequence[str]) -> bool:
    """Whether a table is of Lightning's CSVLogger."""
    return {"epoch", "step"} <= set(header) and path.with_name(HPARAMS).is_file()


def usual_columns(header: Sequence[str]) -> dict[str, str]:
    """The columns of a table by what people usually call them."""
    found = {key: next((name for name in names if name in header), None) for key, names in USUAL_COLUMNS.items()}
    return {"epoch": "epoch"} | {key: name for key, name in found.items() if name}


def ends_of_epochs(rows: Rows, columns: Mapping[str, str]) -> list[dict[str, str]]:
    """A wide table as one with a row an epoch: the last value of each column within it."""
    by_epoch: dict[str, dict[str, str]] = {}
    for row in rows:
        if epoch := row.get("epoch"):
            told = {name: row[name] for key, name in columns.items() if key != "epoch" and row[name]}
            if told:
                by_epoch.setdefault(epoch, dict.fromkeys(columns.values(), "")).update(told | {"epoch": epoch})
    return list(by_epoch.values())


def arguments_beside(path: Path, name: str) -> dict[str, Any]:
    """What a table's tool was started with, without bookkeeping; empty if the file is not there or damaged."""
    try:
        arguments = read_yaml(path.with_name(name))
    except UnreadableError:
        return {}
    return {str(key): value for key, value in arguments.items() if key not in BOOKKEEPING}


def facts_of(arguments: Mapping[str, Any]) -> dict[str, str]:
    """What the arguments say of a run, as one would say it behind `--csv`."""
    names = {"architecture": ("architecture", "arch", "model_name", "model"), "data": ("dataset", "data")}
    facts = {
        key: text
        for key, usual in names.items()
        if (text := next((arguments[name] for name in usual if isinstance(arguments.get(name), str)), None))
    }
    numbers = {key: str(value) for key in NUMBERS if isinstance(value := arguments.get(key), int) and value >= 0}
    return {**facts, **numbers}
