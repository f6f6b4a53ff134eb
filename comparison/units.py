"""Numbers and names as people read them: 0.27 M, 40.6 M, 98.61 %, 10.2 min; a, b and c."""

from collections.abc import Iterable

ABSENT = "–"
FLOP_UNITS = ((1e6, "k"), (1e9, "M"), (1e12, "G"), (1e15, "T"), (1e18, "P"), (1e21, "E"), (1e24, "Z"))


def human_count(count: float | None) -> str:
    """A count of parameters or multiply-adds with three significant digits: 650, 1.38 k, 0.27 M, 40.6 M, 1.82 G."""
    if count is None:
        return ABSENT
    if count < 1_000:
        return f"{count:.0f}"
    for limit, unit, suffix in ((1e5, 1e3, "k"), (1e9, 1e6, "M"), (1e12, 1e9, "G")):
        if count < limit:
            return f"{_three_digits(count / unit)} {suffix}"
    return f"{_three_digits(count / 1e12)} T"


def human_percent(fraction: float | None, digits: int = 2) -> str:
    """A fraction in [0, 1] as a percentage."""
    return ABSENT if fraction is None else f"{100 * fraction:.{digits}f} %"


def human_duration(seconds: float | None) -> str:
    """A duration in the largest unit of which there is at least one: 41 s, 10.2 min, 3.4 h, 2.1 d."""
    if seconds is None:
        return ABSENT
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    for limit, unit, suffix in ((3_600, 60, "min"), (86_400, 3_600, "h")):
        if seconds < limit:
            return f"{seconds / unit:.1f} {suffix}"
    return f"{seconds / 86_400:.1f} d"


def human_rate(rate: float | None) -> str:
    """Images per second: 0.5, 731, 2,150."""
    if rate is None:
        return ABSENT
    return f"{rate:.1f}" if rate < 10 else f"{rate:,.0f}"


def count_of(number: int, noun: str) -> str:
    """A number with its noun in the right form: 1 run, 2 runs."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def human_epochs(epochs: float) -> str:
    """Epochs that were trained, the last of them perhaps in part: 10, 0.25."""
    return f"{round(epochs, 2):g}"


def human_flops(flops: float | None) -> str:
    """Floating-point operations with three significant digits: 2.92 P."""
    if flops is None:
        return ABSENT
    limit, suffix = next((unit for unit in FLOP_UNITS if flops < 0.9995 * unit[0]), FLOP_UNITS[-1])
    return f"{1000 * flops / limit:#.3g}".removesuffix(".") + f" {suffix}"


def listed(names: Iterable[str]) -> str:
    """The names as a sentence lists them: a, b and c."""
    *most, last = list(names) or [ABSENT]
    return f"{', '.join(most)} and {last}" if most else last


def _three_digits(number: float) -> str:
    return f"{number:.{2 if number < 9.995 else 1 if number < 99.95 else 0}f}"
