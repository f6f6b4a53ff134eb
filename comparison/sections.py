"""What the page says about one data set: the words, cells and charts that the template arranges."""

import os
import urllib.parse
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from comparison.accuracy_cost import COSTS, cost_chart, cost_summary
from comparison.curves import join_seeds
from comparison.fairness import fairness_notes
from comparison.groups import Comparison, Group
from comparison.learning_curves import accuracy_curves, loss_curves
from comparison.palette import SeriesStyle, series_styles
from comparison.runs import Run
from comparison.table import HEADINGS, data_set_line, explain_uncertainty, table_rows
from comparison.units import ABSENT, count_of, human_duration, human_percent

CONFIG_CHARACTERS_IN_PAGE = 300_000
MILESTONES = (1, 2, 5, 10, 20, 50, 100, 200, 500)
PROGRESS_AXES = (("epoch", "epochs"), ("images", "images seen"), ("seconds", "training time"))
LAST_EPOCH = "last epoch"
# The result stands beside the name, so that a phone shows it without scrolling.
PAGE_HEADINGS = (
    "architecture",
    "val acc1",
    "uncertainty",
    LAST_EPOCH,
    *(heading for heading in HEADINGS if heading not in ("architecture", "val acc1", "uncertainty")),
)


def data_set_section(comparison: Comparison, data_set: str, output: Path, number: int) -> dict[str, Any]:
    """Everything that the template needs for one data set.

    Args:
        comparison: All groups and runs.
        data_set: Name of the data set.
        output: Where the page will lie; links are relative to it.
        number: Position of the section on the page, from 1; it makes its anchors unique.
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
        "series": series,
        "rows": _rows(comparison, data_set, series),
        "explanation": explain_uncertainty(groups) if groups else "",
        "accuracy_curves": None,
        "loss_curves": None,
        "costs": [],
    }
    if groups:
        section |= _figures(groups)
        section["measured"] = measured(groups)
    return section


def finding(groups: Sequence[Group]) -> str:
    """The result in a sentence or two, no stronger than the intervals allow."""
    if not groups:
        return ""
    first, *others = groups
    lead = f"{first.label} reaches {human_percent(first.best.mean)} validation accuracy"
    if not others:
        return f"{lead}."
    rivals = [group.label for group in others if group.best.high >= first.best.low]
    lead += f", the most of {len(groups)}."
    if not rivals:
        return f"{lead} No other interval overlaps with its own."
    verb = "overlaps" if len(rivals) == 1 else "overlap"
    return f"{lead} But {_listed(rivals)} {verb} with it within the intervals: the order is not settled."


def measured(groups: Sequence[Group]) -> list[tuple[str, str]]:
    """How the runs of one data set were made: each term with all the values that occur."""
    runs = [run for group in groups for run in group.runs]
    names = dict.fromkeys(name for run in runs for name in run.versions)
    versions = {name: _distinct(run.versions.get(name) for run in runs) for name in names}
    seeds = _distinct(_listed([str(seed) for seed in group.seeds]) for group in groups)
    return [
        (
            "Images",
            _distinct(f"{run.data.train_images:,} training, {run.data.val_images:,} validation" for run in runs),
        ),
        ("Checksums", _distinct("verified" if run.data.verified else "not the official ones" for run in runs)),
        ("Best epoch selected on", _distinct(f"{run.data.selection_split}" for run in runs)),
        ("Runs that count", f"{len(runs)}, of {count_of(len(groups), 'configuration')}"),
        ("Seeds", seeds),
        ("Epochs", _distinct(run.epochs for run in runs)),
        ("Global batch", _distinct(run.global_batch_size for run in runs)),
        ("Precision", _distinct(run.precision for run in runs)),
        ("Hardware", _distinct(run.hardware for run in runs)),
        ("Versions", ", ".join(f"{name} {values}" for name, values in versions.items()) or ABSENT),
        ("Code", _distinct(run.commit for run in runs)),
    ]


def link_to(directory: Path, output: Path) -> str:
    """Address of a run directory relative to the page, or absolute where no relative one exists."""
    try:
        relative = os.path.relpath(directory, output.parent)
    except ValueError:  # another drive on Windows
        return directory.resolve().as_uri()
    return urllib.parse.quote(Path(relative).as_posix())


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
    seeds = f"{'seeds' if several else 'seed'} {_listed(map(str, group.seeds))}"
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
    return {"name": run.directory.name, "link": link_to(run.directory, output), "counts": counts, "cells": cells}


def _rows(comparison: Comparison, data_set: str, series: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    rows = []
    for position, row in enumerate(table_rows(comparison, data_set)):
        cells = dict(zip(HEADINGS, row.cells(), strict=True))
        cells[LAST_EPOCH] = human_percent(row.group.last if row.group else None)
        rows.append(
            {"cells": [cells[heading] for heading in PAGE_HEADINGS], "series": series[position] if row.group else None}
        )
    return rows


def _figures(groups: Sequence[Group]) -> dict[str, Any]:
    styles = series_styles(groups)
    costs = [
        {
            "title": f"Accuracy against {title.removesuffix(' per image')}",
            "axis": title,
            "specification": chart,
            "summary": cost_summary(groups, cost),
        }
        for cost, title in COSTS.items()
        if (chart := cost_chart(groups, cost)) is not None
    ]
    milestones, rows = _milestones(groups)
    return {
        "accuracy_curves": accuracy_curves(groups, styles),
        "loss_curves": loss_curves(groups, styles),
        "curves_caption": _curves_caption(groups),
        "costs": costs,
        "cost_caption": _cost_caption(groups),
        "milestones": milestones,
        "milestone_rows": rows,
    }


def _milestones(groups: Sequence[Group]) -> tuple[list[int], list[tuple[str, list[str]]]]:
    means = [
        {point.epoch: point.mean for point in join_seeds([run.curve for run in group.runs], [], "accuracy")}
        for group in groups
    ]
    last = max((epoch for by_epoch in means for epoch in by_epoch), default=0)
    milestones = sorted({epoch for epoch in MILESTONES if epoch < last} | {last})
    rows = [
        (group.label, [human_percent(by_epoch.get(epoch)) for epoch in milestones])
        for group, by_epoch in zip(groups, means, strict=True)
    ]
    return milestones, rows


def _curves_caption(groups: Sequence[Group]) -> str:
    parts = ["Higher is better on the left: each halving of the error takes the same height."]
    if any(group.best.seeds > 1 for group in groups):
        parts.append("Lines are means over the seeds, bands reach from the lowest to the highest seed.")
    parts.append(
        "The loss is the mean over an epoch. Training time is the wall time, spread evenly over the images seen."
    )
    if any(group.best.high == 1 or group.best.mean == 1 for group in groups):
        parts.append("An error of zero is drawn at half an image.")
    return " ".join(parts)


def _cost_caption(groups: Sequence[Group]) -> str:
    bars = []
    if any(group.best.seeds > 1 for group in groups):
        bars.append("one sample standard deviation over the seeds")
    if any(group.best.seeds == 1 for group in groups):
        bars.append("the Wilson 95 % interval on the validation images for a single seed")
    return (
        f"Bars show {' or '.join(bars)}. The dashed line is the Pareto front: nothing is cheaper and more accurate "
        "than a point on it. The accuracy is drawn by its error on a log scale."
    )


def _distinct(values: Iterable[object]) -> str:
    known = dict.fromkeys(str(value) for value in values if value is not None)
    return "; ".join(known) or ABSENT


def _listed(names: Iterable[str]) -> str:
    *most, last = list(names) or [ABSENT]
    return f"{', '.join(most)} and {last}" if most else last
