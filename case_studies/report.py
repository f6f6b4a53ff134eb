"""Verdicts as text and as plain values."""

import json
import math
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from case_studies.results import CheckedCondition, FailedRun, Result, means
from case_studies.runs import PlannedRun
from case_studies.study import RATE, Measure, Part, Published, Study
from case_studies.verdicts import Finding, Verdict
from case_studies.words import ENGLISH, Words
from comparison.text_layout import aligned
from comparison.units import ABSENT, count_of, human_duration

WIDTH = 116
HEADINGS = ("", "study", "claim", "paper", "runs", "core time", "verdict")


def table(results: Sequence[Result]) -> str:
    """A line for each study."""
    rows = []
    for result in results:
        minutes = result.study.scale(result.scale).minutes
        time = human_duration(result.core_seconds) if result.done else f"about {minutes:g} min"
        rows.append(
            [
                str(result.study.number),
                result.study.name,
                result.study.title,
                citation(result.study.claim.paper),
                f"{result.done}/{result.wanted}",
                time,
                word(result),
            ]
        )
    return aligned(HEADINGS, rows, text_columns=4)


def citation(paper: str) -> str:
    """`He et al. 2015` of `He, Zhang, Ren, Sun 2015: Deep …`."""
    *first, year = paper.partition(":")[0].split()
    authors = " ".join(first).removesuffix(" et al.").split(", ")
    return f"{authors[0]} et al. {year}" if len(authors) > 2 else f"{' and '.join(authors)} {year}"


def word(result: Result) -> str:
    """The verdict in a word, or two if its rule was not registered before the runs."""
    if result.verdict is Verdict.OPEN:
        return ABSENT
    return f"{result.verdict} (exploratory)" if result.exploratory else str(result.verdict)


def explained(result: Result) -> str:
    """A study's verdict with its parts, intervals, thresholds and conditions."""
    study = result.study
    lines = [
        f"{study.title}: {word(result) if result.verdict is not Verdict.OPEN else 'no verdict yet'}",
        _wrapped(f"“{study.claim.words}” ({study.claim.paper}, {study.claim.section})"),
        "",
    ]
    for name, measure in study.measures.items():
        of_arms = result.figures.get(name, {})
        cells = [f"{arm} {mean_text(measure, of_arms[arm])}" for arm in study.arms if of_arms.get(arm)]
        if cells:
            lines.append(_wrapped(f"{measure.noun}: {'; '.join(cells)}"))
    lines.append("")
    for name, found in result.findings.items():
        part = study.parts[name]
        lines.append(_wrapped(f"{part.says} {finding_text(part, study.measures[part.measure], found)}"))
    state = {True: "Met", False: "Not met", None: "Open"}
    lines += [_wrapped(f"Condition: {check.says} {state[check.met]}: {check.value}.") for check in result.checks]
    lines += [_wrapped(f"Failed: {run.arm}, seed {run.seed} ({run.directory}): {run.reason}") for run in result.failed]
    if result.exploratory and result.verdict is not Verdict.OPEN:
        lines.append(_wrapped(f"Exploratory: {result.exploratory}."))
    lines.append(
        f"{result.done} of {count_of(result.wanted, 'run')}, {human_duration(result.core_seconds)} of one core."
    )
    return "\n".join(lines)


def tuned(study: Study, scale: str, runs: Mapping[PlannedRun, float]) -> str:
    """The validation error of each arm at each rate, and the best rates as the study's file names them."""
    if not runs:
        return f"{study.title}: nothing is tuned, the rates are published."
    rows, lines = [], []
    for arm, of_rates in validation_errors(runs).items():
        best = min(of_rates, key=lambda rate: of_rates[rate])
        cells = [f"{rate:g}: {100 * error:.1f} %" for rate, error in of_rates.items() if math.isfinite(error)]
        rows.append([arm, *cells, *[ABSENT] * (len(of_rates) - len(cells))])
        size = study.scales[scale]
        written = {**size.options, **size.arms.get(arm, {})}.get(RATE)
        lines.append(
            f"  {json.dumps(arm)}: {{{RATE}: {best:g}}}" + ("" if written == best else "  # not so in the file")
        )
    headings = ["arm", *["rate: validation error"] + [""] * (len(rows[0]) - 2)]
    return "\n".join([study.title, aligned(headings, rows, text_columns=1), "arms:", *lines])


def validation_errors(runs: Mapping[PlannedRun, float]) -> dict[str, dict[float, float]]:
    """By arm and rate the validation error in the best epoch; infinite where a run is missing or failed."""
    errors: dict[str, dict[float, float]] = {}
    for run, rate in runs.items():
        best = run.summary.best_accuracy if run.summary and run.is_done else None
        errors.setdefault(run.arm, {})[rate] = math.inf if best is None else 1 - best
    return errors


def unit_of(measure: Measure) -> str:
    """The unit behind the name of a measure; empty if it has none."""
    return f", {measure.unit}" if measure.unit else ""


def mean_text(measure: Measure, of_seeds: Mapping[int, float]) -> str:
    """Mean ± deviation of a figure over the seeds, to the second digit of the deviation."""
    mean, deviation = means(of_seeds)
    scale, unit = (100, " %") if measure.unit == "%" else (1, f" {measure.unit}" if measure.unit else "")
    if not deviation:
        whole = float(scale * mean).is_integer()
        return f"{scale * mean:,.0f}{unit}" if whole else f"{scale * mean:.4g}{unit}"
    digits = max(0, 1 - math.floor(math.log10(scale * deviation)))
    return f"{scale * mean:,.{digits}f} ± {scale * deviation:,.{digits}f}{unit}"


def finding_text(part: Part, measure: Measure, found: Finding, words: Words = ENGLISH) -> str:
    """The verdict of a part, with its interval and threshold."""
    verdict = capitalized(words("unknown" if found.verdict is Verdict.OPEN else str(found.verdict)))
    if found.mean is None or found.low is None or found.high is None or found.confidence is None:
        return words("finding_open", verdict=verdict, reason=found.reason, seeds=len(found.contrasts))
    scale, unit = scale_and_unit(part, measure, words)
    text = words(
        "finding",
        verdict=verdict,
        mean=f"{scale * found.mean:.3g}",
        unit=unit,
        confidence=f"{100 * found.confidence:.4g}",
        low=f"{scale * found.low:.3g}",
        high=f"{scale * found.high:.3g}",
        seeds=words("seed_count", seeds=len(found.contrasts)),
        claimed=claimed_text(part, scale, unit, words),
        p=f"{found.p_sign_flip:.3f}",
    )
    if found.verdict is not Verdict.INCONCLUSIVE:
        return text
    settle = found.seeds_to_settle
    return f"{text} {words('more_seeds', seeds=settle) if settle else words('too_many_seeds')}"


def figures_text(one: Published) -> str:
    """The figures that a paper prints; a single one without its label."""
    if len(one.figures) == 1:
        return f"{next(iter(one.figures.values())):g}"
    return ", ".join(f"{label} {value:g}" for label, value in one.figures.items())


def capitalized(text: str) -> str:
    """The text with a capital at its beginning."""
    return f"{text[:1].upper()}{text[1:]}"


def scale_and_unit(part: Part, measure: Measure, words: Words = ENGLISH) -> tuple[float, str]:
    """By what a contrast is multiplied for a reader, and the unit behind it, with the space between."""
    if part.ratio:
        return 1, _spaced(words("times"), words)
    if measure.unit == "%":
        return 100, _spaced(words("percent" if part.is_level else "points"), words)
    return 1, _spaced(measure.unit, words)


def _spaced(unit: str, words: Words) -> str:
    """The unit behind a number; a Korean counter follows it without a space."""
    return unit if not unit or (words.language == "ko" and unit == words("times")) else f" {unit}"


def claimed_text(part: Part, scale: float, unit: str, words: Words = ENGLISH) -> str:
    """The threshold in the unit of the text."""
    if part.between is not None:
        return words("between", low=f"{scale * part.between[0]:g}", high=f"{scale * part.between[1]:g}", unit=unit)
    if part.above is not None:
        return words("above", threshold=f"{scale * part.above:g}", unit=unit)
    return words("below", threshold=f"{scale * (part.below or 0):g}", unit=unit)


def record_of(result: Result) -> dict[str, Any]:
    """The verdict as plain values, as it is committed."""
    study = result.study
    return {
        "format": 1,
        "study": study.name,
        "scale": result.scale,
        "fingerprint": study.fingerprint(result.scale),
        "verdict": str(result.verdict),
        "exploratory": result.exploratory or None,
        "runs": {"done": result.done, "wanted": result.wanted, "core_seconds": round(result.core_seconds, 1)},
        "parts": {name: _finding_record(study.parts[name], found) for name, found in result.findings.items()},
        "checks": [{"says": check.says, "met": check.met, "value": check.value} for check in result.checks],
        "figures": {
            name: {arm: {str(seed): value for seed, value in of_seeds.items()} for arm, of_seeds in of_arms.items()}
            for name, of_arms in result.figures.items()
        },
        "failed": [vars(run) for run in result.failed],
    }


def result_of(record: Mapping[str, Any], study: Study) -> Result:
    """The result whose record was committed; the other way round of `record_of`.

    Args:
        record: As `record_of` makes it.
        study: Of which it is.
    """
    findings = {name: _finding_of(values) for name, values in record["parts"].items() if name in study.parts}
    figures = {
        name: {arm: {int(seed): value for seed, value in of_seeds.items()} for arm, of_seeds in of_arms.items()}
        for name, of_arms in record["figures"].items()
    }
    runs = record["runs"]
    return Result(
        study,
        record["scale"],
        figures,
        runs["done"],
        runs["wanted"],
        findings,
        [CheckedCondition(**check) for check in record["checks"]],
        Verdict(record["verdict"]),
        record["exploratory"] or "",
        [FailedRun(**run) for run in record["failed"]],
        runs["core_seconds"],
    )


def _finding_of(values: Mapping[str, Any]) -> Finding:
    low, high = values["interval"]
    same = ("mean", "confidence", "p_value", "p_sign_flip", "seeds_to_settle")
    return Finding(
        Verdict(values["verdict"]),
        {int(seed): value for seed, value in values["contrasts"].items()},
        low=low,
        high=high,
        reason=values["reason"] or "",
        **{name: values[name] for name in same},
    )


def _finding_record(part: Part, found: Finding) -> dict[str, Any]:
    return {
        "says": part.says,
        "verdict": str(found.verdict),
        "claimed": str(part),
        "mean": found.mean,
        "interval": [found.low, found.high],
        "confidence": found.confidence,
        "p_value": found.p_value,
        "p_sign_flip": found.p_sign_flip,
        "seeds_to_settle": found.seeds_to_settle,
        "contrasts": {str(seed): value for seed, value in found.contrasts.items()},
        "reason": found.reason or None,
    }


def _wrapped(text: str) -> str:
    return textwrap.fill(text, WIDTH, subsequent_indent="  ")
