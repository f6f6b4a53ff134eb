"""Which network is best, and what does it take? The table of all, the most accurate first."""

from collections.abc import Sequence

from comparison.groups import Group
from comparison.questions import Answer, Section, html
from comparison.statistics import FEWEST_SEEDS, beaten
from comparison.table import (
    EXPLANATION_OF_FLOPS,
    IN_TEXT,
    Row,
    error_with_uncertainty,
    explain_uncertainty,
    rows_of,
    shown,
)
from comparison.text_layout import Column, cells_of, in_one_line
from comparison.units import human_flops, human_percent, listed

QUESTION = "Which is best, and what does it take?"
# The results stand beside the name, so that a phone shows them without scrolling; then costs, from what was spent to
# what the network is made of.
COLUMNS = (
    IN_TEXT["architecture"],
    IN_TEXT["test acc1"],
    Column[Row]("", lambda row: row.accuracy, "error, %", error_with_uncertainty),
    IN_TEXT["val acc1"]._replace(heading="best val acc1"),
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
    columns = shown(COLUMNS, section.groups)
    table = html(
        TABLE,
        data_set=section.data_set,
        headings=[in_one_line(column.heading) for column in columns],
        rows=list(zip(series, cells_of(columns, rows), strict=True)),
        explanation=explanation,
    )
    return Answer(html=table)


def finding(groups: Sequence[Group]) -> str:
    """The result in a sentence or two, no stronger than the seeds allow."""
    if not groups:
        return ""
    first, *others = groups
    accuracy, noun = human_percent(first.accuracy.mean), f"{first.headline} accuracy"
    if not others:
        return f"{first.label} reaches {accuracy} {noun}."
    if ties := [group.label for group in others if group.accuracy.mean == first.accuracy.mean]:
        return f"{listed([first.label, *ties])} reach the same highest {noun}: {accuracy}."
    lead = f"Of {len(groups)}, {first.label} reaches the highest {noun}: {accuracy}."
    if min(len(group.accuracies) for group in groups) < FEWEST_SEEDS:
        return f"{lead} With fewer than {FEWEST_SEEDS} seeds of each, no order is claimed."
    found = beaten(first.accuracies, [group.accuracies for group in others])
    rivals = [group.label for group, is_beaten in zip(others, found, strict=True) if not is_beaten]
    what = f"Its lead over {listed(rivals)} may be chance" if rivals else "Its lead over all others is beyond chance"
    return f"{lead} {what} (t-tests over the seeds, 5 % error for all together)."
