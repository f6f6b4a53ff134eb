"""Which classes does each get wrong, and what does it take them for? From what ClassErrors leaves in a run."""

import statistics
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from comparison.pictures import Embedded
from comparison.questions import Answer, Section, Series, html
from comparison.runs import Run
from comparison.units import human_percent
from records.class_errors import ClassErrors
from records.layout import CLASS_ERRORS, MOST_CONFUSED

QUESTION = "Which classes does each get wrong?"
CLASSES = 20
PAIRS = 3
PICTURES_OF_A_PAIR = 3
TABLE_AND_PICTURES = """
<div class="errors">
<div>
<div class="scroll" tabindex="0" role="region" aria-label="Errors by class on {{ data_set }}">
<table class="heat">
  <thead><tr><th scope="col">class</th>{% for card in cards %}<th scope="col"><a href="#{{ card.series.anchor }}">{{ card.series.label }}</a></th>{% endfor %}</tr></thead>
  <tbody>
  {% for name, cells in rows %}
  <tr><th scope="row">{{ name }}</th>{% for text, share in cells %}<td style="--share: {{ share }}">{{ text }}</td>{% endfor %}</tr>
  {% endfor %}
  </tbody>
</table>
</div>
<p class="caption">Share of the class's validation images that are taken for another class, at the most accurate epoch, mean over the seeds.{% if number > rows|length %} The {{ rows|length }} hardest of {{ number }} classes.{% endif %}</p>
</div>
<div>
<h4>What does each take them for?</h4>
<p class="quiet">The pairs that each confuses most, in either direction, how many images of a run that concerns, and the mistakes that it was surest of.</p>
<div class="cards">
  {% for card in cards %}
  <section class="card" aria-label="{{ card.series.label }}">
    <h4>{{ swatch(card.series) }}<a href="#{{ card.series.anchor }}">{{ card.series.label }}</a></h4>
    {% if card.pairs %}
    <div class="pairs">
      {% for pair in card.pairs %}
      <div>
        <p><b>{{ pair.names[0] }}</b> and <b>{{ pair.names[1] }}</b> <span class="quiet">{{ pair.images }}</span></p>
        {% if pair.pictures %}
        <ul class="mistakes">
          {% for picture, mistake in pair.pictures %}
          <li><img src="{{ picture.address }}" width="{{ picture.width }}" height="{{ picture.height }}" alt="{{ mistake.spoken }}" title="{{ mistake.spoken }}"></li>
          {% endfor %}
        </ul>
        {% endif %}
      </div>
      {% endfor %}
    </div>
    {% else %}
    <p class="quiet">None: no image was taken for another class.</p>
    {% endif %}
  </section>
  {% endfor %}
</div>
</div>
</div>
"""  # noqa: E501  HTML

Pair = tuple[str, str]
"""Two classes, whichever was taken for the other."""


class Mistake(NamedTuple):
    """An image that was taken for another class, and the box in which the run's picture shows it."""

    label: str
    predicted: str
    probability: float
    box: tuple[int, int, int, int] | None

    @property
    def spoken(self) -> str:
        """What a screen reader says of the image."""
        return f"An image of {self.label}, taken for {self.predicted} with {self.probability:.0%}"


@dataclass(frozen=True)
class RunErrors:
    """Images of each class, those of them that were taken for another, how often each pair was confused, examples."""

    images: dict[str, int]
    wrong: dict[str, int]
    confused: dict[Pair, int]
    mistakes: tuple[Mistake, ...]


@dataclass(frozen=True)
class GroupErrors:
    """The runs of a group that have such a record."""

    series: Series
    runs: tuple[Run, ...]
    errors: tuple[RunErrors, ...]

    def error(self, name: str) -> float | None:
        """Share of a class's images that are taken for another, as a mean over the seeds."""
        shares = [run.wrong[name] / run.images[name] for run in self.errors if run.images.get(name)]
        return statistics.fmean(shares) if shares else None

    def confused(self) -> list[tuple[Pair, float]]:
        """Pairs of classes and how many images they were confused in, as a mean over the seeds, the most first."""
        return _ranked((run.confused for run in self.errors), len(self.errors))


class ConfusedPair(NamedTuple):
    """A line of the page: a pair, how often, and pictures of it."""

    names: Pair
    images: str
    pictures: list[tuple[Embedded, Mistake]]


def answer(section: Section) -> Answer | None:
    """A table of errors by class, and the pairs that each network confuses most, with pictures."""
    errors = class_errors_of(section)
    if not errors:
        return None
    names = hardest_classes(errors)
    number = len({name for group in errors for run in group.errors for name in run.images})
    cards = [
        {"series": group.series, "runs": len(group.runs), "pairs": confused_pairs(group, section)} for group in errors
    ]
    rows = heat_rows(errors, names)
    table = html(TABLE_AND_PICTURES, data_set=section.data_set, cards=cards, rows=rows, number=number)
    return Answer([errors_answer(errors, names)], html=table)


def class_errors_of(section: Section) -> list[GroupErrors]:
    """The records of each drawn group's runs on the validation images."""
    found = []
    for group, series in zip(section.drawn_groups, section.drawn, strict=True):
        read = [(run, section.read(run, errors_of_run)) for run in group.runs]
        if known := [(run, errors) for run, errors in read if errors is not None]:
            found.append(GroupErrors(series, *map(tuple, zip(*known, strict=True))))
    return found


def errors_of_run(directory: Path) -> RunErrors | None:
    """What a run's record of its validation says; None if it has none.

    Raises:
        ValueError: It is damaged, or of another version.
    """
    record = ClassErrors.read_if_any(directory)
    if record is None or record.split != "val":
        return None
    if any(count >= 2**63 for *_, count in record.counts):
        raise ValueError(f"{CLASS_ERRORS} holds a count out of range")
    images: dict[str, int] = defaultdict(int)
    wrong: dict[str, int] = defaultdict(int)
    confused: dict[Pair, int] = defaultdict(int)
    for label, predicted, count in record.counts:
        name = record.name_of(label)
        images[name] += count
        if label != predicted:
            wrong[name] += count
            confused[_pair(name, record.name_of(predicted))] += count
    mistakes = tuple(
        Mistake(record.name_of(one.label), record.name_of(one.predicted), one.probability, one.place)
        for one in record.mistakes
    )
    return RunErrors(images, wrong, confused, mistakes)


def hardest_classes(errors: Sequence[GroupErrors]) -> list[str]:
    """All classes in their order, or of many those with the largest errors on average over the groups, these first."""
    names = list(dict.fromkeys(name for group in errors for run in group.errors for name in run.images))
    if len(names) <= CLASSES:
        return names
    return sorted(names, key=lambda name: -_mean_error(errors, name))[:CLASSES]


def heat_rows(errors: Sequence[GroupErrors], names: Sequence[str]) -> list[tuple[str, list[tuple[str, float]]]]:
    """For each class a cell for each group: the error as text, and as a share of the largest in the table."""
    table = [[group.error(name) for group in errors] for name in names]
    largest = max((error for row in table for error in row if error is not None), default=0.0) or 1.0
    return [
        (name, [(human_percent(error, 1), round((error or 0.0) / largest, 3)) for error in row])
        for name, row in zip(names, table, strict=True)
    ]


def errors_answer(errors: Sequence[GroupErrors], names: Sequence[str]) -> str:
    """The hardest class and the pair that is confused most, on average over the groups."""
    hardest = max(names, key=lambda name: _mean_error(errors, name))
    pairs = _ranked((dict(group.confused()) for group in errors), len(errors))
    if not pairs:
        return "None: no image was taken for another class."
    (one, other), _ = pairs[0]
    return (
        f"The hardest class is {hardest}, with {human_percent(_mean_error(errors, hardest), 1)} of its images wrong on "
        f"average; {one} and {other} are confused most."
    )


def confused_pairs(errors: GroupErrors, section: Section) -> list[ConfusedPair]:
    """The pairs that a group confuses most, with pictures where a run has them."""
    pairs = []
    for pair, count in errors.confused()[:PAIRS]:
        pictures: list[tuple[Embedded, Mistake]] = []
        for run, of_run in zip(errors.runs, errors.errors, strict=True):
            shown = [m for m in of_run.mistakes if m.box and _pair(m.label, m.predicted) == pair][:PICTURES_OF_A_PAIR]
            if not shown or pictures:
                continue
            boxes = [mistake.box for mistake in shown if mistake.box]
            parts = section.read(run, partial(_parts, section, boxes))
            pictures = [(part, mistake) for part, mistake in zip(parts or [], shown, strict=False) if part]
        pairs.append(ConfusedPair(pair, f"{count:.1f}".removesuffix(".0"), pictures))
    return pairs


def _parts(section: Section, boxes: list[tuple[int, int, int, int]], directory: Path) -> list[Embedded | None]:
    return section.pictures.embed_parts(directory / MOST_CONFUSED, boxes)


def _pair(one: str, other: str) -> Pair:
    return (one, other) if one <= other else (other, one)


def _ranked(counts: Iterable[dict[Pair, Any]], members: int) -> list[tuple[Pair, float]]:
    total: dict[Pair, float] = defaultdict(float)
    for of_one in counts:
        for pair, count in of_one.items():
            total[pair] += count / members
    return sorted(total.items(), key=lambda item: (-item[1], item[0]))


def _mean_error(errors: Sequence[GroupErrors], name: str) -> float:
    known = [error for group in errors if (error := group.error(name)) is not None]
    return statistics.fmean(known) if known else 0.0
