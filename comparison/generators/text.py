"""The GANs of a data set as plain text or Markdown: a row a run, and a table for each way of measuring."""

from collections.abc import Callable, Sequence

from comparison.generators.over_seeds import ABOUT, seed_table
from comparison.generators.records import GeneratorRun
from comparison.generators.table import NETWORKS, Block, blocks
from comparison.generators.wording import explanation
from comparison.text_layout import aligned, literal, markdown
from comparison.units import ABSENT, count_of

Layout = Callable[[Sequence[str], Sequence[Sequence[str]]], str]


def text_tables(data_set: str, runs: Sequence[GeneratorRun]) -> list[str]:
    """Parts of plain text, between which belongs an empty line; the last is a sentence that may be long."""
    return _tables(data_set, runs, aligned, lambda words: words)


def markdown_tables(data_set: str, runs: Sequence[GeneratorRun]) -> list[str]:
    """Parts of GitHub-flavored Markdown, between which belongs an empty line."""
    return _tables(data_set, runs, markdown, literal)


def _tables(
    data_set: str,
    runs: Sequence[GeneratorRun],
    layout: Layout,
    words: Callable[[str], str],
) -> list[str]:
    parts = [words(f"GANs on {data_set}: {count_of(len(runs), 'run')}")]
    labels, over_seeds = seed_table(runs)
    parts += _blocks("run", [run.label for run in runs], blocks(runs), layout, words)
    if labels:
        parts += [words(ABOUT), *_blocks("experiment", labels, over_seeds, layout, words)]
    notes = [f"Damaged and left out: {run.label}: {problem}" for run in runs for problem in run.unread]
    return [*parts, *map(words, notes), words(explanation(runs))]


def _blocks(
    kind: str, labels: Sequence[str], found: Sequence[Block], layout: Layout, words: Callable[[str], str]
) -> list[str]:
    """The titles and tables of blocks, with a line for each label that has any cell."""
    parts = []
    for block in found:
        known = [place for place in range(len(labels)) if any(row.cells[place] != ABSENT for row in block.rows)]
        rows = [row for row in block.rows if row.name != NETWORKS]  # with which each label begins
        headings = [kind, *(_in_two_lines(row.name) for row in rows)]
        lines = [[labels[place], *(row.cells[place] for row in rows)] for place in known]
        parts += [*([words(block.title)] if block.title else []), layout(headings, lines)]
    return parts


def _in_two_lines(name: str) -> str:
    """The name with a line break at the space nearest to its middle."""
    spaces = [place for place, letter in enumerate(name) if letter == " "]
    if not spaces or len(name) < 12:
        return name
    middle = min(spaces, key=lambda place: abs(place - len(name) / 2))
    return f"{name[:middle]}\n{name[middle + 1 :]}"
