"""The verdicts as one HTML page that loads nothing: a section for each claim."""

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

import comparison.page
from case_studies.report import capitalized, figures_text, finding_text, mean_text, scale_and_unit, unit_of
from case_studies.results import Result, means
from case_studies.study import Measure, Part, Published
from case_studies.verdicts import Verdict
from case_studies.words import ENGLISH, Language, Words
from comparison.page import templates
from comparison.units import human_duration
from records.files import write_whole
from records.statistics import t_quantile

HERE = Path(__file__).parent
TICKS = 5
SYMBOLS = {
    Verdict.SUPPORTED: "✓",
    Verdict.NOT_SUPPORTED: "✗",
    Verdict.INCONCLUSIVE: "?",
    Verdict.VOID: "∅",
    Verdict.OPEN: "…",
}
IN_SCRIPT = ("two_seeds", "with_seeds", "with_seeds_short", "guessed", "your_guess")


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
        return [(self.at(value), f"{value:,.6g}".replace("-", "−")) for value in values]

    def _round_factors(self) -> list[tuple[float, str]]:
        decades = range(math.floor(self.low / math.log(10)), math.ceil(self.high / math.log(10)) + 1)
        factors = [factor * 10.0**decade for decade in decades for factor in (1, 1.5, 2, 3, 5, 7)]
        inside = [factor for factor in factors if self.low <= math.log(factor) <= self.high]
        chosen = inside[:: math.ceil(len(inside) / TICKS) or 1]
        return [(self.at(math.log(factor)), f"× {factor:g}") for factor in chosen]


def write_page(results: Sequence[Result], output: Path, language: Language = "en") -> None:
    """Write the page.

    Raises:
        ValueError: It cannot be written there.
    """
    try:
        write_whole(output, render_page(results, language))
    except OSError as error:
        raise ValueError(
            f"{output} cannot be written ({error.strerror}): choose another file with --output."
        ) from error


def render_page(results: Sequence[Result], language: Language = "en") -> str:
    """The HTML of the page.

    Args:
        results: Of the studies, in the order of the page.
        language: Of all but what the papers say.
    """
    words = Words(language)
    style = (comparison.page.HERE / "page.css").read_text(encoding="utf-8")
    return (
        templates(HERE)
        .get_template("page.html.jinja")
        .render(
            words=words,
            studies=[_filled(result, words) for result in results],
            by_chance=_by_chance(results, words),
            script_texts={key: words.texts[key] for key in IN_SCRIPT}
            | {"verdicts": {str(verdict): [SYMBOLS[verdict], words(str(verdict))] for verdict in Verdict}},
            css=Markup(style + (HERE / "page.css").read_text(encoding="utf-8")),
            script=Markup((HERE / "page.js").read_text(encoding="utf-8")),
        )
    )


def _filled(result: Result, words: Words) -> dict[str, Any]:
    """A study as the template shows it."""
    study = result.study
    word = words(str(result.verdict))
    exploratory = result.exploratory if result.verdict is not Verdict.OPEN else ""
    parts = {name: part_of(result, name, words) for name in result.findings}
    return {
        "study": study,
        "scale": result.scale,
        "verdict": words("exploratory", verdict=word) if exploratory else word,
        "kind": _kind(result.verdict),
        "symbol": SYMBOLS[result.verdict],
        "exploratory": words("exploratory_why", reason=exploratory) if exploratory else "",
        "figures": figures_of(result, words),
        "parts": list(parts.values()),
        "seeds": sorted({seed for found in result.findings.values() for seed in found.contrasts}),
        "rule": {"verdict": str(result.verdict), "which": study.decision.verdict},
        "checks": [
            (
                words.sentence(check.says),
                words({True: "met", False: "not_met", None: "unknown"}[check.met]),
                check.value,
            )
            for check in result.checks
        ],
        "failed": result.failed,
        "runs": words("runs_done", done=result.done, wanted=result.wanted, time=human_duration(result.core_seconds)),
        "minutes": f"{study.scale(result.scale).minutes:g}",
        "seed_count": len(study.scale(result.scale).seeds),
    }


def _kind(verdict: Verdict) -> str:
    return str(verdict).replace(" ", "-")


def figures_of(result: Result, words: Words = ENGLISH) -> list[dict[str, Any]]:
    """Charts of a study: each judged measure of all arms, with what the paper prints of the same on the same axis.

    What a paper prints in another unit than ours has an axis of its own; what it prints of a contrast stands there.
    """
    study = result.study
    judged = {part.measure for part in study.parts.values()} | {one.measure for one in study.claim.published}
    charts = [_figure(result, name, measure, words) for name, measure in study.measures.items() if name in judged]
    alone = [_paper_alone(one, words) for one in study.claim.published if one.measure is None and one.part is None]
    beside = [chart for chart in charts if chart["published"]]
    return beside + alone + [chart for chart in charts if chart["rows"] and not chart["published"]]


def _paper_alone(one: Published, words: Words) -> dict[str, Any]:
    values = list(one.figures.values())
    axis = Axis(values if len(values) > 1 else [0.0, *values])
    return {"title": "", "rows": [], "published": [_published(one, axis, words)], "ticks": axis.ticks, "alone": True}


def _figure(result: Result, name: str, measure: Measure, words: Words) -> dict[str, Any]:
    """A measure of all arms, a dot for each seed, and what the paper prints of the same."""
    of_arms = result.figures.get(name, {})
    scale = 100 if measure.unit == "%" else 1
    rows = {arm: [scale * value for value in of_arms[arm].values()] for arm in result.study.arms if of_arms.get(arm)}
    published = [one for one in result.study.claim.published if one.measure == name]
    axis = Axis([*(v for row in rows.values() for v in row), *(v for one in published for v in one.figures.values())])
    return {
        "title": f"{capitalized(words.sentence(measure.noun))}{unit_of(measure)}",
        "ticks": axis.ticks,
        "alone": False,
        "rows": [
            {
                "label": arm,
                "dots": [axis.at(value) for value in values],
                "mean": axis.at(scale * means(of_arms[arm])[0]),
                "text": mean_text(measure, of_arms[arm]),
            }
            for arm, values in rows.items()
        ],
        "published": [_published(one, axis, words) for one in published],
    }


def _published(one: Published, axis: Axis, words: Words) -> dict[str, Any]:
    return {
        "place": one.place,
        "shows": words.sentence(one.shows),
        "rows": [
            {"label": label, "dots": [axis.at(value)], "mean": None, "text": f"{value:g}"}
            for label, value in one.figures.items()
        ],
    }


def part_of(result: Result, name: str, words: Words = ENGLISH) -> dict[str, Any]:
    """A statement with its contrasts, interval and threshold, and what the page needs to judge anew without a seed.

    Args:
        result: Of the study.
        name: Of the statement.
        words: Of the page.
    """
    part, found = result.study.parts[name], result.findings[name]
    measure = result.study.measures[part.measure]
    published = [one for one in result.study.claim.published if one.part == name]
    scale, unit = scale_and_unit(part, measure, words)
    values = {seed: _on_axis(part, scale, value) for seed, value in found.contrasts.items()}
    printed = [(label, _on_axis(part, 1, value)) for one in published for label, value in one.figures.items()]
    low, high = (end * scale for end in (part.claimed.low, part.claimed.high))
    ends = [end for end in (low, high) if math.isfinite(end)]
    spread = [_on_axis(part, scale, end) for end in (found.low, found.high) if end is not None]
    idle = [] if part.is_level and not part.ratio else [0.0]
    axis = Axis([*idle, *ends, *values.values(), *spread, *(at for _, at in printed)], logarithmic=part.ratio)
    ask = "guess_ratio" if part.ratio else "guess_level" if part.is_level else "guess_difference"
    return {
        "says": words.sentence(part.says),
        "text": finding_text(part, measure, found, words),
        "legend": words("legend", unit=unit.strip() or words.sentence(measure.noun))
        + (words("legend_paper") if printed else ""),
        "ask": words(ask),
        "ticks": axis.ticks,
        "zero": axis.at(0.0) if idle else None,
        "claimed": {"left": axis.at(low), "right": axis.at(high)},
        "thresholds": [axis.at(end) for end in ends],
        "dots": [{"seed": seed, "at": axis.at(value)} for seed, value in values.items()],
        "interval": {"left": axis.at(spread[0]), "right": axis.at(spread[1])} if spread else None,
        "printed": [{"label": label, "at": axis.at(at)} for label, at in printed],
        "published": [
            {"place": one.place, "shows": words.sentence(one.shows), "text": figures_text(one)} for one in published
        ],
        "data": {
            "values": {str(seed): round(value, 6) for seed, value in values.items()},
            "axis": [axis.low, axis.high],
            "claimed": [None if math.isinf(end) else end for end in (low, high)],
            "ratio": part.ratio,
            "level": part.is_level,
            "unit": unit,
            "verdict": str(found.verdict),
            "quantiles": [t_quantile(found.confidence or 0.95, n) for n in range(1, max(2, len(values)))],
        },
    }


def _on_axis(part: Part, scale: float, value: float) -> float:
    """A contrast where it is drawn: a ratio by its logarithm."""
    return math.log(value) if part.ratio else scale * value


def _by_chance(results: Sequence[Result], words: Words) -> str:
    """How many false verdicts one has to expect among so many."""
    judged = [result for result in results if result.verdict in (Verdict.SUPPORTED, Verdict.NOT_SUPPORTED)]
    if len(judged) < 2:
        return ""
    error = sum((1 - result.study.decision.confidence) / 2 for result in judged)
    return words("by_chance", verdicts=len(judged), expected=f"{error:.1f}")
