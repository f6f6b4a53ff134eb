"""The report: the panels of the workspace with a word on each, and the table of runs."""

from typing import Any

import wandb_workspaces.reports.v2 as wr

from comparison.dashboard import names
from comparison.dashboard.panels import Chapter, chapters, run_columns, training_runs

WIDTH = 24  # columns of a report's grid
HEIGHT = 8


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
