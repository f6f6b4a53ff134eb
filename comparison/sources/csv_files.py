"""Learning curves of other tools: a CSV file with a row an epoch, and what the file does not say told beside it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from comparison.configuration import parse_configuration
from comparison.curves import best_point, curve_of
from comparison.runs import CSV_FILE, Run, make_run
from comparison.sources.csv_table import COLUMNS, choose_columns, logged_rows, read_table
from comparison.sources.timm import TIMM_COLUMNS, arguments_beside, facts_of, is_timm
from comparison.summary import SUPPORTED_FORMAT, Summary

TEXTS = ("architecture", "data", "selection_split", "percent")
NUMBERS = ("train_images", "val_images", "seed", "parameters", "multiply_adds", "depth")
NEEDED = ("architecture", "data", "train_images", "val_images")
KEYS = (*COLUMNS, *TEXTS, *NUMBERS)


@dataclass(frozen=True)
class CsvFile:
    """A CSV file with what was said of it: names of its columns, and facts that it does not hold."""

    path: Path
    facts: Mapping[str, str]


def parse_csv_option(words: Sequence[str]) -> CsvFile:
    """The option `--csv FILE KEY=VALUE …`.

    Raises:
        ValueError: If there is no such file, a word is no KEY=VALUE, or a key or value is none that is known.
    """
    path, *pairs = words
    if not Path(path).is_file():
        raise ValueError(f"{path} is no file: name the CSV file itself behind --csv.")
    facts = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals:
            raise ValueError(f"{pair} after --csv is not KEY=VALUE: write paths of runs before --csv.")
        if key not in KEYS:
            raise ValueError(f"--csv knows no {key}: use {', '.join(KEYS)}.")
        if key in NUMBERS and not value.isdecimal():
            raise ValueError(f"--csv {key}={value} is not a whole number.")
        facts[key] = value
    if facts.get("percent", "yes") not in ("yes", "no"):
        raise ValueError(f"--csv percent={facts['percent']} is neither yes nor no.")
    return CsvFile(Path(path), facts)


def read_csv_file(file: CsvFile) -> Run:
    """Read the run of a CSV file.

    Raises:
        ValueError: If it cannot be read, or says too little.
    """
    header, rows = read_table(file.path)
    timm = is_timm(header)
    arguments = arguments_beside(file.path) if timm else {}
    facts = {**({"percent": "yes"} if timm else {}), **facts_of(arguments), **file.facts}
    for key in NEEDED:
        if key not in facts:
            raise ValueError(f"the file does not say its {key}: add {key}=VALUE behind it")
    columns = choose_columns(header, file.facts, TIMM_COLUMNS if timm else {})
    percent = {"yes": True, "no": False, None: None}[facts.get("percent")]
    curve = curve_of(logged_rows(rows, columns, int(facts["train_images"]), percent, timm), "the file")
    best = best_point(curve)
    measured = [point.accuracy for point in curve if point.accuracy is not None]
    numbers = {key: int(facts[key]) for key in NUMBERS if key in facts}
    summary = {
        "format": SUPPORTED_FORMAT,
        "status": "completed",
        "model": {
            "architecture": facts["architecture"],
            "parameters": {"total": numbers.get("parameters")},
            "multiply_adds": numbers.get("multiply_adds"),
            "depth": numbers.get("depth"),
        },
        "data": {
            "name": facts["data"],
            "train_images": numbers["train_images"],
            "val_images": numbers["val_images"],
            "selection_split": facts.get("selection_split", "val"),
        },
        "seed": numbers.get("seed"),
        "epochs": curve[-1].epoch if curve else None,
        "best": {"val/acc1": {"value": best.accuracy, "epoch": best.epoch_index}} if best else {},
        "metrics": {"val/acc1": measured[-1]} if measured else {},
    }
    return make_run(
        file.path,
        Summary(summary, "the file"),
        curve,
        history="the file",
        config=yaml.safe_dump(arguments, sort_keys=False) if arguments else "",
        configuration=_configuration(file.path, arguments, seed_is_said="seed" in file.facts),
        source=CSV_FILE,
    )


def _configuration(path: Path, arguments: Mapping[str, Any], seed_is_said: bool) -> Mapping[str, str]:
    if arguments:
        return parse_configuration(yaml.safe_dump(arguments), path.parent.name)
    # Who says the seed of a run says that others of its architecture differ in nothing else. Without, nothing is known.
    return {} if seed_is_said else {"file": path.as_posix()}
