"""Contestants measured in turns, so that a machine whose speed drifts slows all alike; what counts is the ratio."""

import platform
import statistics
from collections.abc import Callable, Mapping
from datetime import date

import torch
from tqdm import tqdm

from experiment.run_record import hardware


def measure(contestants: Mapping[str, Callable[[], float]], repetitions: int) -> dict[str, list[float]]:
    """Call each contestant in turn, `repetitions` times after a first round that does not count.

    Args:
        contestants: By name, a function that returns images per second.
        repetitions: Rounds that count.

    Returns:
        Images per second of each round, by name.
    """
    speeds: dict[str, list[float]] = {name: [] for name in contestants}
    with tqdm(total=(repetitions + 1) * len(contestants), leave=False) as bar:
        for turn in range(repetitions + 1):
            for name, run in contestants.items():
                bar.set_description(name)
                speed = run()
                if turn > 0:
                    speeds[name].append(speed)
                bar.update()
    return speeds


def report(title: str, speeds: Mapping[str, list[float]], peer: str, unit: str = "images/s") -> str:
    """A Markdown table: the speed of each contestant, and the ratio to the peer round by round.

    Args:
        title: What was measured.
        speeds: Result of `measure`.
        peer: The contestant that the others are compared with.
        unit: Of the speeds.
    """
    machine = hardware(1)
    rounds = len(speeds[peer])
    lines = [
        f"## {title}",
        "",
        f"{machine['gpu'] or machine['cpu']}, {machine['cores']} cores, torch {torch.__version__}, "
        f"Python {platform.python_version()}, {date.today()}; medians (least to most) of {rounds} interleaved rounds.",
        "",
        f"| | {unit} | ratio |",
        "|---|--:|--:|",
    ]
    for name, values in speeds.items():
        ratios = [value / other for value, other in zip(values, speeds[peer], strict=True)]
        lines.append(f"| {name} | {_spread(values, ',.0f')} | {_spread(ratios, '.2f')} |")
    return "\n".join(lines)


def _spread(values: list[float], form: str) -> str:
    low, middle, high = min(values), statistics.median(values), max(values)
    return f"{middle:{form}} ({low:{form}}–{high:{form}})"
