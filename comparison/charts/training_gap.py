"""Which of them overfits? Training figures beside those of validation, at the end of the training."""

from collections.abc import Sequence
from typing import Any

from comparison.charts.measurements import RunMeasurements, mean_at_the_end
from comparison.charts.parts import smallest_error
from comparison.charts.two_points import TwoNumbers, two_points_chart
from comparison.groups import Group
from comparison.units import human_percent

PERCENT_LABEL = "format(100 * datum.value, '~g') + ' %'"


def error_gaps(groups: Sequence[Group], measured: Sequence[Sequence[RunMeasurements]]) -> list[TwoNumbers]:
    """Errors in training and in validation, of the groups whose runs logged both."""
    floor = smallest_error(groups)
    gaps = []
    for group, runs in zip(groups, measured, strict=True):
        training, validation = (mean_at_the_end(runs, column) for column in ("train/acc1", "val/acc1"))
        if training is not None and validation is not None:
            errors = max(1 - training, floor), max(1 - validation, floor)
            gaps.append(TwoNumbers(group.label, *errors, human_percent(1 - training), human_percent(1 - validation)))
    return gaps


def loss_gaps(groups: Sequence[Group], measured: Sequence[Sequence[RunMeasurements]]) -> list[TwoNumbers]:
    """Losses in training and in validation, of the groups whose runs logged both."""
    gaps = []
    for group, runs in zip(groups, measured, strict=True):
        training, validation = (mean_at_the_end(runs, column) for column in ("train/loss", "val/loss"))
        if training and validation and min(training, validation) > 0:
            gaps.append(TwoNumbers(group.label, training, validation, f"{training:.3g}", f"{validation:.3g}"))
    return gaps


def error_gap_chart(groups: Sequence[Group], gaps: Sequence[TwoNumbers]) -> dict[str, Any]:
    """The errors, a row for each group."""
    names = "training error", "validation error"
    return two_points_chart(groups, gaps, names, f"Errors. {gap_answer(gaps, [])}", PERCENT_LABEL)


def loss_gap_chart(groups: Sequence[Group], gaps: Sequence[TwoNumbers]) -> dict[str, Any]:
    """The losses, a row for each group."""
    return two_points_chart(groups, gaps, ("training loss", "validation loss"), f"Losses. {gap_answer([], gaps)}")


def gap_answer(errors: Sequence[TwoNumbers], losses: Sequence[TwoNumbers]) -> str:
    """Who errs most beyond what it errs in training, and whose loss grows most; either may be unknown."""
    if all(gap.second <= gap.first for gap in (*errors, *losses)):
        what = " nor ".join([*(["error"] if errors else []), *(["loss"] if losses else [])])
        return f"None: {'neither' if ' nor ' in what else 'no'} {what} is larger in validation than in training."
    return " ".join(filter(None, (_error_answer(errors), _loss_answer(losses))))


def _error_answer(gaps: Sequence[TwoNumbers]) -> str:
    if not gaps:
        return ""
    ranked = sorted(gaps, key=lambda gap: gap.first - gap.second)
    widest, narrowest = ranked[0], ranked[-1]
    if widest.second <= widest.first:
        return "By their errors none, which are no larger in validation than in training."
    numbers = f"{widest.first_text} of the images wrong in training, {widest.second_text} in validation"
    if narrowest is widest:
        return f"{widest.label}: {numbers}."
    return (
        f"{widest.label} most: {numbers}. {narrowest.label} least: {narrowest.first_text} and {narrowest.second_text}."
    )


def _loss_answer(gaps: Sequence[TwoNumbers]) -> str:
    if not gaps:
        return ""
    widest = max(gaps, key=lambda gap: gap.second / gap.first)
    if widest.second <= widest.first:
        return "No loss is larger in validation than in training."
    times = widest.second / widest.first
    return f"The loss grows most from training to validation in {widest.label}: {times:.2g} times."
