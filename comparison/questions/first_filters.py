"""What do the first layers look for? The pictures that FirstLayerFilters leaves, side by side."""

from collections.abc import Sequence
from typing import NamedTuple

from comparison.curves import mean_at_the_end
from comparison.groups import Group
from comparison.pictures import Embedded
from comparison.questions import Answer, Section, Series, html
from comparison.units import listed
from records.curves import History
from records.layout import FIRST_LAYER_FILTERS

QUESTION = "What do the first layers look for?"
CAPTION = (
    "Of the runs with the callback FirstLayerFilters, after training. Each filter is drawn by its own largest weight; "
    "0 is mid-gray."
)
PICTURES = """
<div class="filters">
  {% for filter in pictures %}
  <figure>
    <img src="{{ filter.picture.address }}" width="{{ filter.picture.width }}" height="{{ filter.picture.height }}" alt="Filters of the first layer of {{ filter.series.label }}">
    <figcaption>{{ swatch(filter.series) }}<a href="#{{ filter.series.anchor }}">{{ filter.series.label }}</a>{% if filter.seed is not none %}, seed {{ filter.seed }}{% endif %}</figcaption>
  </figure>
  {% endfor %}
</div>
"""  # noqa: E501  HTML


class FilterPicture(NamedTuple):
    """The picture of one of a group's runs."""

    series: Series
    seed: int | None
    picture: Embedded


def answer(section: Section) -> Answer | None:
    """A picture of each drawn group that has one, of the first seed that does."""
    found = []
    for group, series in zip(section.drawn_groups, section.drawn, strict=True):
        for run in group.runs:
            if not (run.directory / FIRST_LAYER_FILTERS).is_file():
                continue
            unread = len(section.unread)
            picture = section.embed(run, run.directory / FIRST_LAYER_FILTERS)
            if picture is not None:
                found.append(FilterPicture(series, run.summary.seed, picture))
            if len(section.unread) == unread:  # else it is damaged, and the next seed may have a whole one
                break
    if not found:
        return None
    sentence = _most_colorful([one.series.label for one in found], section.drawn_groups, section.metrics)
    return Answer([sentence], caption=CAPTION, html=html(PICTURES, pictures=found))


def _most_colorful(labels: Sequence[str], groups: Sequence[Group], metrics: Sequence[Sequence[History]]) -> str:
    """Whose filters see most color; for gray images, whose filters there are."""
    shares = {
        group.label: share
        for group, runs in zip(groups, metrics, strict=True)
        if (share := mean_at_the_end(runs, "train/color_selectivity")) is not None
    }
    if not shares:
        return f"Light and dark: the images are gray. These are the filters of {listed(labels)}."
    ranked = sorted(shares, key=lambda label: -shares[label])
    answer = f"Color makes up {shares[ranked[0]]:.0%} of the filters' energy in {ranked[0]}"
    return f"{answer}." if len(ranked) == 1 else f"{answer}, the most, and {shares[ranked[-1]]:.0%} in {ranked[-1]}."
