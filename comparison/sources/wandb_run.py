"""A run as the W&B logger recorded it, offline or on a server, turned into one that can be compared."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePath
from typing import Any

import yaml

from comparison.configuration import Filing, Selection, parse_configuration
from comparison.curves import best_point, curve_of
from comparison.runs import Run, make_run
from records.summary import Summary

NAME = "the W&B config"


@dataclass(frozen=True)
class WandbRun:
    """What W&B knows of a run.

    `config` and `summary` are as the logger sent them, `rows` the history with the columns of metrics.csv, `status` as
    in summary.json. `directory` is the one that the run wrote to and `started` when, empty if they are not known.
    `other_ids` are those of parts that the run consists of besides.
    """

    path: Path
    source: str
    id: str
    filing: Filing
    config: Mapping[str, Any]
    summary: Mapping[str, Any]
    rows: Sequence[Mapping[str, Any]]
    status: str
    directory: str = ""
    started: str = ""
    damage: str | None = None
    url: str | None = None
    other_ids: tuple[str, ...] = ()

    @cached_property
    def config_text(self) -> str:
        """The config of the command line as config.yaml has it; empty if it was not recorded."""
        config = self.config.get("config")
        if not isinstance(config, dict):
            return ""
        try:
            dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
            return yaml.dump(config, Dumper=dumper, sort_keys=False, allow_unicode=True)
        except (yaml.YAMLError, RecursionError) as error:
            raise ValueError("its W&B config is none that YAML can hold") from error

    @cached_property
    def experiment(self) -> Mapping[str, str]:
        """The config without what is not part of the experiment.

        Raises:
            ValueError: If it is not such a config.
        """
        text = self.config_text
        return parse_configuration(text, PurePath(self.directory).name) if text else {}


def run_of(logged: WandbRun, selection: Selection) -> Run | None:
    """The run that W&B knows, as one that can be compared.

    Returns:
        None if it is not of training, or not wanted.

    Raises:
        ValueError: If not even its model and data are known.
    """
    if not selection.includes(logged.filing):
        return None
    if "format" not in logged.config:
        raise ValueError(
            logged.damage
            or "its W&B config is not that of a run of this project, or the run was killed before it could send it"
        )
    curve = curve_of(logged.rows, "the W&B history")
    best = best_point(curve)
    measured = [point.accuracy for point in curve if point.accuracy is not None]
    values = {
        **logged.config,
        "wandb_id": logged.id,
        "status": logged.status,
        "error": logged.damage,
        "epochs": curve[-1].epoch if curve else None,
        "best": {"val/acc1": {"value": best.accuracy, "epoch": best.epoch_index}} if best else {},
        "metrics": {"val/acc1": measured[-1]} if measured else {},
        **{name: logged.summary.get(name) for name in ("images_per_second", "wall_time_seconds")},
    }
    summary = Summary.of(values, NAME)
    if summary.command != "fit":
        return None
    if summary.model.is_gan:
        raise ValueError("a GAN, which has no accuracy to compare: see its pictures and measures.json")
    return make_run(
        logged.path,
        summary,
        curve,
        name=NAME,
        history="the W&B history",
        config=logged.config_text,
        configuration=logged.experiment,
        damage=logged.damage,
        source=logged.source,
        filing=logged.filing,
        url=logged.url,
    )
