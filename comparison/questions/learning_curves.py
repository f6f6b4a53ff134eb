"""How fast does each learn? Validation accuracy and training loss against epochs, images seen or time."""

from collections.abc import Callable, Sequence
from typing import Any

from comparison.curves import BandPoint, join_seeds, thin
from comparison.groups import Group
from comparison.measures import ACCURACY
from comparison.questions import Answer, Chart, Section, html
from comparison.questions.charts import accuracy_axis, curves_chart, log_axis, smallest_error, time_unit
from comparison.units import human_epochs, human_percent

QUESTION = "How fast does each learn?"
POINTS_IN_A_CHART = 4_000
MILESTONES = (1, 2, 5, 10, 20, 50, 100, 200, 500)
MOST_MILESTONES = 10
NUMBERS = """
<details class="numbers">
  <summary>The numbers of this figure</summary>
  <div class="scroll">
  <table>
    <thead><tr><th scope="col">validation accuracy after epoch</th>{% for epoch in milestones %}<th scope="col">{{ epoch }}</th>{% endfor %}</tr></thead>
    <tbody>
    {% for label, cells in rows %}
    <tr><th scope="row">{{ label }}</th>{% for cell in cells %}<td>{{ cell }}</td>{% endfor %}</tr>
    {% endfor %}
    </tbody>
  </table>
  </div>
</details>
"""  # noqa: E501  HTML


def answer(section: Section) -> Answer | None:
    """The curves of the groups that are drawn, with their numbers."""
    groups = section.drawn_groups
    if not groups:
        return None
    charts = [
        Chart("Validation accuracy", accuracy_curves(section), "epochs", "error on a log scale", progress=True),
        Chart("Training loss", loss_curves(section), "epochs", "log scale", progress=True),
    ]
    milestones, rows = _milestones(section)
    return Answer([learning_answer(section)], charts, _caption(groups), html(NUMBERS, milestones=milestones, rows=rows))


def learning_answer(section: Section) -> str:
    """How long each takes to an accuracy that all reach, at its seeds' mean; empty where nobody logged any."""
    curves = {group.label: curve for group, curve in _accuracies(section) if curve}
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


def _caption(groups: Sequence[Group]) -> str:
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


def accuracy_curves(section: Section) -> dict[str, Any]:
    """Validation accuracy: a line a group, a band from the lowest to the highest of its seeds."""
    floor = smallest_error(section.drawn_groups)
    rows = _rows(section, "accuracy", lambda accuracy: max(1 - accuracy, floor), human_percent)
    return curves_chart(rows, accuracy_axis(rows), ACCURACY.noun, section.drawn)


def loss_curves(section: Section) -> dict[str, Any]:
    """Training loss on a logarithmic scale: a line a group, a band from the lowest to the highest of its seeds."""
    rows = _rows(section, "train_loss", lambda loss: loss, lambda loss: f"{loss:.4g}")
    rows = [row for row in rows if row["y_low"] > 0]
    return curves_chart(rows, log_axis(rows, 1.1), "training loss", section.drawn)


def _accuracies(section: Section) -> list[tuple[Group, tuple[BandPoint, ...]]]:
    return [
        (group, join_seeds([run.curve for run in runs], [], "accuracy"))
        for group, runs in zip(section.drawn_groups, section.metrics, strict=True)
    ]


def _rows(
    section: Section, quantity: str, height: Callable[[float], float], text: Callable[[float], str]
) -> list[dict[str, Any]]:
    groups = section.drawn_groups
    _, seconds_per_unit = time_unit(groups)
    rows = []
    for group, runs in zip(groups, section.metrics, strict=True):
        seconds = [run.summary.wall_time_seconds for run in group.runs if run.summary.wall_time_seconds is not None]
        band = join_seeds([run.curve for run in runs], seconds, quantity)
        points = thin(band, max(12, min(200, POINTS_IN_A_CHART // len(groups))))
        for point in points:
            y_low, y_high = sorted((height(point.low), height(point.high)))
            rows.append(
                {
                    "label": group.label,
                    "value": text(point.mean),
                    "epoch": round(point.epoch, 3),
                    "images": round(point.images_seen),
                    "time": _four_digits(point.seconds / seconds_per_unit),
                    "y": _four_digits(height(point.mean)),
                    "y_low": _four_digits(y_low),
                    "y_high": _four_digits(y_high),
                    "alone": len(points) == 1,
                }
            )
    return rows


def _four_digits(number: float) -> float:
    """More than a plot shows, in a page half as large."""
    return float(f"{number:.4g}")


def _milestones(section: Section) -> tuple[list[str], list[tuple[str, list[str]]]]:
    means = [(group.label, {human_epochs(p.epoch): p for p in curve}) for group, curve in _accuracies(section)]
    epochs = {text: point.epoch for _, by_epoch in means for text, point in by_epoch.items()}
    last = max(epochs.values(), default=0.0)
    of_interest = [text for text in sorted(epochs, key=epochs.__getitem__) if _is_milestone(epochs[text], last)]
    milestones = thin(of_interest, MOST_MILESTONES)
    rows = [
        (label, [human_percent(by_epoch[text].mean if text in by_epoch else None) for text in milestones])
        for label, by_epoch in means
    ]
    return milestones, rows


def _is_milestone(epoch: float, last: float) -> bool:
    # Of one or two epochs, the validations on the way are all that there is to tell.
    return last <= 2 or epoch in MILESTONES or epoch == last


def _epochs(epochs: float) -> str:
    text = human_epochs(epochs)
    return f"{text} epoch" if text == "1" else f"{text} epochs"
