"""The resolved config of a run, reduced to what makes it one experiment and not another."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

from records.files import parse_yaml
from records.layout import CONFIG

# What may differ between two runs of the same experiment: the seed, where it was written, how it was watched.
NOT_PART_OF_THE_EXPERIMENT = frozenset(
    {
        "seed_everything",
        "seed",
        "ckpt_path",
        "run_dir",
        "resume",
        "published",
        "logger",
        "log_every_n_steps",
        "root",
        "default_root_dir",
        "enable_progress_bar",
        "enable_model_summary",
    }
)
# What W&B is told and config.yaml is not, because it follows from the data.
FOLLOWS_FROM_THE_DATA = frozenset(f"model.init_args.{name}" for name in ("num_classes", "in_channels", "image_size"))


class Filing(NamedTuple):
    """Group and tags that the W&B logger files a run under."""

    group: str | None = None
    tags: tuple[str, ...] = ()

    def completed(self, data: str | None, architecture: str | None) -> "Filing":
        """With what the command line fills in where a config leaves them open."""
        return Filing(self.group or data, self.tags or tuple(name for name in (data, architecture) if name))


@dataclass(frozen=True)
class Selection:
    """Runs of one of the `groups` that have all of the `tags`; an empty list asks for nothing."""

    groups: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()

    def includes(self, filing: Filing) -> bool:
        """Whether a run with this group and these tags is wanted."""
        return (not self.groups or filing.group in self.groups) and set(self.tags) <= set(filing.tags)

    def __str__(self) -> str:
        wanted = [" or ".join(f"group {group}" for group in self.groups), *(f"tag {tag}" for tag in self.tags)]
        return " and ".join(part for part in wanted if part)


def parse_configuration(text: str, run_name: str) -> tuple[Mapping[str, str], Filing]:
    """The config as `path: value`, without what is not part of the experiment, and what it tells the W&B logger.

    Args:
        text: Content of config.yaml.
        run_name: Name of the run's directory, which occurs in paths inside the config and differs in every run.

    Raises:
        ValueError: If the text is not a YAML mapping.
    """
    # Seeds and names go before parsing, so that runs of one experiment share one parse.
    if run_name and run_name in text:
        text = re.sub(rf"(?<=[/\\]){re.escape(run_name)}(?![\w.-])", "", text)
    return _parse(re.sub(r"(?m)^seed_everything:.*$", "", text))


@lru_cache(maxsize=4096)
def _parse(text: str) -> tuple[Mapping[str, str], Filing]:
    tree = parse_yaml(text, CONFIG)
    try:
        leaves = {path: value for path, value in _leaves(tree, ()) if path not in FOLLOWS_FROM_THE_DATA}
        return leaves, _logger_filing(tree)
    except ValueError as error:  # a whole number that Python does not write
        raise ValueError(f"{CONFIG} holds a number out of range") from error


def _leaves(node: Any, path: tuple[str, ...]) -> Iterable[tuple[str, str]]:
    if isinstance(node, Mapping):
        for key, value in node.items():
            if key not in NOT_PART_OF_THE_EXPERIMENT:
                yield from _leaves(value, (*path, str(key)))
    elif isinstance(node, list):
        for position, value in enumerate(node):
            yield from _leaves(value, (*path, str(position)))
    else:
        yield ".".join(path), _leaf(node)


def _leaf(value: Any) -> str:
    """The value in one spelling: YAML and JSON write 1.0 and 1e-05 in ways that the other reads as something else."""
    if isinstance(value, str) and re.fullmatch(r"[+-]?\d+(\.\d+)?[eE][+-]?\d+", value):
        value = float(value)
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _logger_filing(tree: Mapping[str, Any]) -> Filing:
    trainer = tree.get("trainer")
    loggers = trainer.get("logger") if isinstance(trainer, Mapping) else None
    for logger in loggers if isinstance(loggers, list) else [loggers]:
        if not isinstance(logger, Mapping) or "WandbLogger" not in str(logger.get("class_path")):
            continue
        settings = logger.get("init_args")
        if isinstance(settings, Mapping):
            group, tags = settings.get("group"), settings.get("tags")
            names = [str(tag) for tag in tags] if isinstance(tags, list) else []
            return Filing(None if group is None else str(group), tuple(names))
    return Filing()
