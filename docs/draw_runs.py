"""Pictures of the callbacks' pages, drawn by short runs on CIFAR-10.

python -m docs.draw_runs docs/pictures [NAME …] [--data.root FOLDER]

A name is that of a run below; without names, all are made. On one core, `heads` and `first_steps` take some minutes
each, `filters` an hour.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import altair as alt

from callbacks.pictures import drawn
from records.layout import METRICS, PICTURES
from records.metrics import read_metrics


class Run(NamedTuple):
    """A run to draw from.

    Attributes:
        model: Config of its network.
        options: What it changes, separated by spaces.
        pictures: Names of the pictures that it draws, without suffix.
        without_heads: Options with which the same run has no auxiliary heads, to draw both in `auxiliary_loss.png`.
    """

    model: str
    options: str
    pictures: tuple[str, ...]
    without_heads: str = ""


RUNS = {
    "heads": Run(
        "googlenet_32",
        "--model.variant paper --data.batch_size 32 --trainer.max_epochs 1 --trainer.limit_train_batches 60 "
        "--data.eval_batch_size 50 --trainer.limit_val_batches 0.01 --trainer.limit_test_batches 0.005 "  # one of each
        "--trainer.log_every_n_steps 1 --trainer.callbacks+=GradientFlow --trainer.callbacks+=AuxiliaryLossWeighting",
        ("gradient_flow",),
        without_heads="--trainer.callbacks.others.start 0",
    ),
    "first_steps": Run(
        "alexnet_32",
        "--data.batch_size 32 --trainer.max_epochs 3 --trainer.limit_train_batches 40 "
        "--trainer.limit_val_batches 0.1 --trainer.limit_test_batches 0.05 "
        "--trainer.callbacks+=ActivationStatistics --trainer.callbacks+=ClassActivationMaps",
        ("activation_statistics", "class_activation_maps"),
    ),
    "filters": Run(
        "alexnet_32",
        "--trainer.max_epochs 6 --trainer.precision bf16-mixed --trainer.callbacks+=FirstLayerFilters",
        ("first_layer_filters",),
    ),
}


COLORS = {"heads at 0.3": "#5c1a5c", "heads off": "#cf8a2e", "at 4a": "#5c1a5c", "at 4d": "#1363ae"}


def command_of(run: Run, directory: Path, options: Sequence[str]) -> list[str]:
    """The command line that makes a run in a directory, with further options of `fit`."""
    configs = ("configs/base.yaml", "configs/data/cifar10.yaml", f"configs/model/{run.model}.yaml")
    parts = [part for config in configs for part in ("--config", config)]
    here = ["--run_dir", str(directory), "--trainer.logger", "experiment.csv_logger.ResumableCSVLogger"]
    return [sys.executable, "main.py", "fit", *parts, *run.options.split(), *here, *options]


def heads_chart(with_heads: Path, without: Path) -> Any:
    """The gradient of the first layer in both runs, and what meets at the maps that the heads read."""
    first = "gradients/first_layer"
    layers = [*_rows(with_heads, {first: ("heads at 0.3", "")}), *_rows(without, {first: ("heads off", "")})]
    at_heads = {
        f"gradients/{part}_{head}": (f"at {head}", name)
        for head in ("4a", "4d")
        for part, name in (("aux", "of the head"), ("rest", "of the rest"))
    }
    panels = (
        ("gradient of the first layer", layers, alt.Scale(type="log", nice=False)),
        ("gradients where a head attaches, heads at 0.3", _rows(with_heads, at_heads), alt.Scale()),
    )
    return alt.hconcat(*(_panel(*panel) for panel in panels)).resolve_scale(
        color="independent", strokeDash="independent"
    )


def _rows(run: Path, metrics: Mapping[str, tuple[str, str]]) -> list[dict[str, Any]]:
    """A row for each step and metric, with the color and the dash of its line."""
    table = read_metrics(run / METRICS)
    return [
        {"step": int(step), "value": value, "color": color, "dash": dash}
        for metric, (color, dash) in metrics.items()
        for step, value in zip(table.numbers("step"), table.numbers(metric), strict=True)
        if step is not None and value is not None
    ]


def _panel(title: str, rows: list[dict[str, Any]], scale: alt.Scale) -> Any:
    colors = [color for color in COLORS if color in {row["color"] for row in rows}]
    legend = alt.Legend(orient="top", title=None)
    encoding = {
        "x": alt.X("step:Q", title="step", axis=alt.Axis(grid=False)),
        "y": alt.Y("value:Q", title=None, scale=scale, axis=alt.Axis(format="~g", tickCount=5)),
        "color": alt.Color(
            "color:N", legend=legend, scale=alt.Scale(domain=colors, range=[COLORS[color] for color in colors])
        ),
    }
    if len({row["dash"] for row in rows}) > 1:
        encoding["strokeDash"] = alt.StrokeDash("dash:N", legend=legend)
    base = alt.Chart(alt.Data(values=rows), title=title).mark_line(strokeWidth=2)
    return base.encode(**encoding).properties(width=330, height=210)


def main(arguments: Sequence[str] | None = None) -> None:
    """Make the runs and copy their pictures."""
    parser = argparse.ArgumentParser(
        prog="python -m docs.draw_runs",
        description="Draw pictures of the callbacks' pages. Other options, such as --data.root FOLDER, go to `fit`.",
    )
    parser.add_argument("folder", type=Path, help="folder that the pictures are written to")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"runs to make, of {', '.join(RUNS)}; default: all")
    here, options = parser.parse_known_args(arguments)
    if unknown := set(here.names) - RUNS.keys():
        parser.error(f"there is no run {unknown.pop()}: name some of {', '.join(RUNS)}")
    here.folder.mkdir(parents=True, exist_ok=True)
    for name in here.names or RUNS:
        with tempfile.TemporaryDirectory() as folder:
            directory = Path(folder) / name
            subprocess.run(command_of(RUNS[name], directory, options), check=True)
            for picture in RUNS[name].pictures:
                shutil.copy(directory / PICTURES / f"{picture}.png", here.folder)
            if RUNS[name].without_heads:
                without = Path(folder) / "without_heads"
                others = [*RUNS[name].without_heads.split(), *options]
                subprocess.run(command_of(RUNS[name], without, others), check=True)
                drawn(heads_chart(directory, without)).save(here.folder / "auxiliary_loss.png")


if __name__ == "__main__":
    main()
