"""Which network is best, and what does it take? The table of all, the most accurate first."""

from collections.abc import Sequence

from comparison.groups import Group
from comparison.questions import Answer, Section, html
from comparison.table import EXPLANATION_OF_FLOPS, IN_TEXT, Row, error_with_uncertainty, explain_uncertainty, rows_of
from comparison.text_layout import Column, cells_of, in_one_line
from comparison.units import human_flops, human_percent, listed

QUESTION = "Which is best, and what does it take?"
# The results stand beside the name, so that a phone shows them without scrolling; then costs, from what was spent to
# what the network is made of.
COLUMNS = (
    IN_TEXT["architecture"],
    IN_TEXT["val acc1"]._replace(heading="best val acc1"),
    Column[Row]("", lambda row: row.best, "error, %", error_with_uncertainty),
    Column[Row]("", lambda row: row.group and row.group.last, "last val acc1", human_percent),
    Column[Row]("", lambda row: row.training_flops, "training FLOPs", human_flops),
    *(IN_TEXT[heading] for heading in ("wall time", "multiply-adds", "params", "conv params", "fc params", "depth")),
    *(IN_TEXT[heading] for heading in ("seeds", "epochs", "images/s")),
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
        headings=[in_one_line(column.heading) for column in COLUMNS],
        rows=list(zip(series, cells_of(COLUMNS, rows), strict=True)),
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
