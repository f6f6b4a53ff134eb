"""A table of epochs, with whatever names its columns have, as rows such as metrics.csv has them."""

import csv
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

COLUMNS = ("epoch", "accuracy", "train_loss", "images_seen")

Rows = Sequence[Mapping[str, str]]


def read_table(path: Path) -> tuple[list[str], list[dict[str, str]]]:
    """Header and rows of a CSV file.

    Raises:
        ValueError: If it is no table.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
        rows = list(csv.reader(text.splitlines(), strict=True))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
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
        ValueError: If a column holds something else than numbers.
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
        raise ValueError(f"the file has an accuracy of {highest:g}, which is no fraction: say percent=yes")
    scale = 100 if (highest > 1 if percent is None else percent) else 1
    return [None if accuracy is None else accuracy / scale for accuracy in accuracies]


def _number(cell: str, column: str) -> float | None:
    try:
        return float(cell) if cell else None
    except ValueError as error:
        raise ValueError(f"column {column} of the file holds {cell[:20]!r}, which is not a number") from error
