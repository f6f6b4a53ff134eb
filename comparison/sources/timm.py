"""What timm's train.py leaves: summary.csv with a row an epoch, and args.yaml, what it was started with."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

# Epochs are counted from 0, accuracies are in per cent.
TIMM_COLUMNS = {"epoch": "epoch", "accuracy": "eval_top1", "train_loss": "train_loss"}
BOOKKEEPING = frozenset({"output", "experiment", "workers", "log_interval", "log_wandb"})


def is_timm(header: Sequence[str]) -> bool:
    """Whether a table with this header is timm's."""
    return {TIMM_COLUMNS["epoch"], TIMM_COLUMNS["accuracy"]} <= set(header)


def arguments_beside(path: Path) -> dict[str, Any]:
    """The args.yaml of a summary.csv, without bookkeeping; empty if it is not there or damaged."""
    try:
        arguments = yaml.safe_load(path.with_name("args.yaml").read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError, RecursionError):
        return {}
    known = arguments if isinstance(arguments, dict) else {}
    return {str(key): value for key, value in known.items() if key not in BOOKKEEPING}


def facts_of(arguments: Mapping[str, Any]) -> dict[str, str]:
    """What the arguments say of a run, as one would say it behind `--csv`."""
    texts = {"architecture": arguments.get("model"), "data": arguments.get("dataset")}
    facts = {key: text for key, text in texts.items() if isinstance(text, str) and text}
    seed = arguments.get("seed")
    return {**facts, "seed": str(seed)} if isinstance(seed, int) and seed >= 0 else facts
