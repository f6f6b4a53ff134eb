"""A table of strings as aligned text, Markdown or CSV."""

import csv
import io
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any, Generic, NamedTuple, TypeVar

from comparison.units import ABSENT

Subject = TypeVar("Subject")


class Column(NamedTuple, Generic[Subject]):
    """A quantity of what a table is about.

    Attributes:
        name: Its name in a CSV file.
        value: Gives it; None where it is not known.
        heading: What people call it.
        text: How people read it.
        key: What rows are sorted by where it is not the quantity itself.
    """

    name: str
    value: Callable[[Subject], Any]
    heading: str = ""
    text: Callable[[Any], str] = str
    key: Callable[[Subject], Any] | None = None

    def cell(self, subject: Subject) -> str:
        """The quantity as people read it."""
        value = self.value(subject)
        return ABSENT if value is None else self.text(value)


def cells_of(columns: Collection[Column[Subject]], subjects: Iterable[Subject]) -> list[list[str]]:
    """A row for each subject."""
    return [[column.cell(subject) for column in columns] for subject in subjects]


def aligned(headings: Sequence[str], rows: Sequence[Sequence[str]], text_columns: int = 1) -> str:
    """Plain text; the first `text_columns` columns are words, the others numbers, which stand to the right.

    A line break in a heading keeps its column narrow.
    """
    top, bottom = zip(*(heading.rpartition("\n")[::2] for heading in headings), strict=True)
    table = [*([top] if any(top) else []), bottom, *rows]
    widths = [max(len(line[column]) for line in table) for column in range(len(headings))]
    lines = [
        "  ".join(
            cell.ljust(width) if column < text_columns else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in table
    ]
    lines.insert(len(lines) - len(rows), "─" * max(map(len, lines)))
    return "\n".join(lines)


def markdown(headings: Sequence[str], rows: Sequence[Sequence[str]], text_columns: int = 1) -> str:
    """GitHub-flavored Markdown with the same alignment."""
    rule = "|:--" * text_columns + "|--:" * (len(headings) - text_columns) + "|"
    return "\n".join([_line([*map(in_one_line, headings)]), rule, *map(_line, rows)])


def in_one_line(heading: str) -> str:
    """A heading without its line break, which is one between words or, after a hyphen, within a word."""
    return heading.replace("-\n", "-").replace("\n", " ")


def comma_separated(headings: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """CSV; None becomes an empty cell."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerows([headings, *rows])
    return buffer.getvalue().rstrip("\n")


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(literal(cell) for cell in cells) + " |"


def literal(text: str) -> str:
    """The text with the characters that Markdown or HTML would interpret made literal."""
    escaped = "".join(f"\\{character}" if character in "\\`*_[]|" else character for character in text)
    return escaped.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
