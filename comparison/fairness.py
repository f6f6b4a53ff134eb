"""What a reader must know before comparing: where the runs of a data set differ in more than their architecture."""

from collections import Counter
from collections.abc import Callable, Sequence

from comparison.groups import Comparison, Group
from comparison.runs import Run
from comparison.units import count_of

NOT_RECORDED = "not recorded"
# What may differ, how its values are read off a run, and what the difference does to the comparison.
DIFFERENCES: tuple[tuple[str, Callable[[Run], object], str], ...] = (
    (
        "Training images",
        lambda run: f"{run.data.train_images:,}",
        "part of the difference in accuracy may come from the data",
    ),
    (
        "Validation images",
        lambda run: f"{run.data.val_images:,} ({run.data.selection_split})",
        "the accuracies were not measured on the same images",
    ),
    ("Hardware", lambda run: run.hardware, "images/s and wall time do not compare"),
    ("Epochs", lambda run: run.summary.epochs, "the budgets are unequal"),
    ("Global batch", lambda run: run.summary.global_batch_size, "it changes both accuracy and speed"),
    ("Precision", lambda run: run.summary.precision, "it changes speed, and may change accuracy"),
    (
        "PyTorch",
        lambda run: run.summary.versions.get("torch"),
        "speed and numerics may have changed between the versions",
    ),
    ("Code", lambda run: run.commit, "the runs come from different states of this project"),
)


def general_notes(comparison: Comparison) -> list[str]:
    """Notes on the comparison as a whole."""
    if len(comparison.groups) < 2:
        return []
    names = ", ".join(comparison.groups)
    return [f"{len(comparison.groups)} data sets ({names}): accuracies compare within a data set, not across."]


def fairness_notes(groups: Sequence[Group]) -> list[str]:
    """One sentence for each way in which the groups of one data set were not treated alike."""
    runs = [run for group in groups for run in group.runs]
    notes = []
    if any(run.data.selection_split == "test" for run in runs):
        notes.append(
            "Selected on test: the best epoch was chosen on the very images that the accuracy is reported for, "
            "so it is too high."
        )
    for subject, value_of, consequence in DIFFERENCES:
        values = Counter(_recorded(value_of(run)) for run in runs)
        if len(values) > 1:
            commonest = sorted(values.items(), key=lambda item: (-item[1], item[0]))[:4]
            listed = "; ".join(f"{value} ({count_of(number, 'run')})" for value, number in commonest)
            more = f"; and {len(values) - 4} more" if len(values) > 4 else ""
            verb = "differ" if subject.endswith("s") else "differs"
            notes.append(f"{subject} {verb}: {listed}{more}. So {consequence}.")
    if any(run.data.verified is False for run in runs):
        notes.append(
            "The images are a copy whose checksums are not the official ones, so published figures may differ."
        )
    seeds = {group.best.seeds for group in groups}
    if len(seeds) > 1:
        notes.append(
            f"The number of seeds differs ({min(seeds)} to {max(seeds)}), so the intervals mean different things."
        )
    repeats = sum(len(group.repeats) for group in groups)
    if repeats:
        notes.append(
            f"{count_of(repeats, 'older run')} with a seed that a newer run has too: only the newer one counts."
        )
    return notes


def shared_conditions(groups: Sequence[Group]) -> list[str]:
    """What all runs of one data set demonstrably have in common."""
    runs = [run for group in groups for run in group.runs]
    return [
        subject
        for subject, value_of, _ in DIFFERENCES
        if len(values := {_recorded(value_of(run)) for run in runs}) == 1 and NOT_RECORDED not in values
    ]


def _recorded(value: object) -> str:
    return NOT_RECORDED if value is None else str(value)
