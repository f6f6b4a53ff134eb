"""The comparison as one HTML page that loads nothing: style, drawing library and data are all inside."""

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from comparison.fairness import fairness_notes, general_notes
from comparison.groups import Comparison
from comparison.pictures import PictureBudget
from comparison.questions import Section, link_to, make_section, swatch
from comparison.questions.charts import time_unit
from comparison.questions.most_accurate import finding, verdict
from comparison.questions.sample_quality import nearest
from comparison.table import about_data, explained
from comparison.units import count_of
from records.files import write_whole
from records.record import printable

HERE = Path(__file__).parent


def write_page(comparison: Comparison, output: Path) -> None:
    """Write the page; its links to the runs are relative to where it lies.

    Raises:
        ValueError: If the page cannot be written there.
    """
    if output.is_dir():
        raise ValueError(f"{output} is a folder: name a file with --output.")
    html = render_page(comparison, output)
    try:
        write_whole(output, html)
    except OSError as error:
        raise ValueError(
            f"{output} cannot be written ({error.strerror}): choose another file with --output."
        ) from error


def render_page(comparison: Comparison, output: Path) -> str:
    """The HTML of the page that is to lie at `output`."""
    environment = templates(HERE)
    environment.globals["swatch"] = swatch
    with ThreadPoolExecutor(1) as pool:
        vega = pool.submit(_vega_runtime)
        sections = [_filled(section) for section in sections_of(comparison, output)]
    return environment.get_template("page.html.jinja").render(
        title=_title(comparison),
        verdict=" ".join(
            filter(None, [verdict(comparison.groups), *(nearest(data, runs) for data, runs in comparison.gans.items())])
        ),
        general_notes=general_notes(comparison),
        sections=sections,
        left_out=[
            (
                f"{link_to(run.directory, output)}/" if run.directory.is_dir() else None,
                printable(run.directory.as_posix()),
                explained(run),
            )
            for run in comparison.excluded
        ],
        css=Markup((HERE / "page.css").read_text(encoding="utf-8")),
        script=Markup((HERE / "page.js").read_text(encoding="utf-8")),
        vega=Markup(vega.result()),
    )


def templates(folder: Path) -> jinja2.Environment:
    """Templates of a folder, in which values are text and never markup; `inline_json` is for script elements."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["inline_json"] = inline_json
    return environment


def sections_of(comparison: Comparison, output: Path) -> list[Section]:
    """Sections of classifiers, then of GANs, each of one data set; all share what pictures a page may have."""
    pictures = PictureBudget()
    classifiers = [
        make_section(
            data_set,
            comparison.groups.get(data_set, []),
            left_out=[run for run in comparison.left_out if run.data.name == data_set],
            output=output,
            number=number,
            pictures=pictures,
        )
        for number, data_set in enumerate(comparison.data_sets, start=1)
    ]
    gans = [
        make_section(data_set, gans=runs, output=output, number=number, pictures=pictures)
        for number, (data_set, runs) in enumerate(comparison.gans.items(), start=1)
    ]
    return [*classifiers, *gans]


def _filled(section: Section) -> dict[str, Any]:
    """A section as the template shows it, with the answers to its questions."""
    answers = list(section.answers())
    groups, drawn = section.drawn_groups, len(section.drawn)
    follows_progress = any(chart.progress for _, answer in answers for chart in answer.charts)
    axes = [
        ("epoch", "epochs", "epochs"),
        ("images", "images seen", "images seen"),
        ("time", "training time", f"training time, {time_unit(groups)[0]}"),
    ]
    filled: dict[str, Any] = {
        "id": section.id,
        "series": section.series,
        "drawn": section.drawn,
        "answers": answers,
        "progress_axes": axes if follows_progress else [],
        "unread": [printable(problem) for problem in section.unread],
        "drawn_note": "",
    }
    if section.gans:
        data = section.gans[0].data
        if len(section.gans) > drawn:
            filled["drawn_note"] = f"Drawn are the first {drawn} of {len(section.gans)}; the table has all."
        return filled | {
            "kind": "a GAN",
            "name": f"GANs on {section.data_set}",
            "about": f"{count_of(len(section.gans), 'run')} on {data.train_images:,} training images, with "
            f"{data.val_images:,} for validation.",
            **{"finding": "", "notes": [], "headed_by_the_page": False},
        }
    if len(section.groups) > drawn:
        filled["drawn_note"] = (
            f"Drawn here, and looked into below, are the best {drawn} of {len(section.groups)}; the table and the "
            "costs have all."
        )
    about = about_data((section.groups[0].example if section.groups else section.left_out[0]).data)
    return filled | {
        "kind": "an architecture",
        "name": section.data_set,
        "about": f"{about[0].upper()}{about[1:]}.",
        "finding": finding(section.groups),
        "notes": fairness_notes(section.groups),
        "headed_by_the_page": True,
    }


def inline_json(value: Any) -> Markup:
    """JSON that may stand inside a script element: a name in it can neither end the element nor open a comment."""
    return Markup(json.dumps(value, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c"))


@cache
def _vega_runtime() -> str:
    """The drawing library, in a function, so that none of its many short names meets the page's own.

    It takes seconds and does not let other threads run meanwhile, so a process of its own makes it.
    """
    program = "import sys, vl_convert; sys.stdout.buffer.write(vl_convert.javascript_bundle(sys.argv[1]).encode())"
    command = [sys.executable, "-c", program, "window.vegaEmbed = vegaEmbed;"]
    bundle = subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout.decode()
    return f"(() => {{{bundle}}})();"


def _title(comparison: Comparison) -> str:
    architectures = len({group.architecture for groups in comparison.groups.values() for group in groups})
    data_sets = list(comparison.groups)
    gans = list(comparison.gans)
    parts = []
    if data_sets:
        parts.append(f"{count_of(architectures, 'architecture')} on {_where(data_sets)}")
    if gans:
        parts.append(f"{count_of(sum(map(len, comparison.gans.values())), 'GAN')} on {_where(gans)}")
    return ", ".join(parts) or "No finished run yet"


def _where(data_sets: list[str]) -> str:
    return data_sets[0] if len(data_sets) == 1 else count_of(len(data_sets), "data set")
