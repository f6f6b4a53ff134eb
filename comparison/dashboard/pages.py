"""The saved workspace and the report: their panels, and how each lays them out."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import wandb_workspaces.reports.v2 as wr
import wandb_workspaces.workspaces as ws

from comparison.dashboard import names

WIDTH = 24  # columns of a report's grid
HEIGHT = 8
CLOSED_AT_FIRST = {"Speed", "Inside the networks", "GANs", "Case studies"}  # pictures take time to load


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
            "Test accuracy",
            "Measured once, at the end, with the checkpoint that validation chose: mean over the runs of an "
            "architecture, with their range. Runs without test images are not shown.",
            [_bars("Test accuracy", names.TEST_ACCURACY), _bars("Best validation accuracy", names.BEST_ACCURACY)],
        ),
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
        Chapter(
            "GANs",
            "Losses, measures of the samples by the callback SampleMeasures, and samples. Measures in the features of "
            "different networks do not compare.",
            _curves(names.GAN_CURVES) + _matching(names.GAN_MEASURES) + _pictures(names.GAN_PICTURES),
        ),
        Chapter(
            "Case studies",
            "Runs of `python -m case_studies … --wandb PROJECT`: a study is a group, an arm a tag. Bars are means over "
            "the seeds of each.",
            [
                _bars("Test accuracy by study", names.TEST_ACCURACY, "Group"),
                _bars("Test accuracy by arm", names.TEST_ACCURACY, "Tags"),
            ],
        ),
    ]


def build_workspace(entity: str, project: str, group: str | None) -> ws.Workspace:
    """A workspace that compares the architectures.

    Args:
        entity: Who owns the project.
        project: Project with the runs.
        group: Group of runs to show, which is the data set unless the logger was given another; None for all.
    """
    return ws.Workspace(
        entity=entity,
        project=project,
        name=f"Architectures on {group}" if group else "Architectures",
        sections=[
            ws.Section(
                name=chapter.heading,
                panels=chapter.panels,
                is_open=chapter.heading not in CLOSED_AT_FIRST,
                layout_settings=ws.SectionLayoutSettings(columns=chapter.columns, rows=2),
                panel_settings=ws.SectionPanelSettings(x_axis=names.AXIS),
            )
            for chapter in chapters()
        ],
        settings=ws.WorkspaceSettings(x_axis=names.AXIS, max_runs=50),
        runset_settings=ws.RunsetSettings(
            filters=training_runs(group),
            groupby=[ws.Config(path) for path in (names.DATA_SET, names.ARCHITECTURE)],
            order=[ws.Ordering(ws.Summary(names.BEST_ACCURACY), ascending=False)],
            pinned_columns=run_columns(),
        ),
    )


def build_report(entity: str, project: str, group: str | None, *, link: bool) -> wr.Report:
    """A report that compares the architectures.

    Args:
        entity: Who owns the project.
        project: Project with the runs.
        group: Group of runs to show; None for all.
        link: Name the project in each set of runs, for which the server is asked for its number. Without, a set of
            runs is of the report's own project.
    """
    blocks: list[Any] = [
        wr.P(
            "Written by python -m comparison dashboard; the same comparison without an account is python -m comparison."
        ),
        wr.TableOfContents(),
    ]
    for chapter in chapters():
        runs = _runs(entity, project, group, link)
        _lay_out(chapter)
        grid = wr.PanelGrid(runsets=[runs], panels=chapter.panels, hide_run_sets=True)
        blocks += [wr.H2(chapter.heading), wr.P(chapter.explanation), grid]
    table = wr.PanelGrid(runsets=[_runs(entity, project, group, link, grouped=False)], panels=[])
    blocks += [wr.H2("Runs"), wr.P("What each network costs, and what came of each run."), table]
    return wr.Report(
        entity=entity,
        project=project,
        title=f"Architectures on {group}" if group else "Architectures",
        description="The landmark image networks by accuracy, size, speed and cost.",
        blocks=blocks,
        width="fluid",
    )


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


def _matching(patterns: Mapping[str, str]) -> list[Any]:
    return [
        wr.LinePlot(title=title, x=names.AXIS, metric_regex=pattern, title_x="images seen", smoothing_type="none")
        for title, pattern in patterns.items()
    ]


def _bars(title: str, metric: str, groupby: str | None = None) -> Any:
    return wr.BarPlot(
        title=title,
        metrics=[metric],
        groupby=groupby,
        groupby_aggfunc="mean",
        groupby_rangefunc="minmax",
        max_runs_to_show=50,
    )


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


def _runs(entity: str, project: str, group: str | None, link: bool, *, grouped: bool = True) -> Any:
    columns = run_columns()
    return wr.Runset(
        entity=entity if link else "",
        project=project if link else "",
        name=group or "All runs",
        filters=training_runs(group),
        groupby=[f"config.{path}" for path in (names.DATA_SET, names.ARCHITECTURE)] if grouped else [],
        order=[wr.OrderBy(wr.SummaryMetric(names.BEST_ACCURACY), ascending=False)],
        pinned_columns=["run:displayName", *columns],
        column_order=["run:displayName", *columns],
    )


def _lay_out(chapter: Chapter) -> None:
    width = WIDTH // chapter.columns
    for number, panel in enumerate(chapter.panels):
        row, place = divmod(number, chapter.columns)
        panel.layout = wr.Layout(x=place * width, y=row * HEIGHT, w=width, h=HEIGHT)
