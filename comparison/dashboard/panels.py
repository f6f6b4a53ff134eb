"""The panels that workspace and report have in common."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import wandb_workspaces.reports.v2 as wr

from comparison.dashboard import names


@dataclass(frozen=True)
class Chapter:
    """What one question needs: a heading, a sentence on how to read it, and its panels."""

    heading: str
    explanation: str
    panels: list[Any]

    @property
    def columns(self) -> int:
        """Panels in a row: three, or fewer if that fills the rows."""
        return 2 if len(self.panels) == 4 else min(3, len(self.panels))


def chapters() -> list[Chapter]:
    """The dashboard, chapter by chapter. Panels belong to one dashboard only, so each call makes new ones."""
    return [
        Chapter(
            "Learning curves",
            "Mean over the runs of an architecture, with their range, over the images seen in training: an axis on "
            "which batch sizes and numbers of devices can be compared.",
            _curves(names.CURVES),
        ),
        Chapter(
            "Accuracy against cost",
            "The best validation accuracy against multiply-adds, parameters and training time, on logarithmic axes. "
            "The best epoch is chosen on the images that measure it.",
            [
                _cost("Accuracy against multiply-adds", wr.Config(names.MULTIPLY_ADDS)),
                _cost("Accuracy against parameters", wr.Config(names.PARAMETERS)),
                _cost("Accuracy against training time, s", wr.SummaryMetric(names.SECONDS)),
            ],
        ),
        Chapter(
            "From architecture to accuracy",
            "A line for each run or group: its cost, its depth, its learning rate, and what came of it.",
            [_parallel_coordinates()],
        ),
        Chapter("Speed", "Of all devices together.", _curves(names.SPEED_CURVES)),
        Chapter(
            "Inside the networks",
            "Pictures of runs with configs/experiment/look_inside.yaml; confusions are there for every classifier.",
            _pictures(names.INSIDE_PICTURES),
        ),
        Chapter("GANs", "Losses and samples.", _curves(names.GAN_CURVES) + _pictures(names.GAN_PICTURES)),
    ]


def training_runs(group: str | None) -> str:
    """The filter that keeps evaluations of trained networks out, which are runs, too, and other groups than `group`."""
    return 'Config("command") == "fit"' + (f' and Metric("Group") == {group!r}' if group else "")


def run_columns() -> list[str]:
    """Columns of the table of runs, as W&B writes them: first what the model card says, then the results."""
    return [config_column(path) for path in names.CONFIG_COLUMNS] + [f"summary:{key}" for key in names.SUMMARY_COLUMNS]


def config_column(path: str) -> str:
    """A path in a run's config as W&B keeps it: the top-level entry holds its content under `value`."""
    entry, *rest = path.split(".")
    return ".".join([f"config:{entry}", "value", *rest])


def _curves(metrics: Mapping[str, str]) -> list[Any]:
    return [
        wr.LinePlot(
            title=title,
            x=names.AXIS,
            y=[metric],
            title_x="images seen",
            smoothing_type="none",
            groupby_aggfunc="mean",
            groupby_rangefunc="minmax",
            max_runs_to_show=50,
        )
        for title, metric in metrics.items()
    ]


def _cost(title: str, cost: Any) -> Any:
    return wr.ScatterPlot(title=title, x=cost, y=wr.SummaryMetric(names.BEST_ACCURACY), log_x=True)


def _parallel_coordinates() -> Any:
    columns: Iterable[tuple[Any, str, bool]] = [
        (wr.Config(names.PARAMETERS), "parameters", True),
        (wr.Config(names.MULTIPLY_ADDS), "multiply-adds", True),
        (wr.Config(names.DEPTH), "depth", False),
        (wr.Config(names.LEARNING_RATE), "learning rate", True),
        (wr.SummaryMetric(names.BEST_ACCURACY), "best val/acc1", False),
    ]
    return wr.ParallelCoordinatesPlot(
        title="From architecture to accuracy",
        columns=[
            wr.ParallelCoordinatesPlotColumn(metric=metric, display_name=label, log=logarithmic)
            for metric, label, logarithmic in columns
        ],
    )


def _pictures(keys: Mapping[str, str]) -> list[Any]:
    return [wr.MediaBrowser(title=title, media_keys=[key], num_columns=2) for title, key in keys.items()]
