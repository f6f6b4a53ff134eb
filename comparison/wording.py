"""The page's sentences about one data set: what was found, what was equal, how it was measured, how to read a plot."""

from collections.abc import Iterable, Sequence

from comparison.curves import join_seeds
from comparison.fairness import shared_conditions
from comparison.groups import Group
from comparison.units import ABSENT, count_of, human_epochs, human_percent


def finding(groups: Sequence[Group]) -> str:
    """The result in a sentence or two, no stronger than the intervals allow."""
    if not groups:
        return ""
    first, *others = groups
    accuracy = human_percent(first.best.mean)
    if not others:
        return f"{first.label} reaches {accuracy} validation accuracy."
    if ties := [group.label for group in others if group.best.mean == first.best.mean]:
        return f"{listed([first.label, *ties])} reach the same highest validation accuracy: {accuracy}."
    lead = f"Of {len(groups)}, {first.label} reaches the highest validation accuracy: {accuracy}."
    rivals = [group.label for group in others if group.best.high >= first.best.low]
    if not rivals:
        return f"{lead} No other interval overlaps with its own."
    whose = "that" if len(rivals) == 1 else "those"
    return f"{lead} Its interval overlaps with {whose} of {listed(rivals)}, so their order is not settled."


def shared_sentence(groups: Sequence[Group]) -> str:
    """What was the same for all runs, as a sentence; empty with a single group."""
    conditions = shared_conditions(groups) if len(groups) > 1 else []
    lowered = [condition if condition == "PyTorch" else condition.lower() for condition in conditions]
    return f"The same for all runs: {listed(lowered)}." if lowered else ""


def measured(groups: Sequence[Group]) -> list[tuple[str, str]]:
    """How the runs of one data set were made: each term with all the values that occur."""
    runs = [run for group in groups for run in group.runs]
    names = dict.fromkeys(name for run in runs for name in run.versions)
    versions = {name: _distinct(run.versions.get(name) for run in runs) for name in names}
    seeds = _distinct(listed([str(seed) for seed in group.seeds]) for group in groups)
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


def curves_caption(groups: Sequence[Group]) -> str:
    """How to read the learning curves."""
    parts = ["Higher is better on the left: each halving of the error takes the same height."]
    if any(group.best.seeds > 1 for group in groups):
        parts.append("Lines are means over the seeds, bands reach from the lowest to the highest seed.")
    parts.append(
        "The loss is the mean since the point before. Training time is the wall time, spread evenly over the images "
        "seen."
    )
    if any(group.best.high == 1 or group.best.mean == 1 for group in groups):
        parts.append("An error of zero is drawn at half an image.")
    return " ".join(parts)


def learning_answer(groups: Sequence[Group]) -> str:
    """How long each takes to an accuracy that all reach, at its seeds' mean; empty where nobody logged any."""
    curves = {
        group.label: curve
        for group in groups
        if (curve := join_seeds([run.curve for run in group.runs], [], "accuracy"))
    }
    if not curves:
        return ""
    goal = min(max(point.mean for point in curve) for curve in curves.values())
    reached = {label: next(p.epoch for p in curve if p.mean >= goal) for label, curve in curves.items()}
    ranked = sorted(reached, key=lambda label: reached[label])
    first, last = ranked[0], ranked[-1]
    after = f"{human_percent(goal)} after {_epochs(reached[first])}"
    if len(ranked) == 1:
        return f"{first} reaches {after}."
    if reached[first] == reached[last]:
        return f"All of them reach {after}."
    return (
        f"{first} is the first to reach {after}, {last} the last, after {_epochs(reached[last])}: an "
        "accuracy that all of them reach."
    )


def cost_caption(groups: Sequence[Group]) -> str:
    """How to read the plots of accuracy against cost."""
    bars = []
    if any(group.best.seeds > 1 for group in groups):
        bars.append("one sample standard deviation over the seeds")
    if any(group.best.seeds == 1 for group in groups):
        bars.append("the Wilson 95 % interval on the validation images for a single seed")
    return (
        f"Bars show {' or '.join(bars)}. The dashed line is the Pareto front: nothing is cheaper and more accurate "
        "than a point on it. The accuracy is drawn by its error on a log scale."
    )


def listed(names: Iterable[str]) -> str:
    """The names as a sentence lists them: a, b and c."""
    *most, last = list(names) or [ABSENT]
    return f"{', '.join(most)} and {last}" if most else last


def _epochs(epochs: float) -> str:
    text = human_epochs(epochs)
    return f"{text} epoch" if text == "1" else f"{text} epochs"


def _distinct(values: Iterable[object]) -> str:
    known = dict.fromkeys(str(value) for value in values if value is not None)
    return "; ".join(known) or ABSENT
