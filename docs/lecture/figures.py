"""A study's figure as SVG: each statement's seeds, interval and threshold; below, the paper's figures beside ours."""

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

from architectures.pictures import FONT, INK, MUTED, RULE
from case_studies.page import SYMBOLS, figures_of, part_of
from case_studies.results import Result, judge
from case_studies.runs import ROOT, RUNS, planned
from case_studies.study import REHEARSAL
from docs.lecture.chapters import RESULTS, committed, study

WIDTH, EDGE, LABELS, PLOT = 720, 20, 170, 350  # in pixels; numbers stand to the right of the plot
CHARACTERS = 90  # of a title in one line
TRACK, ROW = 40, 20
CLAIMED, OURS = "#d3ebe2", "#1363ae"
COLORS = {"supported": "#0b6e4f", "not supported": "#a5322a", "inconclusive": "#8a5a00"}


class Figure(str):
    """A drawing that a notebook shows."""

    __slots__ = ()

    def _repr_svg_(self) -> str:
        return str(self)


def figure(result: Result) -> Figure:
    """The drawing of a result, for a page in any color: it has a background of its own."""
    lines: list[str] = []
    top = 30
    for name, found in result.findings.items():
        part = part_of(result, name)
        verdict = str(found.verdict)
        *above, last = textwrap.wrap(part["says"], CHARACTERS)
        lines += [_text(EDGE, top + 16 * line, words, INK, bold=True) for line, words in enumerate(above)]
        top += 16 * len(above)
        lines += _contrast(part, last, f"{SYMBOLS[found.verdict]} {verdict}", COLORS.get(verdict, MUTED), top)
        top += TRACK + 74
    for chart in figures_of(result):
        for published in chart["published"]:
            lines += _rows(f"The paper: {published['shows']} ({published['place']})", published["rows"], chart, top)
            top += ROW * len(published["rows"]) + 54
        if chart["rows"]:
            lines += _rows(f"Ours: {chart['title']}", chart["rows"], chart, top)
            top += ROW * len(chart["rows"]) + 54
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {top}" width="{WIDTH}" role="img" '
        f'font-family="{FONT}" font-size="12"><title>{escape(result.study.title)}</title>'
        '<rect width="100%" height="100%" rx="8" fill="#fff"/>'
    )
    return Figure("\n".join([head, *lines, "</svg>\n"]))


def trained_figure(name: str, scale: str = REHEARSAL, runs: Path = ROOT / RUNS) -> Figure:
    """The drawing of a study's runs on this machine.

    Args:
        name: Of the study.
        scale: Of the runs.
        runs: Folder of the runs.
    """
    return figure(judge(study(name), scale, planned(study(name), scale, runs)))


def committed_figure(name: str, folder: Path = RESULTS) -> Figure | str:
    """The drawing of a study's committed result, or a sentence where there is none.

    Args:
        name: Of the study.
        folder: Of the results.
    """
    found = committed(name, folder)
    return figure(found[0].result) if found else f"{name} has no committed result yet."


def _contrast(part: Mapping[str, Any], title: str, verdict: str, color: str, top: int) -> Iterator[str]:
    left, wide = EDGE, WIDTH - 2 * EDGE

    def x(at: float) -> float:
        return left + wide * at / 100

    yield _text(left, top, title, INK, bold=True)
    y = top + 10
    yield f'<rect x="{left}" y="{y}" width="{wide}" height="{TRACK}" rx="5" fill="#f3f5f6"/>'
    low, high = x(part["claimed"]["left"]), x(part["claimed"]["right"])
    yield f'<rect x="{low:.1f}" y="{y}" width="{high - low:.1f}" height="{TRACK}" fill="{CLAIMED}"/>'
    if part["zero"] is not None:
        yield _line(x(part["zero"]), y, TRACK, MUTED, 1)
    for at in part["thresholds"]:
        yield _line(x(at), y, TRACK, COLORS["supported"], 2, dashed=True)
    for dot in part["dots"]:
        yield _dot(x(dot["at"]), y + 15)
    if (interval := part["interval"]) is not None:
        low, high = x(interval["left"]), x(interval["right"])
        yield f'<rect x="{low:.1f}" y="{y + 27}" width="{high - low:.1f}" height="5" rx="2.5" fill="{INK}"/>'
    for one in part["printed"]:
        yield _diamond(x(one["at"]), y + 15)
    yield from (_text(x(at), y + TRACK + 15, words, MUTED, "middle", 11) for at, words in part["ticks"])
    yield _text(left, y + TRACK + 31, part["legend"], MUTED, size=11)
    yield _text(left + wide, y + TRACK + 31, verdict, color, "end", bold=True)


def _rows(title: str, rows: Sequence[Mapping[str, Any]], chart: Mapping[str, Any], top: int) -> Iterator[str]:
    left = EDGE + LABELS
    yield _text(EDGE, top, title, INK, bold=True)
    y = top + 8
    for row in rows:
        yield _text(EDGE, y + 14, row["label"], INK)
        yield f'<line x1="{left}" y1="{y + ROW}" x2="{left + PLOT}" y2="{y + ROW}" stroke="{RULE}"/>'
        for at in row["dots"]:
            x = left + PLOT * at / 100
            yield _diamond(x, y + 10) if row["mean"] is None else _dot(x, y + 10)
        if row["mean"] is not None:
            yield _line(left + PLOT * row["mean"] / 100, y + 2, ROW - 4, INK, 2)
        yield _text(WIDTH - EDGE, y + 14, row["text"], MUTED, "end")
        y += ROW
    yield from (_text(left + PLOT * at / 100, y + 14, words, MUTED, "middle", 11) for at, words in chart["ticks"])


def _dot(x: float, y: float) -> str:
    return f'<circle cx="{x:.1f}" cy="{y}" r="4.5" fill="{OURS}" opacity="0.75"/>'


def _diamond(x: float, y: float) -> str:
    return f'<path d="M{x:.1f} {y - 6}l6 6-6 6-6-6z" fill="#fff" stroke="{INK}" stroke-width="2"/>'


def _line(x: float, y: float, height: float, color: str, width: float, dashed: bool = False) -> str:
    dashes = ' stroke-dasharray="4 3"' if dashed else ""
    return (
        f'<line x1="{x:.1f}" y1="{y}" x2="{x:.1f}" y2="{y + height}" stroke="{color}" stroke-width="{width}"{dashes}/>'
    )


def _text(x: float, y: float, words: str, color: str, anchor: str = "start", size: int = 12, bold: bool = False) -> str:
    weight = ' font-weight="600"' if bold else ""
    return (
        f'<text x="{x:.1f}" y="{y}" text-anchor="{anchor}" fill="{color}" font-size="{size}"{weight}>'
        f"{escape(words)}</text>"
    )
