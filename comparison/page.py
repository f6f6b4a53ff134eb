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

from comparison.charts.album import Album
from comparison.fairness import general_notes
from comparison.generators.section import generator_section
from comparison.groups import Comparison
from comparison.sections import PAGE_HEADINGS, data_set_section, link_to
from comparison.summary import printable
from comparison.units import count_of

HERE = Path(__file__).parent


def write_page(comparison: Comparison, output: Path) -> None:
    """Write the page; its links to the runs are relative to where it lies.

    Raises:
        ValueError: If the page cannot be written there.
    """
    if output.is_dir():
        raise ValueError(f"{output} is a folder: name a file with --output.")
    html = render_page(comparison, output)
    unfinished = output.with_name(f".{output.name}.part")
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        unfinished.write_text(html, encoding="utf-8")
        unfinished.replace(output)
    except OSError as error:
        raise ValueError(
            f"{output} cannot be written ({error.strerror}): choose another file with --output."
        ) from error


def render_page(comparison: Comparison, output: Path) -> str:
    """The HTML of the page that is to lie at `output`."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["inline_json"] = inline_json
    album = Album()
    with ThreadPoolExecutor(1) as pool:
        vega = pool.submit(_vega_runtime)
        sections = [
            data_set_section(comparison, data_set, output, number, album)
            for number, data_set in enumerate(comparison.data_sets, start=1)
        ]
        generator_sections = [
            generator_section(data_set, runs, output, number, album)
            for number, (data_set, runs) in enumerate(comparison.generators.items(), start=1)
        ]
    return environment.get_template("page.html.jinja").render(
        title=_title(comparison),
        general_notes=general_notes(comparison),
        sections=sections,
        generator_sections=generator_sections,
        headings=PAGE_HEADINGS,
        left_out=[
            (
                f"{link_to(run.directory, output)}/" if run.directory.is_dir() else None,
                printable(run.directory.as_posix()),
                run.problem,
            )
            for run in comparison.excluded
        ],
        css=Markup((HERE / "page.css").read_text(encoding="utf-8")),
        script=Markup((HERE / "page.js").read_text(encoding="utf-8")),
        vega=Markup(vega.result()),
    )


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
    generators = list(comparison.generators)
    parts = []
    if data_sets:
        parts.append(f"{count_of(architectures, 'architecture')} on {_place(data_sets)}")
    if generators:
        parts.append(f"{count_of(sum(map(len, comparison.generators.values())), 'GAN')} on {_place(generators)}")
    return ", ".join(parts) or "No finished run yet"


def _place(data_sets: list[str]) -> str:
    return data_sets[0] if len(data_sets) == 1 else count_of(len(data_sets), "data set")
