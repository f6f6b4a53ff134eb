"""What the runs of a study say: the figures of each run, and the verdict that follows from them by the rule."""

import math
import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from case_studies.runs import PlannedRun
from case_studies.study import REHEARSAL, Check, Measure, Study
from case_studies.verdicts import Finding, Verdict, combine, find_all
from records.files import UnreadableError
from records.layout import METRICS
from records.metrics import Metrics, read_metrics
from records.summary import COMPLETED, Summary

Figures = Mapping[str, Mapping[str, Mapping[int, float]]]
"""By measure, arm and seed."""


@dataclass(frozen=True)
class FailedRun:
    """A run that was trained and does not count, with the reason."""

    arm: str
    seed: int
    directory: str
    reason: str


@dataclass(frozen=True)
class CheckedCondition:
    """A condition of the verdict, and whether the runs meet it; None while they do not tell."""

    says: str
    met: bool | None
    value: str


@dataclass(frozen=True)
class Result:
    """The verdict of a study at one scale, with all that it rests on.

    Attributes:
        study: Of which it is.
        scale: At which.
        figures: Of the runs that count.
        done: Number of runs that are finished.
        wanted: Number of runs that the study wants.
        findings: Of each part that is judged at this scale.
        checks: Conditions of the verdict.
        verdict: Of the claim.
        exploratory: Why the verdict is not one of a rule that was registered before the runs; empty if it is.
        failed: Runs that do not count.
        core_seconds: Time of all finished runs.
        committed: Whether the runs are those that the project was committed with.
    """

    study: Study
    scale: str
    figures: Figures
    done: int
    wanted: int
    findings: Mapping[str, Finding]
    checks: Sequence[CheckedCondition]
    verdict: Verdict
    exploratory: str
    failed: Sequence[FailedRun]
    core_seconds: float
    committed: bool = False


def judge(study: Study, scale: str, runs: Sequence[PlannedRun]) -> Result:
    """Read the runs of a study and judge its claim.

    Args:
        study: With the rule.
        scale: Of the runs.
        runs: As `planned` lists them.
    """
    figures: dict[str, dict[str, dict[int, float]]] = defaultdict(lambda: defaultdict(dict))
    failed, done, seconds, changed = [], 0, 0.0, set()
    censored: set[tuple[str, str, int]] = set()
    for run in runs:
        summary = run.summary
        if summary is None:
            continue
        if summary.status != COMPLETED:
            if summary.status != "running":
                reason = summary.error or str(summary.status)
                failed.append(FailedRun(run.arm, run.seed, run.directory.as_posix(), reason))
            continue
        done += 1
        seconds += summary.wall_time_seconds or 0.0
        if (known := run.registration) is None or known.studies.get(_key(study, scale)) != study.fingerprint(scale):
            changed.add(run.directory.name)
        try:
            for name, measure in study.measures.items():
                value = figure(run, summary, measure)
                if value is None and measure.cap is not None:
                    value = measure.cap
                    censored.add((name, run.arm, run.seed))
                if value is not None:
                    figures[name][run.arm][run.seed] = value
        except UnreadableError as error:
            failed.append(FailedRun(run.arm, run.seed, run.directory.as_posix(), str(error)))
    seeds = min([*study.decision.looks, len(study.scale(scale).seeds)])
    findings = find_all(study.judged(scale), figures, seeds, study.decision, censored)
    checks = [_checked(check, figures) for check in study.checks]
    verdict = combine([finding.verdict for finding in findings.values()], study.decision.verdict)
    if verdict is not Verdict.OPEN and (broken := [check for check in checks if not check.met]):
        verdict = Verdict.VOID
        reason = broken[0].says
        findings = {name: replace(found, verdict=Verdict.VOID, reason=reason) for name, found in findings.items()}
    exploratory = ""
    if scale == REHEARSAL:
        exploratory = "runs of this scale only show that the study works"
    elif changed:
        exploratory = f"the rule of {len(changed)} of {done} runs was another one, or none, when they began"
    return Result(study, scale, figures, done, len(runs), findings, checks, verdict, exploratory, failed, seconds)


def figure(run: PlannedRun, summary: Summary, measure: Measure) -> float | None:
    """One figure of a finished run; None if the run does not have it.

    Raises:
        UnreadableError: Its metrics are damaged.
    """
    if measure.summary:
        found = [_in_summary(summary.plain(), place) for place in measure.summary]
    else:
        metrics = read_metrics(run.directory / METRICS)
        found = [_in_column(metrics, column, measure) for column in measure.column]
    values = [value for value in found if value is not None and math.isfinite(value)]
    if len(values) < len(found):
        return None
    value = abs(values[0] - values[1]) if measure.combine == "gap" else statistics.fmean(values)
    return 1 - value if measure.complement else value


def means(figures: Mapping[int, float]) -> tuple[float, float | None]:
    """Mean over the seeds, and the sample standard deviation if there are two."""
    values = list(figures.values())
    return statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else None


def _key(study: Study, scale: str) -> str:
    return f"{study.name}/{scale}"


def _in_summary(values: Any, path: str) -> float | None:
    for key in path.split("."):
        values = values.get(key) if isinstance(values, Mapping) else None
    return float(values) if isinstance(values, int | float) and not isinstance(values, bool) else None


def _in_column(metrics: Metrics, column: str, measure: Measure) -> float | None:
    values = metrics.numbers(column)
    if measure.take == "reached":
        beside = metrics.numbers(measure.of or "")
        at = next((i for i, v in enumerate(values) if v is not None and v >= (measure.reaches or 0.0)), None)
        return None if at is None else beside[at]
    known = [value for value in values if value is not None]
    if not known:
        return None
    if measure.take == "last":
        return known[-1]
    count = max(1, round(measure.part * len(known)))
    return statistics.fmean(known[:count] if measure.take == "mean_of_first" else known[-count:])


def _checked(check: Check, figures: Figures) -> CheckedCondition:
    of_arms = {arm: of_seeds for arm, of_seeds in figures.get(check.measure, {}).items() if of_seeds}
    wanted = list(check.contrast or check.arms)
    if any(arm not in of_arms for arm in wanted):
        return CheckedCondition(check.says, None, "not measured yet")
    mean = {arm: means(of_arms[arm])[0] for arm in wanted}
    if check.contrast:
        values = {"contrast": math.fsum(weight * mean[arm] for arm, weight in check.contrast.items())}
    else:
        values = mean
    met = all(check.bounds.low < value < check.bounds.high for value in values.values())
    return CheckedCondition(check.says, met, ", ".join(f"{arm} {value:.4g}" for arm, value in values.items()))
