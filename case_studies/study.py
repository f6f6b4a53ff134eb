"""A case study as a file of `configs/case_study/`: a claim, the runs that test it, and the rule that judges them.

What a file cannot mean is refused in one line when it is read, before anything is trained.
"""

import hashlib
import itertools
import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from records.files import UnreadableError, read_yaml

FOLDER = Path(__file__).parents[1] / "configs" / "case_study"
FEWEST_SEEDS = 6  # with five, even the exact sign-flip test cannot reach 2.5 %
RATE = "model.optimizer.init_args.lr"  # the option in which arms are tuned
REHEARSAL = "test"  # the scale that only shows that a study runs; its verdicts count for nothing

Text = Annotated[str, AfterValidator(lambda text: " ".join(text.split()))]
Places = Annotated[tuple[str, ...], BeforeValidator(lambda value: (value,) if isinstance(value, str) else value)]


class Item(BaseModel):
    """A part of a study's file; a key that it does not know is refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


@dataclass(frozen=True)
class Claimed:
    """Where a contrast lies if the claim holds; a side that is open is infinite."""

    low: float = -math.inf
    high: float = math.inf

    def nearest(self, value: float) -> float:
        """The threshold that a value is nearer to."""
        return min((end for end in (self.low, self.high) if math.isfinite(end)), key=lambda end: abs(end - value))


class Bounds(Item):
    """What is claimed of a number: exactly one of the three."""

    above: float | None = None
    below: float | None = None
    between: tuple[float, float] | None = None

    @model_validator(mode="after")
    def _one_is_said(self) -> Self:
        if sum(bound is not None for bound in (self.above, self.below, self.between)) != 1:
            raise ValueError("needs exactly one threshold: above, below or between")
        if self.between and self.between[0] >= self.between[1]:
            raise ValueError("between needs the lower number first")
        return self

    @property
    def bounds(self) -> Claimed:
        """The numbers that hold, in the unit of the figures."""
        if self.between is not None:
            return Claimed(*self.between)
        return Claimed(-math.inf if self.above is None else self.above, math.inf if self.below is None else self.below)

    def __str__(self) -> str:
        if self.between is not None:
            return f"between {self.between[0]:g} and {self.between[1]:g}"
        return f"above {self.above:g}" if self.above is not None else f"below {self.below:g}"


class Published(Item):
    """Figures that the paper prints, to be drawn beside ours.

    Attributes:
        place: Table or figure of the paper.
        shows: What the figures are, on which data.
        figures: By what they are of; in per cent where they are shares.
        measure: Ours that has the same unit, so that both are drawn on the same axis.
        part: Statement that has the same unit, so that both are drawn on the axis of its contrast.
    """

    place: Text
    shows: Text
    figures: dict[str, float]
    measure: str | None = None
    part: str | None = None


class Claim(Item):
    """What a paper says: in its own few words, with the section."""

    paper: Text
    section: Text
    words: Text
    published: list[Published] = []


class Arm(Item):
    """One of the things that are compared: options over the study's base, or an evaluation of another arm's run."""

    options: dict[str, Any] = {}
    configs: list[str] = []
    evaluates: str | None = None


class Scale(Item):
    """How large the runs are, and with which seeds.

    Attributes:
        seeds: Of the verdict; they also draw the splits.
        minutes: Of one core, or of one GPU where the scale needs it, for all runs of the scale.
        base: Config files in the place of the study's.
        configs: Files over the base.
        options: Over the files and below those of the arms.
        arms: Options of single arms at this scale, over all others: their widths, and the rates that `tune` found.
    """

    seeds: list[int]
    minutes: float
    base: list[str] = []
    configs: list[str] = []
    options: dict[str, Any] = {}
    arms: dict[str, dict[str, Any]] = {}


class Tuning(Item):
    """How the learning rate of each arm is found: over the same factors for all, on a seed that is in no verdict.

    Attributes:
        seed: Of the runs that tune.
        factors: Of the rate that the arm's files name.
        arms: That are tuned; by default all that train.
    """

    seed: int = 0
    factors: list[float] = [0.3, 1.0, 3.0]
    arms: list[str] = []


class Measure(Item):
    """A figure of a run.

    Attributes:
        noun: What the page calls it.
        unit: `%` for a fraction that is written in per cent (contrasts are then in points), else a word.
        summary: Where it stands in summary.json, as keys with points between them; or
        column: which column of metrics.csv it is taken from; several of either make one by `combine`, and
        take: what is taken of it: the last value, the mean of the `part` of the values at one end, or the value of
            `of` in the first row in which the column is at least `reaches`.
        cap: What counts for a run that never reaches it: a lower bound for the slower arm of a contrast. A seed whose
            faster arm never reaches it is void.
        complement: Whether the figure is 1 minus the value: an error for an accuracy.
        better: Which values are.
    """

    noun: Text
    unit: Text = ""
    summary: Places = ()
    column: Places = ()
    combine: Literal["mean", "gap"] = "mean"
    take: Literal["last", "mean_of_first", "mean_of_last", "reached"] = "last"
    part: float = 0.1
    reaches: float | None = None
    of: str | None = None
    cap: float | None = None
    complement: bool = False
    better: Literal["low", "high", "neither"] = "neither"

    @model_validator(mode="after")
    def _has_one_source(self) -> Self:
        if bool(self.summary) == bool(self.column):
            raise ValueError("needs either summary or column, where its figure stands")
        if self.combine == "gap" and len(self.summary or self.column) != 2:
            raise ValueError("a gap is one between two figures")
        if (self.take == "reached") != (self.reaches is not None and self.of is not None):
            raise ValueError("take: reached needs reaches and of, and nothing else has them")
        return self


class Part(Bounds):
    """A statement about one contrast.

    Attributes:
        says: The statement in words.
        measure: Name of the measure.
        contrast: Weights of the arms, which sum to zero; or a single arm of weight 1, whose own level is meant.
        ratio: Whether the contrast is a ratio: the weights are powers, and the threshold is a factor.
        scales: Scales at which the part is judged; by default all.
    """

    says: Text
    measure: str
    contrast: dict[str, float]
    ratio: bool = False
    scales: list[str] = []

    @model_validator(mode="after")
    def _is_a_contrast(self) -> Self:
        weights = list(self.contrast.values())
        if weights != [1] and (abs(math.fsum(weights)) > 1e-9 or not any(weights)):
            raise ValueError("the weights of a contrast sum to 0, or it is a single arm with weight 1")
        if self.ratio and any(end <= 0 for end in (self.above, self.below, *(self.between or ())) if end is not None):
            raise ValueError("the threshold of a ratio is a factor above 0")
        return self

    @property
    def is_level(self) -> bool:
        """Whether the level of a single arm is judged, and no difference."""
        return len(self.contrast) == 1

    @property
    def claimed(self) -> Claimed:
        """Where the contrast lies if the statement holds; of a ratio the logarithm."""
        if not self.ratio:
            return self.bounds
        low, high = self.bounds.low, self.bounds.high
        return Claimed(math.log(low) if low > 0 else -math.inf, math.log(high))

    def shown(self, contrast: float) -> float:
        """A contrast as a reader sees it: a ratio and not its logarithm."""
        return math.exp(contrast) if self.ratio else contrast


class Check(Bounds):
    """A condition without which a verdict is void: that the intervention did something, or that training converged.

    Attributes:
        says: The condition in words.
        measure: Name of the measure.
        contrast: Weights of arms; or
        arms: the arms, each of whose mean over the seeds has to meet it.
    """

    says: Text
    measure: str
    contrast: dict[str, float] = {}
    arms: list[str] = []

    @model_validator(mode="after")
    def _has_arms(self) -> Self:
        if bool(self.contrast) == bool(self.arms):
            raise ValueError("a check needs either a contrast or arms")
        return self


class Decision(Item):
    """How parts make a verdict.

    Attributes:
        confidence: Of the intervals.
        verdict: Whether all parts must hold, or any one (then Holm's correction holds for their number).
        looks: Numbers of seeds at which one may look; they share the error.
    """

    confidence: float = Field(default=0.95, gt=0.5, lt=1)
    verdict: Literal["all", "any"] = "all"
    looks: list[int] = []


class Study(Item):
    """A claim, the runs that test it, and the rule.

    Attributes:
        name: That of its file.
        number: Its place in the lecture.
        title: What the study is called.
        question: Which it answers.
        claim: What the paper says.
        varies: The options in which arms may differ: what the contrasts are about, and what equal work needs.
        base: Config files of each run, in their order.
        options: Over the files, for all arms.
        arms: What is compared.
        scales: How large the runs may be; `test` only shows that a study works.
        tuning: How rates are found; None for a study that takes the published ones.
        measures: Figures of a run.
        parts: Statements of the claim.
        decision: The rule.
        checks: Conditions of a verdict.
        differs: What differs from the paper's experiment.
        would_change: What would change the verdict.
    """

    name: str
    number: int
    title: Text
    question: Text
    claim: Claim
    varies: list[str]
    base: list[str]
    options: dict[str, Any] = {}
    arms: dict[str, Arm]
    scales: dict[str, Scale]
    tuning: Tuning | None = Tuning()
    measures: dict[str, Measure]
    parts: dict[str, Part]
    decision: Decision = Decision()
    checks: list[Check] = []
    differs: Text
    would_change: Text

    @model_validator(mode="after")
    def _statements_fit(self) -> Self:
        checks = {f"the check of {check.measure}": check for check in self.checks}
        items: list[tuple[str, Part | Check]] = [*self.parts.items(), *checks.items()]
        for place, item in items:
            if item.measure not in self.measures:
                raise ValueError(f"{place}: no measure is called {item.measure}")
            if unknown := {*item.contrast, *getattr(item, "arms", ())} - set(self.arms):
                raise ValueError(f"{place}: no arm is called {min(unknown)}")
        for published in self.claim.published:
            if published.measure is not None and published.measure not in self.measures:
                raise ValueError(f"published figures: no measure is called {published.measure}")
            if published.part is not None and published.part not in self.parts:
                raise ValueError(f"published figures: no part is called {published.part}")
        for place, part in self.parts.items():
            if unknown := set(part.scales) - set(self.scales):
                raise ValueError(f"{place}: no scale is called {min(unknown)}")
        if self.tuning and (unknown := set(self.tuning.arms) - set(self.arms)):
            raise ValueError(f"tuning: no arm is called {min(unknown)}")
        return self

    @model_validator(mode="after")
    def _arms_fit(self) -> Self:
        for name, arm in self.arms.items():
            if arm.evaluates is not None and arm.evaluates not in self.arms:
                raise ValueError(f"arm {name}: no arm is called {arm.evaluates}")
            of_scales = [scale.arms.get(name, {}) for scale in self.scales.values()]
            if changed := set(arm.options).union(*of_scales) - {*self.varies, RATE}:
                raise ValueError(f"arm {name} changes {min(changed)}, which the study does not say that it varies")
        for (one, first), (other, second) in itertools.combinations(self.arms.items(), 2):
            if first == second:
                raise ValueError(f"arms {one} and {other} differ in nothing")
        return self

    @model_validator(mode="after")
    def _seeds_suffice(self) -> Self:
        for place, scale in self.scales.items():
            if len(set(scale.seeds)) != len(scale.seeds):
                raise ValueError(f"scale {place} names a seed twice")
            if unknown := set(scale.arms) - set(self.arms):
                raise ValueError(f"scale {place}: no arm is called {min(unknown)}")
            if self.tuning and self.tuning.seed in scale.seeds:
                raise ValueError(
                    f"scale {place} has seed {self.tuning.seed}, on which the rates are tuned: take others"
                )
            if place != REHEARSAL and len(scale.seeds) < FEWEST_SEEDS:
                raise ValueError(f"scale {place} has {len(scale.seeds)} seeds: a verdict needs {FEWEST_SEEDS} at least")
        return self

    @classmethod
    def read(cls, path: Path) -> Self:
        """The study of a file.

        Raises:
            ValueError: The file cannot be read, or cannot mean anything.
        """
        try:
            return cls.model_validate({"name": path.stem, **read_yaml(path)})
        except UnreadableError as error:
            raise ValueError(f"{path.parent.name}/{error}") from error
        except ValidationError as error:
            raise ValueError(f"{path.parent.name}/{path.name}: {_first_problem(error)}") from error

    def scale(self, name: str) -> Scale:
        """One of the scales.

        Raises:
            ValueError: There is none of this name.
        """
        if name not in self.scales:
            raise ValueError(f"{self.name} has no scale {name}: it has {', '.join(self.scales)}.")
        return self.scales[name]

    def judged(self, scale: str) -> dict[str, Part]:
        """The parts that are judged at a scale."""
        return {name: part for name, part in self.parts.items() if not part.scales or scale in part.scales}

    @cached_property
    def _rule(self) -> dict[str, Any]:
        """All that a verdict depends on, without prose."""
        prose = {"says", "noun", "claim", "number", "title", "question", "differs", "would_change", "minutes"}

        def without_prose(value: Any) -> Any:
            if isinstance(value, dict):
                return {key: without_prose(inner) for key, inner in value.items() if key not in prose}
            return [without_prose(inner) for inner in value] if isinstance(value, list) else value

        rule: dict[str, Any] = without_prose(self.model_dump(mode="json", exclude_defaults=True))
        return rule

    def fingerprint(self, scale: str) -> str:
        """A hash of the rule and of the runs of a scale, which does not change with comments and prose."""
        rule = {**self._rule, "scales": {scale: self._rule["scales"][scale]}}
        return hashlib.sha256(json.dumps(rule, sort_keys=True).encode()).hexdigest()[:16]


def studies(names: Iterable[str] = (), folder: Path = FOLDER) -> list[Study]:
    """The studies of these names, or all, in the order of the lecture.

    Raises:
        ValueError: There is none of a name, or its file means nothing.
    """
    known = {path.stem: path for path in sorted(folder.glob("*.yaml"))}
    wanted = list(names) or list(known)
    if unknown := [name for name in wanted if name not in known]:
        raise ValueError(f"no study is called {unknown[0]}: there are {', '.join(known)}.")
    return sorted((Study.read(known[name]) for name in wanted), key=lambda study: study.number)


def _first_problem(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    place = ".".join(str(step) for step in first["loc"])
    words = str(first["msg"]).removeprefix("Value error, ")
    return f"{place}: {words}" if place else words
