"""Run directories: summary.json, config.yaml and metrics.csv, each of which may be damaged."""

from collections.abc import Mapping
from pathlib import Path

from comparison.configuration import Labels, parse_configuration, wandb_labels
from comparison.curves import CurvePoint, read_curve
from comparison.generators.records import is_generator
from comparison.runs import Run, make_run
from comparison.sources.selection import Selection
from comparison.summary import Summary


def read_run_directory(directory: Path, selection: Selection) -> Run | None:
    """Read one run.

    Returns:
        None if it is not of training, or a GAN's, which `read_generators` reads, or not wanted.

    Raises:
        ValueError: If not even its model and data are known.
    """
    summary = Summary.read(directory / "summary.json")
    if summary.text("command") != "fit" or is_generator(summary):
        return None
    config, configuration, labels, config_damage = _config(directory / "config.yaml", summary)
    if not selection.includes(labels):
        return None
    curve, curve_damage = _curve(directory / "metrics.csv")
    return make_run(
        directory,
        summary,
        curve,
        history="metrics.csv",
        config=config,
        configuration=configuration,
        damage=curve_damage or config_damage,
        labels=labels,
    )


def _curve(path: Path) -> tuple[tuple[CurvePoint, ...], str | None]:
    try:
        return read_curve(path), None
    except ValueError as error:
        return (), str(error)


def _config(path: Path, summary: Summary) -> tuple[str, Mapping[str, str], Labels, str | None]:
    """Text, content and labels of config.yaml, and what is damaged."""
    text, names = "", (summary.text("data", "name"), summary.text("model", "architecture"))
    labels = Labels(names[0], tuple(name for name in names if name))
    try:
        text = path.read_text(encoding="utf-8")
        run_name = path.parent.name
        return text, parse_configuration(text, run_name), wandb_labels(text, run_name, *names), None
    except (OSError, UnicodeDecodeError):
        return "", {}, labels, f"{path.name} cannot be read"
    except ValueError as error:
        return text, {}, labels, str(error)
