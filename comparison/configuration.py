"""The resolved config of a run, reduced to what makes it one experiment and not another."""

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

import yaml

# What may differ between two runs of the same experiment: the seed, where it was written, how it was watched.
NOT_PART_OF_THE_EXPERIMENT = frozenset(
    {
        "seed_everything",
        "seed",
        "ckpt_path",
        "run_dir",
        "resume",
        "logger",
        "log_every_n_steps",
        "root",
        "default_root_dir",
        "enable_progress_bar",
        "enable_model_summary",
    }
)


def parse_configuration(text: str, run_name: str) -> Mapping[str, str]:
    """The config as `path: value`, without what is not part of the experiment.

    Args:
        text: Content of config.yaml.
        run_name: Name of the run's directory, which occurs in paths inside the config and differs in every run.

    Raises:
        ValueError: If the text is not a YAML mapping.
    """
    # Seeds and names go before parsing, so that runs of one experiment share one parse.
    text = re.sub(rf"(?<=[/\\]){re.escape(run_name)}(?![\w.-])", "", text)
    return _parse(re.sub(r"(?m)^seed_everything:.*$", "", text))


@lru_cache(maxsize=4096)
def _parse(text: str) -> Mapping[str, str]:
    try:
        tree = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ValueError("config.yaml is not valid YAML") from error
    if not isinstance(tree, Mapping):
        raise ValueError("config.yaml is not a mapping")
    return dict(_leaves(tree, ()))


def _leaves(node: Any, path: tuple[str, ...]) -> Iterable[tuple[str, str]]:
    if isinstance(node, Mapping):
        for key, value in node.items():
            if key not in NOT_PART_OF_THE_EXPERIMENT:
                yield from _leaves(value, (*path, str(key)))
    elif isinstance(node, list):
        for position, value in enumerate(node):
            yield from _leaves(value, (*path, str(position)))
    else:
        yield ".".join(path), str(node)
