"""What the page asks of the runs of one data set: a file for each question.

A question is a module of this folder with two names:

    QUESTION = "What does accuracy cost?"

    def answer(section: Section) -> Answer | None: ...

and its name in `OF_CLASSIFIERS` or `OF_GANS`, in whose order the page asks them. `answer` gets the runs and gives
sentences, charts with a caption, and HTML if it needs any; None where these runs cannot answer: then the page does not
ask. Files of a run are read through `section.read`, so that a damaged one is named and costs no more than itself.
"""

import os
import urllib.parse
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol, TypeVar, cast

import jinja2
from markupsafe import Markup

from comparison.groups import Group
from comparison.palette import series_styles
from comparison.pictures import Embedded, PictureBudget
from comparison.runs import Run
from records.curves import History

OF_CLASSIFIERS = (
    "most_accurate",
    "learning_curves",
    "accuracy_cost",
    "training_gap",
    "calibration",
    "class_errors",
    "gradients",
    "first_filters",
    "conditions",
    "runs_behind",
)
OF_GANS = ("samples", "sample_quality", "seeds", "sample_progress", "discriminator")
# More lines than these in one plot cannot be told apart.
MOST_IN_A_FIGURE = 12

Part = TypeVar("Part")


@dataclass(frozen=True)
class Chart:
    """A plot: its title, what is said of its scale, its Vega-Lite specification, and the title of its axis below.

    If it follows `progress`, the page lets the reader choose among epochs, images and time. `caption` is its own.
    """

    title: str
    specification: dict[str, Any]
    axis: str
    scale: str = ""
    progress: bool = False
    caption: str = ""


@dataclass(frozen=True)
class Answer:
    """What stands under the heading of a question, in this order; all but one may be empty."""

    sentences: Sequence[str] = ()
    charts: Sequence[Chart] = ()
    caption: str = ""
    html: Markup = Markup()  # noqa: RUF009  immutable
    smallest: int = 400
    """Least width of a chart in pixels, from which follows how many stand in a row."""
    anchor: str = ""
    """Where links on the page lead to it; the section gives it."""


@dataclass(frozen=True)
class Series:
    """A group of classifiers or a GAN wherever it is drawn, and the place on the page that tells of it."""

    index: int
    label: str
    light: str
    dark: str
    dash: tuple[int, ...]
    anchor: str


class Question(Protocol):
    """What a module of this folder is."""

    QUESTION: str

    def answer(self, section: "Section") -> Answer | None:
        """The answer; None where the runs cannot give one."""


@dataclass(frozen=True)
class Section:
    """The runs of one data set, about which the questions are.

    Attributes:
        data_set: Its name.
        groups: Those of classifiers, the most accurate first; there are none in a section of GANs.
        gans: GANs, by their labels; there are none in a section of classifiers.
        left_out: Classifiers that do not count.
        series: How the groups or GANs are drawn.
        id: Anchor of the section.
        output: Where the page will lie, to which links are relative.
        pictures: Takes the pictures of all sections.
        unread: What of the runs could not be read.
    """

    data_set: str
    groups: Sequence[Group]
    gans: Sequence[Run]
    left_out: Sequence[Run]
    series: Sequence[Series]
    id: str
    output: Path
    pictures: PictureBudget
    unread: list[str] = field(default_factory=list)

    @property
    def drawn_groups(self) -> Sequence[Group]:
        """The groups that are drawn as lines."""
        return self.groups[:MOST_IN_A_FIGURE]

    @property
    def drawn_gans(self) -> Sequence[Run]:
        """The GANs that are drawn as lines."""
        return self.gans[:MOST_IN_A_FIGURE]

    @property
    def drawn(self) -> Sequence[Series]:
        """How they are drawn."""
        return self.series[:MOST_IN_A_FIGURE]

    @cached_property
    def metrics(self) -> list[list[History]]:
        """What the metrics of each drawn group's runs come to; nothing where they are damaged."""

        def history(run: Run) -> History:
            return self.read(run, lambda _: run.history()) or History()

        return [[history(run) for run in group.runs] for group in self.drawn_groups]

    def link_to(self, directory: Path) -> str:
        """Address of a run's directory relative to the page."""
        return link_to(directory, self.output)

    def read(self, run: Run, reader: Callable[[Path], Part]) -> Part | None:
        """What a reader makes of a run's directory, or None where a file is damaged, which the page then names."""
        try:
            return reader(run.directory)
        except ValueError as error:
            self.unread.append(f"{run.label or run.directory.as_posix()}: {error}")
            return None

    def embed(self, run: Run, path: Path) -> Embedded | None:
        """A picture of a run inside the page; None if there is none, or no room for it."""
        return self.read(run, lambda _: self.pictures.embed(path)) if path.is_file() else None

    def answers(self) -> Iterator[tuple[str, Answer]]:
        """Each question that these runs can answer."""
        for name in OF_GANS if self.gans else OF_CLASSIFIERS:
            question = cast("Question", import_module(f"{__name__}.{name}"))
            if (answer := question.answer(self)) is not None:
                yield question.QUESTION, replace(answer, anchor=f"{self.id}-{name.replace('_', '-')}")


def make_section(
    data_set: str,
    groups: Sequence[Group] = (),
    *,
    gans: Sequence[Run] = (),
    left_out: Sequence[Run] = (),
    output: Path = Path("comparison.html"),
    number: int = 1,
    pictures: PictureBudget | None = None,
) -> Section:
    """A section of classifiers, or of GANs.

    Args:
        data_set: Name of the data set.
        groups: Groups of classifiers.
        gans: GANs.
        left_out: Classifiers that do not count.
        output: Where the page will lie.
        number: Position among the sections of its kind, from 1; it makes the anchors unique.
        pictures: Takes the pictures; by default, as many as a page may have.
    """
    drawn = [*gans, *(group.example for group in groups)]
    labels = [*(run.label for run in gans), *(group.label for group in groups)]
    section, each = ("gans", "gan") if gans else ("data", "runs")
    series = [
        Series(index, label, *style, f"{each}-{number}-{index}")
        for index, (label, style) in enumerate(zip(labels, series_styles(drawn), strict=True))
    ]
    pictures = pictures or PictureBudget()
    unread = [f"{run.label}: {problem}" for run in gans for problem in run.unread]
    return Section(data_set, groups, gans, left_out, series, f"{section}-{number}", output, pictures, unread)


def link_to(directory: Path, output: Path) -> str:
    """Address of a run directory relative to the page, or absolute where no relative one exists."""
    try:
        relative = os.path.relpath(directory, output.parent)
    except ValueError:  # another drive on Windows
        return directory.resolve().as_uri()
    return urllib.parse.quote(os.fsencode(Path(relative).as_posix()))


def html(template: str, **values: Any) -> Markup:
    """HTML of a Jinja template, in which values are text and never markup; `swatch(series)` is its sample of a line."""
    return Markup(_environment().from_string(template).render(values))


def swatch(series: Series) -> Markup:
    """A short line in the color and the dashes of a series."""
    return Markup(
        '<svg class="swatch" viewBox="0 0 22 10" aria-hidden="true"><line x1="0" y1="5" x2="22" y2="5" '
        'stroke="var(--series-{})" stroke-dasharray="{}"/></svg>'
    ).format(series.index, " ".join(map(str, series.dash)))


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.globals["swatch"] = swatch
    return environment
