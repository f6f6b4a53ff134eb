"""What the page says of the GANs of one data set: pictures, a table and charts, each with its answer in words."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from comparison.charts.album import Album
from comparison.generators.charts import guess_chart, measure_chart, run_styles
from comparison.generators.courses import courses, guess_courses
from comparison.generators.over_seeds import ABOUT, QUESTION, seed_table
from comparison.generators.pictures import pictures_of
from comparison.generators.records import GeneratorRun
from comparison.generators.table import blocks, protocols
from comparison.generators.wording import course_answer, explanation, guess_answer, quality_answer, undecided
from comparison.sections import MOST_IN_A_FIGURE
from comparison.summary import printable
from comparison.units import count_of


def generator_section(
    data_set: str, runs: Sequence[GeneratorRun], output: Path, number: int, album: Album
) -> dict[str, Any]:
    """Everything that the template needs for the GANs of one data set.

    Args:
        data_set: Its name.
        runs: Its runs, as `label_runs` labels them.
        output: Where the page will lie; links are relative to it.
        number: Position among the sections of GANs, from 1; it makes the section's anchors unique.
        album: Takes the pictures.
    """
    series = [
        {
            "index": index,
            "label": run.label,
            "light": style.light,
            "dark": style.dark,
            "dash": " ".join(map(str, style.dash)),
            "anchor": f"gan-{number}-{index}",
        }
        for index, (run, style) in enumerate(zip(runs, run_styles(runs), strict=True))
    ]
    pictures, problems = pictures_of(runs, output, album)
    problems = [f"{run.label}: {problem}" for run in runs for problem in run.unread] + problems
    data, drawn = runs[0].data, runs[:MOST_IN_A_FIGURE]
    return {
        "id": f"gans-{number}",
        "name": f"GANs on {data_set}",
        "about": f"{count_of(len(runs), 'run')} on {data.train_images:,} training images, with {data.val_images:,} for "
        "validation.",
        "series": series,
        "drawn": series[:MOST_IN_A_FIGURE],
        "pictures": pictures,
        "answer": quality_answer(runs),
        "blocks": blocks(runs),
        "explanation": explanation(runs),
        "seeds": _seeds(runs),
        "courses": _courses(drawn),
        "guesses": _guesses(drawn),
        "unread": [printable(problem) for problem in problems],
    }


def _seeds(runs: Sequence[GeneratorRun]) -> dict[str, Any] | None:
    labels, rows = seed_table(runs)
    return {"question": QUESTION, "labels": labels, "blocks": rows, "about": ABOUT} if labels else None


def _courses(runs: Sequence[GeneratorRun]) -> list[dict[str, Any]]:
    """A chart for each protocol, since figures of two do not compare."""
    styles = run_styles(runs)
    found = [(protocol, courses(runs, protocol)) for protocol in protocols(runs)]
    return [
        {
            "title": course.measure.title,
            "scale": "log scale" if course.is_logarithmic else "",
            "about": str(protocol),
            "noun": course.measure.noun,
            "answer": course_answer(course.measure, course.lines),
            "specification": measure_chart(course, runs, styles),
        }
        for protocol, course in found
        if course is not None
    ]


def _guesses(runs: Sequence[GeneratorRun]) -> dict[str, Any] | None:
    lines = guess_courses(runs)
    if not lines:
        return None
    chart = guess_chart(lines, runs, run_styles(runs))
    return {"answer": guess_answer(lines), "undecided": undecided(runs), "specification": chart}
