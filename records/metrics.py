"""metrics.csv: what a run logged, a row for each log call, a column for each metric, empty where it was not logged.

The first columns are the position of the row: `epoch` and `step`, counted from 0, and `images_seen`. A row has its step
at least. A writer that is killed may leave half a line at the end.
"""

import codecs
import csv
import io
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from records.files import UnreadableError, read_bytes, text_of, write_whole

POSITION = ("epoch", "step", "images_seen")
ACCURACY = "val/acc1"
LOSS = "train/loss"
BETTER: dict[str, Literal["max", "min"]] = {"val/acc1": "max", "val/acc5": "max", "val/loss": "min"}
"""The metrics whose best value of a run is kept, and whether that is the largest or the smallest."""
LARGEST = 512 * 2**20

_ANY_CHARACTER = bytes(set(range(128)) - set(b',\n\r"'))


class Metrics(NamedTuple):
    """A table of metrics, called `name` where it is damaged; its `cells` are text, row by row."""

    name: str
    columns: tuple[str, ...]
    cells: list[str]

    @property
    def rows(self) -> list[list[str]]:
        """The cells of each row."""
        width = len(self.columns) or 1
        return [self.cells[start : start + width] for start in range(0, len(self.cells), width)]

    def column(self, column: str) -> list[str]:
        """The cells of a column; empty ones if there is no such column."""
        width = len(self.columns) or 1
        if column not in self.columns:
            return [""] * (len(self.cells) // width)
        return self.cells[self.columns.index(column) :: width]

    def numbers(self, column: str) -> list[float | None]:
        """The numbers of a column, None where a cell is empty or there is no such column.

        Raises:
            UnreadableError: A cell holds something else.
        """
        cells = self.column(column)
        try:
            return [float(cell) if cell else None for cell in cells]
        except ValueError as error:
            raise self.damaged(next(row for row, cell in enumerate(cells) if not _is_number(cell))) from error

    def damaged(self, row: int) -> UnreadableError:
        """What to say of a row, counted from 0, that holds something other than numbers."""
        return UnreadableError(f"line {row + 2} of {self.name} holds something other than numbers")


def read_metrics(path: Path, needed: Iterable[str] = (), growing: bool = False, holding: str | None = None) -> Metrics:
    """Read a table of metrics.

    Args:
        path: The file.
        needed: Columns that it must have.
        growing: Whether it may end in the middle of a line, which then does not count.
        holding: A column; rows without a cell in it may be left out, which takes a tenth of the time. No more is
            looked at in them than the number of cells, and whether all characters are such as numbers have.

    Raises:
        UnreadableError: It is missing, empty, torn or no table, or lacks a needed column.
    """
    content = read_bytes(path, LARGEST).removeprefix(codecs.BOM_UTF8)
    if content and not content.endswith(b"\n"):
        if not growing:
            raise UnreadableError(f"{path.name} ends in the middle of a line")
        content = content[: content.rfind(b"\n") + 1]
    header, _, body = content.partition(b"\n")
    plain = header.isascii() and b'"' not in header and b"\r" not in header
    columns = tuple(header.decode().split(",")) if plain else ()
    if holding in columns and _is_table(body, len(columns), b"0123456789.+-eE"):
        cells = _cells(_rows_holding(body, len(columns) - columns.index(holding)))
    elif plain and _is_table(body, len(columns), _ANY_CHARACTER):
        cells = _cells(body)
    else:
        columns, cells = _read_carefully(content, path.name, growing)
    for column in needed:
        if column not in columns:
            raise UnreadableError(f"{path.name} has no column {column}")
    return Metrics(path.name, columns, cells)


def metrics_of(rows: Iterable[Mapping[str, object]], columns: Sequence[str], name: str) -> Metrics:
    """A table of what another source than a file holds; None, or a column that a row lacks, is an empty cell."""
    cells = ["" if (value := row.get(column)) is None else str(value) for row in rows for column in columns]
    return Metrics(name, tuple(columns), cells)


def _is_table(body: bytes, columns: int, characters: bytes) -> bool:
    """Whether each line has as many cells as there are columns, several of them, of these characters alone."""
    separators = body.translate(None, characters)
    return columns > 1 and separators == (b"," * (columns - 1) + b"\n") * (len(separators) // columns)


def _cells(body: bytes) -> list[str]:
    """The cells of a table; one split of the whole is much faster than a reader that goes from line to line."""
    return body[:-1].replace(b"\n", b",").decode().split(",") if body else []


def _rows_holding(body: bytes, tail: int) -> bytes:
    """The lines of a table that do not end in so many empty cells."""
    ends = re.finditer(rb"\n(?<!%b\n)" % (b"," * tail), body)
    return b"".join(body[body.rfind(b"\n", 0, end.start()) + 1 : end.end()] for end in ends)


def _read_carefully(content: bytes, name: str, growing: bool) -> tuple[tuple[str, ...], list[str]]:
    """Columns and cells of any text, as CSV defines them.

    Raises:
        UnreadableError: It is empty, or no table.
    """
    text = text_of(content, name)
    try:
        rows = list(csv.reader(io.StringIO(text, newline=""), strict=True))
    except csv.Error as error:
        raise UnreadableError(f"{name} cannot be read ({error})") from error
    if not rows and not growing:
        raise UnreadableError(f"{name} is empty")
    columns = tuple(rows.pop(0)) if rows else ()
    for line, row in enumerate(rows, start=2):
        if len(row) != len(columns):
            raise UnreadableError(f"line {line} of {name} has {len(row)} cells instead of {len(columns)}")
    return columns, [cell for row in rows for cell in row]


def _is_number(cell: str) -> bool:
    try:
        return not cell or float(cell) is not None
    except ValueError:
        return False


def write_metrics(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """Replace the file as a whole: a reader, or a kill, meets either the old or the new one."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, columns)
    writer.writeheader()
    writer.writerows(rows)
    write_whole(path, text.getvalue())


def append_row(path: Path, columns: Sequence[str], row: Mapping[str, Any]) -> None:
    """Add a row to the file, which has these columns. It is forced to the disk by `flush_rows` only."""
    with path.open("a", newline="", encoding="utf-8") as file:
        csv.DictWriter(file, columns).writerow(row)


def flush_rows(path: Path) -> None:
    """Force what was appended to the disk, if there is a file."""
    if path.exists():
        with path.open("a", encoding="utf-8") as file:
            os.fsync(file.fileno())
