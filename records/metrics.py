"""metrics.csv: what a run logged, a row for each log call, a column for each metric, empty where it was not logged.

The first columns are the position of the row: `epoch` and `step`, counted from 0, and `images_seen`. A row has its step
at least. A writer that is killed may leave half a line at the end.
"""

import csv
import io
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from records.files import UnreadableError, read_text, write_whole

POSITION = ("epoch", "step", "images_seen")
ACCURACY = "val/acc1"
LOSS = "train/loss"
BETTER: dict[str, Literal["max", "min"]] = {"val/acc1": "max", "val/acc5": "max", "val/loss": "min"}
"""The metrics whose best value of a run is kept, and whether that is the largest or the smallest."""
LARGEST = 512 * 2**20


class Metrics(NamedTuple):
    """A table of metrics, called `name` where it is damaged; its cells are text, and the first row is line 2."""

    name: str
    columns: tuple[str, ...]
    rows: list[list[str]]

    def numbers(self, column: str) -> list[float | None]:
        """The numbers of a column, None where a cell is empty or there is no such column.

        Raises:
            UnreadableError: A cell holds something else.
        """
        if column not in self.columns:
            return [None] * len(self.rows)
        at, found = self.columns.index(column), []
        for line, row in enumerate(self.rows, start=2):
            try:
                found.append(float(row[at]) if row[at] else None)
            except ValueError as error:
                raise UnreadableError(f"line {line} of {self.name} holds something else than numbers") from error
        return found


def read_metrics(path: Path, needed: Iterable[str] = (), growing: bool = False) -> Metrics:
    """Read a table of metrics, which must have the `needed` columns.

    One that is `growing` may end in the middle of a line, which then does not count.

    Raises:
        UnreadableError: It is missing, empty, torn or no table, or lacks a needed column.
    """
    text = read_text(path, LARGEST)
    if text and not text.endswith("\n"):
        if not growing:
            raise UnreadableError(f"{path.name} ends in the middle of a line")
        text = text[: text.rfind("\n") + 1]
    try:
        rows = list(csv.reader(io.StringIO(text, newline=""), strict=True))
    except csv.Error as error:
        raise UnreadableError(f"{path.name} cannot be read ({error})") from error
    if not rows and not growing:
        raise UnreadableError(f"{path.name} is empty")
    columns = tuple(rows.pop(0)) if rows else ()
    for column in needed:
        if column not in columns:
            raise UnreadableError(f"{path.name} has no column {column}")
    for line, row in enumerate(rows, start=2):
        if len(row) != len(columns):
            raise UnreadableError(f"line {line} of {path.name} has {len(row)} cells instead of {len(columns)}")
    return Metrics(path.name, columns, rows)


def metrics_of(rows: Iterable[Mapping[str, object]], columns: Sequence[str], name: str) -> Metrics:
    """A table of what another source than a file holds; None, or a column that a row lacks, is an empty cell."""
    cells = (("" if (value := row.get(column)) is None else str(value) for column in columns) for row in rows)
    return Metrics(name, tuple(columns), [list(row) for row in cells])


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
