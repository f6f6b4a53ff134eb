"""How good are they? The table of a data set's GANs, and whose samples are nearest to real images."""

from collections.abc import Sequence

from markupsafe import Markup

from comparison.gan_table import Block, blocks, csv_of_figures, explanation
from comparison.measures import FRECHET
from comparison.questions import Answer, Section, html
from comparison.runs import Run, protocols

QUESTION = "How good are they?"
TABLE = """
<div class="scroll" tabindex="0" role="region" aria-label="{{ name }}">
<table class="measures">
  <thead><tr><th scope="col"><span class="unseen">quantity</span></th>{% for heading in headings %}<th scope="col">{{ heading }}</th>{% endfor %}</tr></thead>
  {% for block in blocks %}
  <tbody>
  {% if block.title %}
  <tr class="block"><th scope="rowgroup" colspan="{{ headings|length + 1 }}"><span>{{ block.title }}</span></th></tr>
  {% endif %}
  {% for row in block.rows %}
  <tr><th scope="row">{{ row.name }}</th>{% for cell in row.cells %}<td{% if cell|length > 24 %} class="words"{% endif %}>{{ cell }}</td>{% endfor %}</tr>
  {% endfor %}
  </tbody>
  {% endfor %}
</table>
</div>
<div class="beside">
{% if about %}
<details class="how"><summary>How to read it</summary><p class="caption">{{ about }}</p></details>
{% endif %}
{% if csv %}
<button type="button" class="csv" data-file="{{ name }}.csv" data-csv="{{ csv }}">Save as CSV</button>
{% endif %}
</div>
"""  # noqa: E501  HTML
HEADING = '{{ swatch(series) }}<a href="#{{ series.anchor }}">{{ series.label }}</a>'


def answer(section: Section) -> Answer:
    """The table, with a column for each run."""
    headings = [html(HEADING, series=series) for series in section.series]
    name = f"Table of GANs on {section.data_set}"
    return Answer(
        [quality_answer(section.gans)],
        html=table_of_blocks(
            name,
            headings,
            blocks(section.gans),
            explanation(section.gans),
            csv_of_figures({section.data_set: section.gans}).encode(errors="replace").decode(),
        ),
    )


def table_of_blocks(name: str, headings: Sequence[str], found: Sequence[Block], about: str, csv: str = "") -> Markup:
    """A table whose rows are quantities.

    Args:
        name: What a screen reader calls it.
        headings: Of the columns, as text or markup.
        found: The rows under their headings.
        about: How to read it.
        csv: Its numbers, for other tools; empty for none.
    """
    return html(TABLE, name=name, headings=headings, blocks=found, about=about, csv=csv)


def nearest(data_set: str, runs: Sequence[Run]) -> str:
    """Whose samples are nearest to real images, in a few words; empty where no two runs were measured alike."""
    for protocol in protocols(runs):
        found = [
            (m.figures[FRECHET.name], run.label)
            for run in runs
            if (m := run.last(protocol)) and FRECHET.name in m.figures
        ]
        if len(found) > 1:
            distance, label = min(found)
            what = f"(Fréchet distance {distance:.3g})"
            return f"Of the GANs on {data_set}, {label} makes the samples that are nearest to real images {what}."
    return ""


def quality_answer(runs: Sequence[Run]) -> str:
    """Whose samples are nearest to real images, among runs that were measured in the same way."""
    for protocol in protocols(runs):
        last = {
            run.label: m.figures[FRECHET.name]
            for run in runs
            if (m := run.last(protocol)) and FRECHET.name in m.figures
        }
        if not last or protocol.space is None:
            continue
        where = "Inception" if protocol.space.is_inception else f"a {protocol.space.network}"
        best, worst = min(last, key=last.__getitem__), max(last, key=last.__getitem__)
        if len(last) == 1:
            alone = " No other run was measured in the same way." if len(runs) > 1 else ""
            return (
                f"{best}: a Fréchet distance of {last[best]:.3g} from real images, in the features of {where}.{alone}"
            )
        rest = f"{worst} has {'' if len(last) == 2 else 'the largest, '}{last[worst]:.3g}"
        return (
            f"Of {len(last)} that were measured in the same way, {best} has the smallest Fréchet distance from real "
            f"images at its last measurement, {last[best]:.3g} in the features of {where}; {rest}."
        )
    if protocols(runs):
        return "No run has a Fréchet distance; what was measured stands below."
    return "No run was measured: the callback SampleMeasures does that, after the training too."
