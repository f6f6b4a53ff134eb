"""What the page says about one data set: the words, cells and charts that the template arranges."""

import os
import urllib.parse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from comparison.charts.accuracy_cost import COSTS, cost_chart, cost_summary
from comparison.charts.album import Album
from comparison.charts.learning_curves import accuracy_curves, loss_curves, time_unit
from comparison.curves import join_seeds, thin
from comparison.diagnosis import diagnosis
from comparison.fairness import fairness_notes
from comparison.groups import Comparison, Group
from comparison.palette import SeriesStyle, series_styles
from comparison.runs import Run
from comparison.summary import printable
from comparison.table import HEADINGS, data_set_line, error_with_uncertainty, explain_uncertainty, table_rows
from comparison.text_layout import in_one_line
from comparison.training_flops import EXPLANATION, human_flops
from comparison.units import ABSENT, count_of, human_duration, human_epochs, human_percent
from comparison.wording import (
    cost_caption,
    curves_caption,
    finding,
    learning_answer,
    listed,
    measured,
    shared_sentence,
)

CONFIG_CHARACTERS_IN_PAGE = 300_000
MILESTONES = (1, 2, 5, 10, 20, 50, 100, 200, 500)
MOST_MILESTONES = 10
BEST, ERROR, LAST, FLOPS = "best val acc1", "error, %", "last val acc1", "training FLOPs"
# The results stand beside the name, so that a phone shows them without scrolling; then costs, from what was spent to
# what the network is made of.
PAGE_HEADINGS = (
    *("architecture", BEST, ERROR, LAST, FLOPS, "wall time", "multiply-adds", "params"),
    *("conv params", "fc params", "depth", "seeds", "epochs", "images/s"),
)
# More lines than these in one plot cannot be told apart.
MOST_IN_A_FIGURE = 12


def data_set_section(comparison: Comparison, data_set: str, output: Path, number: int, album: Album) -> dict[str, Any]:
    """Everything that the template needs for one data set.

    Args:
        comparison: All groups and runs.
        data_set: Name of the data set.
        output: Where the page will lie; links are relative to it.
        number: Position of the section on the page, from 1; it makes its anchors unique.
        album: Takes the pictures of all sections.
    """
    groups = comparison.groups.get(data_set, [])
    series = _series(groups, output, number)
    about = data_set_line(comparison, data_set).removeprefix(f"{data_set}: ")
    section: dict[str, Any] = {
        "id": f"data-{number}",
        "name": data_set,
        "about": about[0].upper() + about[1:] + ".",
        "finding": finding(groups),
        "notes": fairness_notes(groups),
        "shared": shared_sentence(groups),
        "series": series,
        "rows": _rows(comparison, data_set, series),
        "explanation": f"{explain_uncertainty(groups)} {EXPLANATION}" if groups else "",
    }
    if groups:
        drawn = groups[:MOST_IN_A_FIGURE]
        section |= _figures(groups, drawn) | diagnosis(drawn, series_styles(drawn), album)
        section["drawn"] = series[:MOST_IN_A_FIGURE]
        section["measured"] = measured(groups)
    return section


def link_to(directory: Path, output: Path) -> str:
    """Address of a run directory relative to the page, or absolute where no relative one exists."""
    try:
        relative = os.path.relpath(directory, output.parent)
    except ValueError:  # another drive on Windows
        return directory.resolve().as_uri()
    return urllib.parse.quote(os.fsencode(Path(relative).as_posix()))


def _series(groups: Sequence[Group], output: Path, number: int) -> list[dict[str, Any]]:
    budget = CONFIG_CHARACTERS_IN_PAGE
    series = []
    for index, (group, style) in enumerate(zip(groups, series_styles(groups), strict=True)):
        config = group.example.config if len(group.example.config) <= budget else ""
        budget -= len(config)
        series.append(_one_series(group, style, index, config, output) | {"anchor": f"runs-{number}-{index}"})
    return series


def _one_series(group: Group, style: SeriesStyle, index: int, config: str, output: Path) -> dict[str, Any]:
    several = len(group.runs) > 1
    seeds = f"{'seeds' if several else 'seed'} {listed(map(str, group.seeds))}"
    shared = f" of seed {group.example.seed}; the others differ in nothing but the seed" if several else ""
    return {
        "index": index,
        "label": group.label,
        "light": style.light,
        "dark": style.dark,
        "dash": " ".join(map(str, style.dash)),
        "about": f"{count_of(len(group.runs), 'run')}, {seeds}",
        "runs": [_run(run, True, output) for run in group.runs] + [_run(run, False, output) for run in group.repeats],
        "config": config,
        "config_title": f"Configuration{shared}",
    }


def _run(run: Run, counts: bool, output: Path) -> dict[str, Any]:
    cells = [
        ABSENT if run.seed is None else str(run.seed),
        human_percent(run.best_accuracy),
        ABSENT if run.best_epoch is None else str(run.best_epoch),
        human_percent(run.last_accuracy),
        ABSENT if run.epochs is None else str(run.epochs),
        human_duration(run.wall_time_seconds),
    ]
    return {
        "name": printable(run.directory.name),
        "link": _link(run, output),
        "has_files": run.directory.is_dir(),
        "counts": counts,
        "cells": cells,
    }


def _link(run: Run, output: Path) -> str | None:
    """Where a run is to be found: its directory, its page at W&B, or nowhere."""
    if run.directory.is_dir():
        return f"{link_to(run.directory, output)}/"
    return run.url if (run.url or "").startswith("https://") else None


def _rows(comparison: Comparison, data_set: str, series: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    rows = []
    for position, row in enumerate(table_rows(comparison, data_set)):
        cells = dict(zip(map(in_one_line, HEADINGS), row.cells(), strict=True))
        best = row.group.best if row.group else None
        cells |= {
            BEST: cells["val acc1"],
            ERROR: error_with_uncertainty(best) if best else ABSENT,
            LAST: human_percent(row.group.last if row.group else None),
            FLOPS: human_flops(row.training_flops),
        }
        rows.append(
            {"cells": [cells[heading] for heading in PAGE_HEADINGS], "series": series[position] if row.group else None}
        )
    return rows


def _figures(groups: Sequence[Group], drawn: Sequence[Group]) -> dict[str, Any]:
    """Curves of the groups that are drawn, costs of all: a front of some would leave out the cheapest."""
    styles = series_styles(drawn)
    costs = [
        {
            "title": f"Accuracy against {title.removesuffix(' per image')}",
            "axis": title,
            "specification": chart,
            "answer": cost_summary(groups, cost),
        }
        for cost, title in COSTS.items()
        if (chart := cost_chart(groups, cost)) is not None
    ]
    milestones, rows = _milestones(drawn)
    return {
        "number": len(groups),
        "learning_answer": learning_answer(drawn),
        "accuracy_curves": accuracy_curves(drawn, styles),
        "loss_curves": loss_curves(drawn, styles),
        "progress_axes": [
            ("epoch", "epochs", "epochs"),
            ("images", "images seen", "images seen"),
            ("time", "training time", f"training time, {time_unit(drawn)[0]}"),
        ],
        "curves_caption": curves_caption(drawn),
        "costs": costs,
        "cost_caption": cost_caption(groups),
        "milestones": milestones,
        "milestone_rows": rows,
    }


def _milestones(groups: Sequence[Group]) -> tuple[list[str], list[tuple[str, list[str]]]]:
    means = [
        {human_epochs(point.epoch): point for point in join_seeds([run.curve for run in group.runs], [], "accuracy")}
        for group in groups
    ]
    epochs = {text: point.epoch for by_epoch in means for text, point in by_epoch.items()}
    last = max(epochs.values(), default=0.0)
    of_interest = [text for text in sorted(epochs, key=epochs.__getitem__) if _is_milestone(epochs[text], last)]
    milestones = thin(of_interest, MOST_MILESTONES)
    rows = [
        (group.label, [human_percent(by_epoch[text].mean if text in by_epoch else None) for text in milestones])
        for group, by_epoch in zip(groups, means, strict=True)
    ]
    return milestones, rows


def _is_milestone(epoch: float, last: float) -> bool:
    # Of one or two epochs, the validations on the way are all that there is to tell.
    return last <= 2 or epoch in MILESTONES or epoch == last
