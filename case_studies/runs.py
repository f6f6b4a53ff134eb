"""The runs of a study: ordinary `main.py fit` commands, each with a directory that follows from what it trains.

Two studies that need the same run find it at the same place, because the name of its directory is a hash of the
experiment: of the composed config without the seed, and with it.
"""

import copy
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property, reduce
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field

from case_studies.study import RATE, Arm, Scale, Study
from records.files import UnreadableError, read_json, read_yaml, write_json
from records.layout import CONFIG
from records.record import Record, Texts
from records.summary import COMPLETED, Summary

ROOT = Path(__file__).parents[1]
RUNS = Path("runs/case_studies")
SEED_OPTIONS = ("seed_everything", "data.split_seed")
CLASSES = ("model", "data")  # their options stand below init_args in a config


class Registration(Record):
    """For which studies a run was trained, by the fingerprints that their rules had then.

    It lies beside the run's directory, which is the run's own, and is there before that begins.
    """

    FILE: ClassVar = ".study.json"
    format: Any = 1
    arm: str = ""
    studies: Texts = Field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class PlannedRun:
    """A run that a study wants.

    Attributes:
        study: Which wants it.
        scale: Of which.
        arm: Which it is one of.
        seed: Of its training and of its split.
        configs: Config files, relative to the project.
        options: Over the files.
        trained: The run that it evaluates, or None if it trains.
        folder: Where the runs of all studies lie.
        local: Words for this machine behind the command, such as where data lie; they are no part of the experiment.
        wandb: Project at W&B, or None for none.
    """

    study: Study
    scale: str
    arm: str
    seed: int
    configs: tuple[str, ...]
    options: Mapping[str, Any]
    trained: "PlannedRun | None"
    folder: Path
    local: tuple[str, ...] = ()
    wandb: str | None = None

    @cached_property
    def directory(self) -> Path:
        """Its directory: a name for people, a hash of the experiment, and the seed."""
        experiment = [composed(self.configs, self.options), self.trained and self.trained.directory.name]
        identity = hashlib.sha256(json.dumps(experiment, sort_keys=True, default=str).encode()).hexdigest()[:10]
        return self.folder / f"{_model_of(self.trained or self)}-{identity}-seed{self.seed}"

    @property
    def words(self) -> list[str]:
        """The command, without the program: it starts the run, goes on with it, or finds that it is finished."""
        if self.trained is not None:
            files = [(self.trained.directory / CONFIG).as_posix(), *self.configs]
            rest = [f"--ckpt_path={self.trained.directory.as_posix()}", f"--run_dir={self.directory.as_posix()}"]
            return [
                "test",
                *(word for file in files for word in ("--config", file)),
                *_option_words(self.options),
                *rest,
            ]
        seeds = dict.fromkeys(SEED_OPTIONS, self.seed)
        return [
            "fit",
            *(word for file in self.configs for word in ("--config", file)),
            *_option_words({**self.options, **seeds}),
            *self._logger,
            *self.local,
            f"--run_dir={self.directory.as_posix()}",
            "--resume=auto",
        ]

    @property
    def _logger(self) -> list[str]:
        """W&B beside the run's own record: the study is the group, its scale and the arm are tags."""
        if self.wandb is None:
            return []
        filing = {"project": self.wandb, "group": self.study.name, "tags": [self.scale, self.arm]}
        logger = {"class_path": "experiment.wandb_logger.ResilientWandbLogger", "init_args": filing}
        return _option_words({"trainer.logger+": logger})

    @property
    def summary(self) -> Summary | None:
        """What the run says of itself; None if it is not there or damaged."""
        try:
            return Summary.read_if_any(self.directory)
        except UnreadableError:
            return None

    @property
    def is_done(self) -> bool:
        """Whether it is finished and counts."""
        summary = self.summary
        return summary is not None and summary.status == COMPLETED

    def register(self) -> None:
        """Write down that this study wants the run, by the rule as it is now, unless an earlier rule stands there."""
        known = self.registration or Registration(arm=self.arm)
        key = f"{self.study.name}/{self.scale}"
        if key not in known.studies:
            added = {**known.studies, key: self.study.fingerprint(self.scale)}
            write_json(self.beside(Registration.FILE), Registration(arm=known.arm, studies=added).plain())

    @property
    def registration(self) -> Registration | None:
        """For which studies it was trained; None if that is not known."""
        path = self.beside(Registration.FILE)
        try:
            return Registration.of(read_json(path), path.name) if path.exists() else None
        except UnreadableError:
            return None

    def beside(self, suffix: str) -> Path:
        """A file of the run that lies beside its directory."""
        return self.directory.with_name(self.directory.name + suffix)


def planned(study: Study, scale: str, folder: Path = RUNS, local: Sequence[str] = ()) -> list[PlannedRun]:
    """All runs of a study, seed by seed, so that an early end leaves whole comparisons.

    Args:
        study: Which.
        scale: How large the runs are.
        folder: Where the runs of all studies lie.
        local: See `PlannedRun`.

    Raises:
        ValueError: The study has no such scale, or a config file that it names cannot be read.
    """
    size = study.scale(scale)
    runs: list[PlannedRun] = []
    for seed in size.seeds:
        of_seed: dict[str, PlannedRun] = {}
        for name in _trained_first(study.arms):
            arm = study.arms[name]
            trained = of_seed[arm.evaluates] if arm.evaluates is not None else None
            if trained is None:
                files, options = _training(study, size, name)
            else:
                files, options = arm.configs, arm.options
            of_seed[name] = PlannedRun(study, scale, name, seed, tuple(files), options, trained, folder, tuple(local))
        runs += of_seed.values()
    return runs


def tuning_runs(study: Study, scale: str, folder: Path = RUNS, local: Sequence[str] = ()) -> dict[PlannedRun, float]:
    """The runs that find the learning rate of each arm, with the rate of each; none if the study tunes nothing.

    Args:
        study: Which.
        scale: How large the runs are.
        folder: Where the runs of all studies lie.
        local: See `PlannedRun`.

    Raises:
        ValueError: The study has no such scale, or a config file that it names cannot be read.
    """
    size, tuning = study.scale(scale), study.tuning
    if tuning is None:
        return {}
    runs = {}
    arms = {arm: _without_rate(options) for arm, options in size.arms.items()}
    untuned = size.model_copy(update={"options": _without_rate(size.options), "arms": arms})
    for name in tuning.arms or [name for name, arm in study.arms.items() if arm.evaluates is None]:
        files, options = _training(study, untuned, name)
        tree: Any = composed(files, options)
        rate = tree["model"]["init_args"]["optimizer"]["init_args"]["lr"]
        for factor in tuning.factors:
            tried = float(f"{factor * rate:.3g}")
            run = PlannedRun(
                study, scale, name, tuning.seed, tuple(files), {**options, RATE: tried}, None, folder, tuple(local)
            )
            runs[run] = tried
    return runs


def _without_rate(options: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if name != RATE}


def _training(study: Study, size: Scale, arm: str) -> tuple[list[str], dict[str, Any]]:
    """The files and options of an arm that trains: what is closer to the arm counts more."""
    files = [*(size.base or study.base), *study.arms[arm].configs, *size.configs]
    return files, {**study.options, **size.options, **study.arms[arm].options, **size.arms.get(arm, {})}


def distinct(runs: Iterable[PlannedRun]) -> list[PlannedRun]:
    """Each directory once, in the order in which runs are wanted: seed by seed over all studies."""
    found: dict[Path, PlannedRun] = {}
    order: dict[tuple[str, str], list[int]] = {}
    for run in runs:
        seeds = order.setdefault((run.study.name, run.scale), [])
        if run.seed not in seeds:
            seeds.append(run.seed)
        found.setdefault(run.directory, run)
    return sorted(found.values(), key=lambda run: order[run.study.name, run.scale].index(run.seed))


def _trained_first(arms: Mapping[str, Arm]) -> Iterator[str]:
    yield from (name for name, arm in arms.items() if arm.evaluates is None)
    yield from (name for name, arm in arms.items() if arm.evaluates is not None)


def _option_words(options: Mapping[str, Any]) -> list[str]:
    return [f"--{name}={value if isinstance(value, str) else json.dumps(value)}" for name, value in options.items()]


def composed(configs: Iterable[str], options: Mapping[str, Any]) -> dict[str, Any]:
    """The config that the command line would compose, as far as two runs of studies can differ in it."""
    tree: dict[str, Any] = {}
    for name in configs:
        _merge(tree, _read(name))
    for name, value in options.items():
        root, *path = name.split(".")
        keys = [root, "init_args", *path] if root in CLASSES else [root, *path]
        _merge(tree, reduce(lambda inner, key: {key: inner}, reversed(keys), value))
    tree.pop("published", None)  # a figure to stand beside the run's own, which trains nothing
    return tree


@cache
def _read(name: str) -> dict[str, Any]:
    return read_yaml(ROOT / name)


def _merge(tree: dict[str, Any], other: Mapping[str, Any]) -> None:
    for key, value in other.items():
        known = tree.get(key.removesuffix("+"))
        if key.endswith("+"):  # as jsonargparse: added to a list
            tree[key[:-1]] = [*(known or []), *(value if isinstance(value, list) else [value])]
        elif isinstance(value, Mapping):
            known = tree[key] = known if isinstance(known, dict) else {}
            if value.get("class_path", known.get("class_path")) != known.get("class_path"):
                known.clear()  # arguments of another class
            _merge(known, value)
        else:
            tree[key] = copy.deepcopy(value)


def _model_of(run: PlannedRun) -> str:
    """The class of its network, for the name of the directory."""
    class_path = str(composed(run.configs, {}).get("model", {}).get("class_path", "run"))
    return class_path.rpartition(".")[2].lower()
