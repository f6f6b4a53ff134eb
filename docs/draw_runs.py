"""Pictures of the callbacks' pages, drawn by short runs on CIFAR-10.

python -m docs.draw_runs docs/pictures [NAME …] [--data.root FOLDER]

A name is that of a run below; without names, all are made. On one core, `heads` and `first_steps` take some minutes
each, `filters` an hour. The picture of object localization is of a problem made for it, and is not drawn here.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple


class Run(NamedTuple):
    """A run to draw from.

    Attributes:
        model: Config of its network.
        options: What it changes, separated by spaces.
        pictures: Names of the pictures that it draws, without suffix.
    """

    model: str
    options: str
    pictures: tuple[str, ...]


RUNS = {
    "heads": Run(
        "googlenet_32",
        "--model.variant paper --data.batch_size 32 --trainer.max_epochs 1 --trainer.limit_train_batches 60 "
        "--trainer.limit_val_batches 1 --trainer.log_every_n_steps 1 --trainer.callbacks+=AuxiliaryLossWeighting "
        "--trainer.callbacks.others.start 0 --trainer.callbacks+=GradientFlow",
        ("auxiliary_loss", "gradient_flow"),
    ),
    "first_steps": Run(
        "alexnet_32",
        "--data.batch_size 32 --trainer.max_epochs 3 --trainer.limit_train_batches 40 --trainer.limit_val_batches 1 "
        "--trainer.callbacks+=ActivationStatistics --trainer.callbacks+=ClassActivationMaps",
        ("activation_statistics", "class_activation_maps"),
    ),
    "filters": Run(
        "alexnet_32",
        "--trainer.max_epochs 6 --trainer.precision bf16-mixed --trainer.callbacks+=FirstLayerFilters",
        ("first_layer_filters",),
    ),
}


def command_of(run: Run, directory: Path, options: Sequence[str]) -> list[str]:
    """The command line that makes a run in a directory, with further options of `fit`."""
    configs = ("configs/base.yaml", "configs/data/cifar10.yaml", f"configs/model/{run.model}.yaml")
    parts = [part for config in configs for part in ("--config", config)]
    here = ["--run_dir", str(directory), "--trainer.logger", "experiment.csv_logger.ResumableCSVLogger"]
    return [sys.executable, "main.py", "fit", *parts, *run.options.split(), *here, *options]


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
                shutil.copy(directory / "pictures" / f"{picture}.png", here.folder)


if __name__ == "__main__":
    main()
