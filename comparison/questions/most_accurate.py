"""Which network is best, and what does it take? The table of all, the most accurate first."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from comparison.groups import TEST, Group
from comparison.questions import Answer, Section, html
from comparison.statistics import FEWEST_SEEDS, Estimate, beaten
from comparison.table import (
    EXPLANATION_OF_FLOPS,
    IN_TEXT,
    Row,
    csv_of,
    error_with_uncertainty,
    explain_uncertainty,
    interval,
    rows_of,
    shown,
)
from comparison.text_layout import Column, in_one_line
from comparison.units import human_flops, human_percent, listed

QUESTION = "Which is best, and what does it take?"
# The results stand beside the name, so that a phone shows them without scrolling; then costs, from what was spent to
# what the network is made of.
ARCHITECTURE = IN_TEXT["architecture"]
TESTED = IN_TEXT["test acc1"]
VALIDATED = IN_TEXT["val acc1"]._replace(heading="best val acc1")
INTERVAL = Column[Row]("", lambda row: row.accuracy, "95 % interval", interval)
COLUMNS = (
    Column[Row]("", lambda row: row.published and row.published.acc1, "published", human_percent),
    Column[Row]("", lambda row: row.group and row.group.last, "last val acc1", human_percent),
    Column[Row]("", lambda row: row.mean("best_acc5"), "best val acc5", human_percent),
    Column[Row]("", lambda row: row.calibration_error, "calibration error", human_percent),
    Column[Row]("", lambda row: row.training_flops, "training FLOPs", human_flops),
    *(IN_TEXT[heading] for heading in ("wall time", "multiply-adds", "params", "conv params", "fc params", "depth")),
    *(IN_TEXT[heading] for heading in ("seeds", "epochs", "images/s")),
    Column[Row]("", lambda row: row.accuracy, "error, %", error_with_uncertainty),
)
EXPLANATION_OF_INTERVAL = (
    "95 % interval: of the accuracy that decides; the t-interval of the mean over the seeds, or Wilson's over the "
    "images of a single one."
)
EXPLANATION_OF_CALIBRATION = (
    "calibration error: how far the probability of the chosen class lies from the share of right answers, on average "
    "over 15 bins (expected calibration error, Guo et al. 2017), on the images of the accuracy that decides."
)
TABLE = """
<div class="scroll" tabindex="0" role="region" aria-label="Table of architectures on {{ data_set }}">
<table>
  <thead><tr>{% for heading in headings %}<th scope="col"{% if loop.index0 == 1 %} aria-sort="descending"{% endif %}><button type="button" class="sort">{{ heading }}</button></th>{% endfor %}</tr></thead>
  <tbody>
  {% for series, cells in rows %}
  <tr{% if not series %} class="uncounted"{% endif %}>
    <th scope="row" data-value="{{ cells[0].text }}">{% if series %}{{ swatch(series) }}<a href="#{{ series.anchor }}">{{ cells[0].text }}</a>{% else %}{{ cells[0].text }}{% endif %}</th>
    {% for cell in cells[1:] %}
    <td{% if loop.first %} class="result"{% endif %} data-value="{{ cell.key }}">{{ cell.text }}</td>
    {% endfor %}
  </tr>
  {% endfor %}
  </tbody>
</table>
</div>
{% if published %}
<p class="quiet">Published: {{ published|join("; ") }}.</p>
{% endif %}
<div class="beside">
  {% if explanation %}
  <details class="how"><summary>How to read it</summary><p class="caption">{{ explanation }}</p></details>
  {% endif %}
  <button type="button" class="csv" data-file="{{ data_set }}.csv" data-csv="{{ csv }}">Save as CSV</button>
</div>
"""  # noqa: E501  HTML


class Cell(NamedTuple):
    """What a cell shows, and what its column is sorted by."""

    text: str
    key: str


def answer(section: Section) -> Answer:
    """The table; what it says in words opens the section."""
    rows = rows_of(section.groups, section.left_out)
    series = [*section.series, *[None] * (len(rows) - len(section.series))]
    on_test = bool(section.groups) and section.groups[0].headline == TEST
    deciding, other = (TESTED, VALIDATED) if on_test else (VALIDATED, TESTED)
    columns = shown((ARCHITECTURE, deciding, INTERVAL, other, *COLUMNS), rows)
    if all((row.mean("best_acc5") or 1.0) == 1.0 for row in rows):  # of few classes, five hold the label always
        columns = [column for column in columns if column.heading != "best val acc5"]
    table = html(
        TABLE,
        data_set=section.data_set,
        headings=[in_one_line(column.heading) for column in columns],
        rows=[(one, [_cell(column, row) for column in columns]) for one, row in zip(series, rows, strict=True)],
        explanation=_explanation(section.groups, rows) if section.groups else "",
        published=[
            f"{group.label}: {human_percent(figure.acc1)} ({figure.source})"
            for group in section.groups
            if (figure := group.published)
        ],
        csv=csv_of(rows).encode(errors="replace").decode(),  # names of folders may be no Unicode
    )
    return Answer(html=table)


def _explanation(groups: Sequence[Group], rows: Sequence[Row]) -> str:
    parts = [explain_uncertainty(groups), EXPLANATION_OF_INTERVAL]
    if any(row.calibration_error is not None for row in rows):
        parts.append(EXPLANATION_OF_CALIBRATION)
    return " ".join([*parts, EXPLANATION_OF_FLOPS])


def _cell(column: Column[Row], row: Row) -> Cell:
    key: Any = (column.key or column.value)(row)
    if isinstance(key, Estimate):
        key = key.mean
    return Cell(column.cell(row), f"{key:.10g}" if isinstance(key, int | float) else "")


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
    rivals = rivals_of_the_first(groups)
    if rivals is None:
        return f"{lead} With fewer than {FEWEST_SEEDS} seeds of each, no order is claimed."
    what = f"Its lead over {listed(rivals)} may be chance" if rivals else "Its lead over all others is beyond chance"
    return f"{lead} {what} (t-tests over the seeds, 5 % error for all together)."


def rivals_of_the_first(groups: Sequence[Group]) -> list[str] | None:
    """The groups that the most accurate one may lead by chance; None where the seeds are too few to tell."""
    first, *others = groups
    if min(len(group.accuracies) for group in groups) < FEWEST_SEEDS:
        return None
    found = beaten(first.accuracies, [group.accuracies for group in others])
    return [group.label for group, is_beaten in zip(others, found, strict=True) if not is_beaten]


def verdict(groups_of: Mapping[str, Sequence[Group]]) -> str:
    """The result over all data sets, no stronger than the seeds allow; of a single one its finding."""
    if len(groups_of) < 2:
        return next(map(finding, groups_of.values()), "")
    best: dict[str, list[str]] = {}
    certain: list[str] = []
    chance: list[str] = []
    open_: list[str] = []
    for data_set, groups in groups_of.items():
        highest = groups[0].accuracy.mean
        names = listed(group.label for group in groups if group.accuracy.mean == highest)
        best.setdefault(names, []).append(f"{data_set} ({human_percent(highest)} {groups[0].headline} accuracy)")
        if len(groups) > 1:
            rivals = rivals_of_the_first(groups)
            (open_ if rivals is None else chance if rivals else certain).append(data_set)
    most = [f"{names} on {listed(where)}" for names, where in best.items()]
    sentences = [f"Most accurate: {'; '.join(most)}."]
    if certain:
        sentences.append(f"The lead on {listed(certain)} is beyond chance.")
    if chance:
        sentences.append(f"The lead on {listed(chance)} may be chance.")
    if open_:
        sentences.append(f"On {listed(open_)}, no order is claimed: that takes {FEWEST_SEEDS} seeds of each network.")
    return " ".join(sentences)
