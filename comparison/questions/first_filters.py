"""What do the first layers look for? The pictures that FirstLayerFilters leaves, where they show anything."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from comparison.curves import mean_at_the_end
from comparison.pictures import Embedded
from comparison.questions import Answer, Section, Series, html
from comparison.units import listed
from records.layout import FIRST_LAYER_FILTERS

QUESTION = "What do the first layers look for?"
NOISE = 0.2  # smoothness below which a filter has no shape that one could see
CAPTION = (
    "Of the runs with the callback FirstLayerFilters, after training. Each filter is drawn by its own largest weight; "
    "0 is mid-gray."
)
PICTURES = """
{% macro grid(pictures) %}
<div class="filters">
  {% for filter in pictures %}
  <figure>
    <img src="{{ filter.picture.address }}" width="{{ filter.picture.width }}" height="{{ filter.picture.height }}" alt="Filters of the first layer of {{ filter.series.label }}">
    <figcaption>{{ swatch(filter.series) }}<a href="#{{ filter.series.anchor }}">{{ filter.series.label }}</a>{% if filter.seed is not none %}, seed {{ filter.seed }}{% endif %}</figcaption>
  </figure>
  {% endfor %}
</div>
{% endmacro %}
{% if shapes %}
{{ grid(shapes) }}
{% endif %}
{% if unknown %}
<details>
  <summary>Pictures of {{ unknown|length }}, of which nobody measured whether they show more than noise</summary>
  {{ grid(unknown) }}
</details>
{% endif %}
"""  # noqa: E501  HTML


class FilterPicture(NamedTuple):
    """The picture of one of a group's runs."""

    series: Series
    seed: int | None
    picture: Embedded


def answer(section: Section) -> Answer | None:
    """A picture of each drawn group that has one, of the first seed that does; of noise a word instead."""
    smoothness = _at_the_end(section, "train/filter_smoothness")
    noise = [label for label, value in smoothness.items() if value < NOISE]
    found = []
    for group, series in zip(section.drawn_groups, section.drawn, strict=True):
        if group.label in noise:
            continue
        for run in group.runs:
            if not (run.directory / FIRST_LAYER_FILTERS).is_file():
                continue
            unread = len(section.unread)
            picture = section.embed(run, run.directory / FIRST_LAYER_FILTERS)
            if picture is not None:
                found.append(FilterPicture(series, run.summary.seed, picture))
            if len(section.unread) == unread:  # else it is damaged, and the next seed may have a whole one
                break
    if not found and not noise:
        return None
    shapes = [one for one in found if one.series.label in smoothness]
    unknown = [one for one in found if one.series.label not in smoothness]
    sentences = [_most_colorful(_at_the_end(section, "train/color_selectivity")), _noise(noise)]
    return Answer(sentences, caption=CAPTION if found else "", html=html(PICTURES, shapes=shapes, unknown=unknown))


def _at_the_end(section: Section, column: str) -> dict[str, float]:
    """Means of a column over the seeds, by the label of the drawn groups that have it."""
    pairs = zip(section.drawn_groups, section.metrics, strict=True)
    return {g.label: value for g, runs in pairs if (value := mean_at_the_end(runs, column)) is not None}


def _noise(labels: Sequence[str]) -> str:
    if not labels:
        return ""
    return (
        f"Noise to the eye: {listed(labels)}, whose neighboring weights are hardly alike; their pictures are left out."
    )


def _most_colorful(shares: Mapping[str, float]) -> str:
    """Whose filters see most color."""
    if not shares:
        return "The images are gray, so the filters tell light from dark alone."
    ranked = sorted(shares, key=lambda label: -shares[label])
    answer = f"Color makes up {shares[ranked[0]]:.0%} of the filters' energy in {ranked[0]}"
    return f"{answer}." if len(ranked) == 1 else f"{answer}, the most, and {shares[ranked[-1]]:.0%} in {ranked[-1]}."
