"""How often an ensemble and each of its members err on the same images, and what averaging gained."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from callbacks.test_time.paired_gain import NORMAL_QUANTILE_95, Gain, paired_gain
from records.statistics import wilson_interval


@dataclass(frozen=True)
class Answers:
    """What a network says of each image of a split.

    Attributes:
        name: Name for the table.
        architecture: Name of its architecture.
        checkpoint: Where its weights are from.
        seed: Seed that it was trained with.
        labels: True classes. Shape (N,).
        probabilities: Class probabilities. Shape (N, num_classes).
    """

    name: str
    architecture: str
    checkpoint: str
    seed: int | None
    labels: Tensor
    probabilities: Tensor

    @property
    def right(self) -> Tensor:
        """Whether the first class is the true one. Shape (N,)."""
        return self.probabilities.argmax(-1) == self.labels


@dataclass(frozen=True)
class Accuracy:
    """Top-1 and top-5 accuracy with Wilson's 95 % intervals, as fractions, and the mean negative log-likelihood."""

    acc1: float
    acc1_low: float
    acc1_high: float
    acc5: float
    acc5_low: float
    acc5_high: float
    loss: float


def accuracy_of(answers: Answers) -> Accuracy:
    """Accuracy over all images."""
    labels, probabilities = answers.labels, answers.probabilities
    count = len(labels)
    ranking = probabilities.topk(min(5, probabilities.shape[-1])).indices
    acc5 = int((ranking == labels.unsqueeze(1)).any(1).sum()) / count
    acc1 = int(answers.right.sum()) / count
    likelihood = probabilities.gather(1, labels.unsqueeze(1))
    loss = float(-likelihood.clamp_min(torch.finfo(torch.float32).tiny).log().mean())
    return Accuracy(acc1, *wilson_interval(acc1, count), acc5, *wilson_interval(acc5, count), loss)


def average(members: Sequence[Answers]) -> Answers:
    """The ensemble: the mean of the members' class probabilities (Krizhevsky 2012, §6; Szegedy 2014, §7)."""
    probabilities = torch.stack([member.probabilities for member in members]).mean(0)
    name = f"ensemble of {len(members)}"
    return Answers(name, "ensemble", "", None, members[0].labels, probabilities)


def gain_over_mean(ensemble: Answers, members: Sequence[Answers]) -> Gain:
    """How much more often the ensemble is right than its members on average, paired by image.

    For each image, the ensemble's 0 or 1 minus the share of members that are right; the interval is that of the mean of
    these differences, by the normal approximation.
    """
    share = torch.stack([member.right for member in members]).double().mean(0)
    differences = ensemble.right.double() - share
    half_width = NORMAL_QUANTILE_95 * float(differences.std()) / math.sqrt(len(differences))
    value = float(differences.mean())
    return Gain(value, value - half_width, value + half_width)


def summarize(members: Sequence[Answers]) -> dict[str, Any]:
    """Accuracy of each member and of the ensemble, and the ensemble's gain over the best and over the mean member."""
    ensemble = average(members)
    rows = [
        {
            "name": member.name,
            "architecture": member.architecture,
            "checkpoint": member.checkpoint,
            "seed": member.seed,
            **asdict(accuracy_of(member)),
        }
        for member in members
    ]
    best = max(members, key=lambda member: int(member.right.sum()))
    won = int((ensemble.right & ~best.right).sum())
    lost = int((~ensemble.right & best.right).sum())
    return {
        "images": len(ensemble.labels),
        "members": rows,
        "ensemble": asdict(accuracy_of(ensemble)),
        "gain_over_best": {"member": best.name, **paired_gain(won, lost, len(best.labels))._asdict()},
        "gain_over_mean": gain_over_mean(ensemble, members)._asdict(),
    }


def table(summary: dict[str, Any]) -> str:
    """The summary as text for a terminal."""
    rows = [("", "network", "top-1 error (95 %)", "top-5 error (95 %)", "loss")]
    ensemble = {"name": f"ensemble of {len(summary['members'])}", "architecture": "", **summary["ensemble"]}
    for row in (*summary["members"], ensemble):
        errors = [_error(row[name], row[f"{name}_low"], row[f"{name}_high"]) for name in ("acc1", "acc5")]
        rows.append((row["name"], row["architecture"], *errors, f"{row['loss']:.4f}"))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    best, mean = summary["gain_over_best"], summary["gain_over_mean"]
    return "\n".join(
        [
            *lines,
            "",
            f"Gain over the best member, {best['member']}: {_points(best)}; rather too low, for that member was found "
            "best on these same images.",
            f"Gain over the mean member: {_points(mean)}.",
        ]
    )


def _error(accuracy: float, low: float, high: float) -> str:
    return f"{1 - accuracy:.2%} ({1 - high:.2%} to {1 - low:.2%})"


def _points(gain: dict[str, Any]) -> str:
    value, low, high = (100 * gain[name] for name in ("value", "low", "high"))
    return f"{value:+.2f} points (95 % interval {low:+.2f} to {high:+.2f})"
