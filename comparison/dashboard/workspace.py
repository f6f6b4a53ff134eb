"""The saved workspace: all runs of a project, grouped by data set and architecture."""

import wandb_workspaces.workspaces as ws

from comparison.dashboard import names
from comparison.dashboard.panels import chapters, run_columns, training_runs

CLOSED_AT_FIRST = {"Speed", "Inside the networks", "GANs"}  # pictures take time to load


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
