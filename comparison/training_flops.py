"""What a training costs in floating-point operations, counted and not measured."""

from comparison.groups import Group
from comparison.runs import Run
from comparison.units import ABSENT

OPERATIONS_PER_MULTIPLY_ADD = 2
PASSES = 3  # forward; backward to the inputs and to the weights, each as large as forward
EXPLANATION = (
    "Training FLOPs: 2 × multiply-adds × 3 (forward, and backward twice as much) × training images × epochs; "
    "auxiliary heads and validation are not counted."
)
UNITS = ((1e6, "k"), (1e9, "M"), (1e12, "G"), (1e15, "T"), (1e18, "P"), (1e21, "E"), (1e24, "Z"))


def training_flops(run: Run) -> float | None:
    """Operations of one run; None if its network's or its length is not known."""
    if run.multiply_adds is None or run.epochs is None:
        return None
    return float(OPERATIONS_PER_MULTIPLY_ADD * PASSES * run.multiply_adds * run.data.train_images * run.epochs)


def mean_training_flops(group: Group) -> float | None:
    """Mean over the seeds."""
    known = [flops for run in group.runs if (flops := training_flops(run)) is not None]
    return sum(known) / len(known) if known else None


def human_flops(flops: float | None) -> str:
    """Three significant digits: 2.92 P."""
    if flops is None:
        return ABSENT
    limit, suffix = next((unit for unit in UNITS if flops < 0.9995 * unit[0]), UNITS[-1])
    return f"{1000 * flops / limit:#.3g}".removesuffix(".") + f" {suffix}"
