"""The verdicts as one HTML page that loads nothing: a section for each claim."""

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

import comparison.page
from case_studies.report import finding_text, mean_text, unit_of, word
from case_studies.results import Result, means
from case_studies.study import Measure, Part
from case_studies.verdicts import Finding, Verdict, t_quantile
from comparison.page import templates
from comparison.units import count_of, human_duration
from records.files import write_whole

HERE = Path(__file__).parent
TICKS = 5
SYMBOLS = {
    Verdict.SUPPORTED: "✓",
    Verdict.NOT_SUPPORTED: "✗",
    Verdict.INCONCLUSIVE: "?",
    Verdict.VOID: "∅",
    Verdict.OPEN: "…",
}


class Axis:
    """A horizontal axis that holds some values, with round ticks; positions on it are in per cent of its width."""

    def __init__(self, values: Iterable[float], logarithmic: bool = False) -> None:
        known = [value for value in values if math.isfinite(value)] or [0.0]
        low, high = min(known), max(known)
        air = 0.06 * (high - low) or abs(high) or 1.0
        self.low, self.high = low - air, high + air
        self.logarithmic = logarithmic

    def at(self, value: float) -> float:
        """Where a value lies; what is beyond an end lies at the end."""
        return round(100 * min(1.0, max(0.0, (value - self.low) / (self.high - self.low))), 2)

    @property
    def ticks(self) -> list[tuple[float, str]]:
        """Positions and texts of round values."""
        if self.logarithmic:
            return self._round_factors()
        step = 10 ** math.floor(math.log10((self.high - self.low) / TICKS))
        step *= next(factor for factor in (1, 2, 5, 10) if (self.high - self.low) / (factor * step) <= TICKS)
        first = math.ceil(self.low / step)
        values = [n * step for n in range(first, math.floor(self.high / step) + 1)]
        return [(self.at(value), f"{value:.6g}".replace("-", "−")) for value in values]

    def _round_factors(self) -> list[tuple[float, str]]:
        decades = range(math.floor(self.low / math.log(10)), math.ceil(self.high / math.log(10)) + 1)
        factors = [factor * 10.0**decade for decade in decades for factor in (1, 1.5, 2, 3, 5, 7)]
        inside = [factor for factor in factors if self.low <= math.log(factor) <= self.high]
        chosen = inside[:: math.ceil(len(inside) / TICKS) or 1]
        return [(self.at(math.log(factor)), f"× {factor:g}") for factor in chosen]


def write_page(results: Sequence[Result], output: Path) -> None:
    """Write the page.

    Raises:
        ValueError: It cannot be written there.
    """
    try:
        write_whole(output, render_page(results))
    except OSError as error:
        raise ValueError(
            f"{output} cannot be written ({error.strerror}): choose another file with --output."
        ) from error


def render_page(results: Sequence[Result]) -> str:
    """The HTML of the page."""
    style = (comparison.page.HERE / "page.css").read_text(encoding="utf-8")
    return (
        templates(HERE)
        .get_template("page.html.jinja")
        .render(
            studies=[_filled(result) for result in results],
            by_chance=_by_chance(results),
            css=Markup(style + (HERE / "page.css").read_text(encoding="utf-8")),
            script=Markup((HERE / "page.js").read_text(encoding="utf-8")),
        )
    )


def _filled(result: Result) -> dict[str, Any]:
    """A study as the template shows it."""
    study = result.study
    return {
        "study": study,
        "scale": result.scale,
        "verdict": word(result) if result.verdict is not Verdict.OPEN else "no verdict yet",
        "kind": str(result.verdict).replace(" ", "-"),
        "symbol": SYMBOLS[result.verdict],
        "exploratory": result.exploratory if result.verdict is not Verdict.OPEN else "",
        "figures": [
            _figure(result, name, measure)
            for name, measure in study.measures.items()
            if name in {part.measure for part in study.parts.values()} | {p.measure for p in study.claim.published}
        ],
        "parts": [
            _part(study.parts[name], study.measures[study.parts[name].measure], found)
            for name, found in result.findings.items()
        ],
        "checks": result.checks,
        "failed": result.failed,
        "runs": f"{result.done} of {count_of(result.wanted, 'run')}, {human_duration(result.core_seconds)} of one core",
        "minutes": study.scale(result.scale).minutes,
        "seeds": len(study.scale(result.scale).seeds),
    }


def _figure(result: Result, name: str, measure: Measure) -> dict[str, Any] | None:
    """A measure of all arms, a dot for each seed, and what the paper prints of the same."""
    of_arms = result.figures.get(name, {})
    scale = 100 if measure.unit == "%" else 1
    rows = {arm: [scale * value for value in of_arms[arm].values()] for arm in result.study.arms if of_arms.get(arm)}
    published = [one for one in result.study.claim.published if one.measure == name]
    if not rows and not published:
        return None
    axis = Axis([*(v for row in rows.values() for v in row), *(v for one in published for v in one.figures.values())])
    return {
        "title": f"{measure.noun[0].upper()}{measure.noun[1:]}{unit_of(measure)}",
        "ticks": axis.ticks,
        "rows": [
            {
                "label": arm,
                "dots": [axis.at(value) for value in values],
                "mean": axis.at(scale * means(of_arms[arm])[0]),
                "text": mean_text(measure, of_arms[arm]),
            }
            for arm, values in rows.items()
        ],
        "published": [
            {
                "place": one.place,
                "shows": one.shows,
                "rows": [
                    {"label": label, "dots": [axis.at(value)], "mean": axis.at(value), "text": f"{value:g}"}
                    for label, value in one.figures.items()
                ],
            }
            for one in published
        ],
    }


def _part(part: Part, measure: Measure, found: Finding) -> dict[str, Any]:
    """A statement with its contrasts, interval and threshold, and what the page needs to judge anew without a seed."""
    percent = measure.unit == "%" and not part.ratio
    scale = 100 if percent else 1
    values = {seed: math.log(value) if part.ratio else scale * value for seed, value in found.contrasts.items()}
    low, high = (end * scale for end in (part.claimed.low, part.claimed.high))
    ends = [end for end in (low, high) if math.isfinite(end)]
    spread = [math.log(end) if part.ratio else scale * end for end in (found.low, found.high) if end is not None]
    axis = Axis([0.0, *ends, *values.values(), *spread], logarithmic=part.ratio)
    return {
        "part": part,
        "text": finding_text(part, measure, found),
        "verdict": str(found.verdict),
        "kind": str(found.verdict).replace(" ", "-"),
        "unit": "points" if percent else "times" if part.ratio else measure.unit,
        "ticks": axis.ticks,
        "zero": axis.at(0.0),
        "claimed": {"left": axis.at(low), "right": axis.at(high)},
        "thresholds": [axis.at(end) for end in ends],
        "dots": [{"seed": seed, "at": axis.at(value)} for seed, value in values.items()],
        "interval": {"left": axis.at(spread[0]), "right": axis.at(spread[1])} if spread else None,
        "data": {
            "values": {str(seed): round(value, 6) for seed, value in values.items()},
            "axis": [axis.low, axis.high],
            "claimed": [None if math.isinf(end) else end for end in (low, high)],
            "ratio": part.ratio,
            "quantiles": [t_quantile(found.confidence or 0.95, n) for n in range(1, max(2, len(values)))],
        },
    }


def _by_chance(results: Sequence[Result]) -> str:
    """How many false verdicts one has to expect among so many."""
    judged = [result for result in results if result.verdict in (Verdict.SUPPORTED, Verdict.NOT_SUPPORTED)]
    if len(judged) < 2:
        return ""
    error = sum((1 - result.study.decision.confidence) / 2 for result in judged)
    return (
        f"Each of these {len(judged)} verdicts would come out by chance in at most 2.5 % of repetitions if the effect "
        f"lay right at its threshold, so up to {error:.1f} false ones are to be expected among them."
    )
