"""Which of them overfits? Training figures beside those of validation, at the end of the training."""

from collections.abc import Sequence

from comparison.curves import mean_at_the_end
from comparison.groups import Group
from comparison.measures import ACCURACY
from comparison.questions import Answer, Chart, Section
from comparison.questions.charts import TwoNumbers, smallest_error, two_points_chart
from comparison.units import human_percent
from records.curves import History

QUESTION = "Which of them overfits?"
PERCENT_LABEL = "format(100 * datum.value, '~g') + ' %'"
MARKS = "○ in training, ● in validation"
CAPTION = (
    "Means over the last tenth of the epochs and over the seeds. The figures of training are of the batches that were "
    "logged, as the network saw them: augmented, with dropout, and before the epoch was over. So the error of "
    "validation may be the smaller one."
)


def answer(section: Section) -> Answer | None:
    """Errors and losses, a row for each group whose runs logged both."""
    if not section.groups:
        return None
    errors, losses = (gaps(section.drawn_groups, section.metrics) for gaps in (error_gaps, loss_gaps))
    charts = []
    if errors:
        names, spoken = ("training error", "validation error"), f"Errors. {gap_answer(errors, [])}"
        chart = two_points_chart(section.drawn, errors, names, spoken, PERCENT_LABEL)
        charts.append(Chart("Error", chart, "error, log scale", MARKS))
    if losses:
        names, spoken = ("training loss", "validation loss"), f"Losses. {gap_answer([], losses)}"
        charts.append(Chart("Loss", two_points_chart(section.drawn, losses, names, spoken), "loss, log scale", MARKS))
    return Answer([gap_answer(errors, losses)], charts, CAPTION) if charts else None


def error_gaps(groups: Sequence[Group], metrics: Sequence[Sequence[History]]) -> list[TwoNumbers]:
    """Errors in training and in validation, of the groups whose runs logged both."""
    floor = smallest_error(groups)
    gaps = []
    for group, runs in zip(groups, metrics, strict=True):
        training, validation = (mean_at_the_end(runs, column) for column in ("train/acc1", ACCURACY.name))
        if training is not None and validation is not None:
            errors = max(1 - training, floor), max(1 - validation, floor)
            gaps.append(TwoNumbers(group.label, *errors, human_percent(1 - training), human_percent(1 - validation)))
    return gaps


def loss_gaps(groups: Sequence[Group], metrics: Sequence[Sequence[History]]) -> list[TwoNumbers]:
    """Losses in training and in validation, of the groups whose runs logged both."""
    gaps = []
    for group, runs in zip(groups, metrics, strict=True):
        training, validation = (mean_at_the_end(runs, column) for column in ("train/loss", "val/loss"))
        if training and validation and min(training, validation) > 0:
            gaps.append(TwoNumbers(group.label, training, validation, f"{training:.3g}", f"{validation:.3g}"))
    return gaps


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
