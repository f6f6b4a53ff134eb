"""What the page says of why an accuracy is what it is: overfitting, classes, gradients, first layers.

All of it comes from files that a run may lack; a question that no run can answer is left out, a damaged file is named.
"""

from collections.abc import Sequence
from typing import Any

from comparison.charts.album import Album
from comparison.charts.class_errors import (
    CLASSES,
    class_errors_of,
    confused_pairs,
    errors_answer,
    hardest_classes,
    heat_rows,
)
from comparison.charts.first_filters import filter_pictures, filters_answer
from comparison.charts.gradient_flow import (
    gradient_answer,
    gradient_norms,
    gradient_norms_chart,
    gradient_ratio_chart,
    gradient_ratios,
)
from comparison.charts.gradient_layers import layer_norms_answer, layer_norms_chart, layer_norms_of
from comparison.charts.measurements import RunMeasurements, measurements_of
from comparison.charts.training_gap import (
    error_gap_chart,
    error_gaps,
    gap_answer,
    loss_gap_chart,
    loss_gaps,
)
from comparison.groups import Group
from comparison.palette import SeriesStyle
from comparison.summary import printable

Measured = Sequence[Sequence[RunMeasurements]]


def diagnosis(groups: Sequence[Group], styles: Sequence[SeriesStyle], album: Album) -> dict[str, Any]:
    """What the template needs for these questions; None for one that no run can answer."""
    measured, problems = measurements_of(groups)
    errors, error_problems = _class_errors(groups, album)
    gradients, gradient_problems = _gradients(groups, styles, measured)
    filters, filter_problems = _first_filters(groups, measured, album)
    unread = problems + error_problems + gradient_problems + filter_problems
    return {
        "gap": _gap(groups, measured),
        "class_errors": errors,
        "gradients": gradients,
        "filters": filters,
        "unread": [printable(problem) for problem in unread],
    }


def _gap(groups: Sequence[Group], measured: Measured) -> dict[str, Any] | None:
    errors, losses = error_gaps(groups, measured), loss_gaps(groups, measured)
    if not errors and not losses:
        return None
    return {
        "answer": gap_answer(errors, losses),
        "errors": error_gap_chart(groups, errors) if errors else None,
        "losses": loss_gap_chart(groups, losses) if losses else None,
    }


def _class_errors(groups: Sequence[Group], album: Album) -> tuple[dict[str, Any] | None, list[str]]:
    errors, problems = class_errors_of(groups)
    if not errors:
        return None, problems
    names = hardest_classes(errors)
    number = len({name for group in errors for run in group.runs for name in run.images})
    cards = []
    for group in errors:
        pairs, unread = confused_pairs(group, album)
        problems += unread
        cards.append({"position": group.position, "label": group.label, "runs": len(group.runs), "pairs": pairs})
    return {
        "answer": errors_answer(errors, names),
        "columns": [{"position": group.position, "label": group.label} for group in errors],
        "rows": heat_rows(errors, names),
        "hardest_of": number if number > CLASSES else None,
        "cards": cards,
    }, problems


def _gradients(
    groups: Sequence[Group], styles: Sequence[SeriesStyle], measured: Measured
) -> tuple[dict[str, Any] | None, list[str]]:
    ratios, norms = gradient_ratios(groups, measured), gradient_norms(groups, measured)
    layers, problems = layer_norms_of(groups)
    if not ratios or not norms:
        return None, problems
    all_by_layer = {norm.label for norm in norms} <= {group.label for group in layers}
    return {
        "answer": gradient_answer(norms),
        "layers_answer": layer_norms_answer(layers) if layers else None,
        "ratios": gradient_ratio_chart(ratios, groups, styles),
        "norms": None if all_by_layer else gradient_norms_chart(groups, norms),
        "layers": layer_norms_chart(groups, layers, styles) if layers else None,
    }, problems


def _first_filters(
    groups: Sequence[Group], measured: Measured, album: Album
) -> tuple[dict[str, Any] | None, list[str]]:
    pictures, problems = filter_pictures(groups, album)
    if not pictures:
        return None, problems
    return {"answer": filters_answer(pictures, groups, measured), "pictures": pictures}, problems
