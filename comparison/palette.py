"""Colors of the architectures: fixed for each, apart in light and dark, also for color-blind readers.

The base colors were chosen by maximizing the smallest distance in OKLab between any two, seen normally and under
simulated protanopia, deuteranopia and tritanopia (Machado et al., 2009), on a light and on a dark background. Both
colors of an architecture are of one hue, so that it is known again in the other mode and in print.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from comparison.runs import Run


@dataclass(frozen=True)
class Family:
    """An architecture's hue in both modes, and the depth at which it is neither lightened nor darkened."""

    light: str
    dark: str
    depth: int


FAMILIES = {
    "alexnet": Family("#682500", "#f6976f", 8),
    "zfnet": Family("#c27321", "#b16614", 8),
    "vgg": Family("#30a193", "#248a7e", 16),
    "nin": Family("#ac76f9", "#925dd9", 12),
    "network-in-network": Family("#ac76f9", "#925dd9", 12),
    "googlenet": Family("#974260", "#ffc0d2", 22),
    "resnet": Family("#3969ab", "#84a4d2", 50),
}
# The colors that are furthest apart, one for each pair of a GAN's networks.
FAMILIES_OF_GANS = {
    "dcgan": FAMILIES["resnet"],
    "mlp": FAMILIES["zfnet"],
    "resnet": FAMILIES["vgg"],
    "improved": FAMILIES["googlenet"],
}
OTHERS = (
    Family("#4d5358", "#c1c7cd", 20),
    Family("#8c6d31", "#c9a95c", 20),
    Family("#00797f", "#5fd0d6", 20),
    Family("#9a2f55", "#f08fb0", 20),
)
SHADE_PER_DOUBLING = 0.14
STRONGEST_SHADE = 0.24
DASHES: tuple[tuple[int, ...], ...] = ((1, 0), (6, 3), (2, 2), (8, 3, 2, 3), (12, 4), (1, 3))


Style = tuple[str, str, tuple[int, ...]]
"""How a group or a GAN is drawn everywhere: its color in both modes, and its dash among those of the same color."""


def series_styles(runs: Sequence[Run]) -> list[Style]:
    """One style a run; the color depends on the architecture alone, deeper members of a family being stronger."""
    unknown = sorted({run.architecture for run in runs if _known_family(run) is None})
    drawn: dict[str, int] = {}
    styles = []
    for run in runs:
        name = run.architecture
        family = _known_family(run) or OTHERS[unknown.index(name) % len(OTHERS)]
        shade = 0.0 if run.is_gan else _shade(run.summary.model.depth, family)
        number = drawn[name] = drawn.get(name, -1) + 1
        # Deeper means further from the background: toward black on a light page, toward white on a dark one.
        light, dark = _mix(family.light, -shade), _mix(family.dark, 0.5 * shade)
        styles.append((light, dark, DASHES[number % len(DASHES)]))
    return styles


def _known_family(run: Run) -> Family | None:
    if run.is_gan:
        return FAMILIES_OF_GANS.get(run.architecture)
    name = run.architecture.lower()
    return next((family for prefix, family in FAMILIES.items() if name.startswith(prefix)), None)


def _shade(depth: int | None, family: Family) -> float:
    if not depth:
        return 0.0
    doublings = math.log2(depth / family.depth)
    return max(-STRONGEST_SHADE, min(STRONGEST_SHADE, SHADE_PER_DOUBLING * doublings))


def _mix(color: str, amount: float) -> str:
    """The color mixed with white (amount above zero) or black (below)."""
    target = 255 if amount > 0 else 0
    channels = (int(color[start : start + 2], 16) for start in (1, 3, 5))
    return "#" + "".join(f"{round(channel + abs(amount) * (target - channel)):02x}" for channel in channels)
