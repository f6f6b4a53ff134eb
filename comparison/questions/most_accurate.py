"""Which network is best, and what does it take? The table of all, the most accurate first."""

from collections.abc import Sequence

from comparison.groups import Group
from comparison.questions import Answer, Section, html
from comparison.table import (
    EXPLANATION_OF_FLOPS,
    HEADINGS,
    Row,
    error_with_uncertainty,
    explain_uncertainty,
    rows_of,
)
from comparison.text_layout import in_one_line
from comparison.units import ABSENT, human_flops, human_percent, listed

QUESTION = "Which is best, and what does it take?"
BEST, ERROR, LAST, FLOPS = "best val acc1", "error, %", "last val acc1", "training FLOPs"
# The results stand beside the name, so that a phone shows them without scrolling; then costs, from what was spent to
# what the network is made of.
PAGE_HEADINGS = (
    *("architecture", BEST, ERROR, LAST, FLOPS, "wall time", "multiply-adds", "params"),
    *("conv params", "fc params", "depth", "seeds", "epochs", "images/s"),
)
TABLE = """
<div class="scroll" tabindex="0" role="region" aria-label="Table of architectures on {{ data_set }}">
<table>
  <thead><tr>{% for heading in headings %}<th scope="col">{{ heading }}</th>{% endfor %}</tr></thead>
  <tbody>
  {% for series, cells in rows %}
  <tr{% if not series %} class="uncounted"{% endif %}>
    <th scope="row">{% if series %}{{ swatch(series) }}<a href="#{{ series.anchor }}">{{ cells[0] }}</a>{% else %}{{ cells[0] }}{% endif %}</th>
    {% for cell in cells[1:] %}
    <td{% if loop.first %} class="result"{% endif %}>{{ cell }}</td>
    {% endfor %}
  </tr>
  {% endfor %}
  </tbody>
</table>
</div>
<p class="quiet">{{ explanation }}</p>
"""  # noqa: E501  HTML


def answer(section: Section) -> Answer:
    """The table; what it says in words opens the section."""
    rows = rows_of(section.groups, section.left_out)
    series = [*section.series, *[None] * (len(rows) - len(section.series))]
    explanation = f"{explain_uncertainty(section.groups)} {EXPLANATION_OF_FLOPS}" if section.groups else ""
    table = html(
        TABLE,
        data_set=section.data_set,
        headings=PAGE_HEADINGS,
        rows=list(zip(series, map(_cells, rows), strict=True)),
        explanation=explanation,
    )
    return Answer(html=table)


def finding(groups: Sequence[Group]) -> str:
    """The result in a sentence or two, no stronger than the intervals allow."""
    if not groups:
        return ""
    first, *others = groups
    accuracy = human_percent(first.best.mean)
    if not others:
        return f"{first.label} reaches {accuracy} validation accuracy."
    if ties := [group.label for group in others if group.best.mean == first.best.mean]:
        return f"{listed([first.label, *ties])} reach the same highest validation accuracy: {accuracy}."
    lead = f"Of {len(groups)}, {first.label} reaches the highest validation accuracy: {accuracy}."
    rivals = [group.label for group in others if group.best.high >= first.best.low]
    if not rivals:
        return f"{lead} No other interval overlaps with its own."
    whose = "that" if len(rivals) == 1 else "those"
    return f"{lead} Its interval overlaps with {whose} of {listed(rivals)}, so their order is not settled."


def _cells(row: Row) -> list[str]:
    cells = dict(zip(map(in_one_line, HEADINGS), row.cells(), strict=True))
    best = row.group.best if row.group else None
    cells |= {
        BEST: cells["val acc1"],
        ERROR: error_with_uncertainty(best) if best else ABSENT,
        LAST: human_percent(row.group.last if row.group else None),
        FLOPS: human_flops(row.training_flops),
    }
    return [cells[heading] for heading in PAGE_HEADINGS]
