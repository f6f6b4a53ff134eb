"""The comparison as a table: aligned text for the terminal, Markdown for a README, CSV with raw numbers."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from comparison.fairness import fairness_notes, general_notes
from comparison.gan_table import csv_of_figures, markdown_tables, text_tables
from comparison.groups import Comparison, Group
from comparison.runs import DataSet, Run
from comparison.statistics import Estimate
from comparison.text_layout import aligned, comma_separated, literal, markdown
from comparison.units import ABSENT, human_count, human_duration, human_percent, human_rate
from records.record import printable

TEXT_WIDTH = 116
OPERATIONS_PER_MULTIPLY_ADD = 2
PASSES = 3  # forward; backward to the inputs and to the weights, each as large as forward
EXPLANATION_OF_FLOPS = (
    "Training FLOPs: 2 × multiply-adds × 3 (forward, and backward twice as much) × training images × epochs; "
    "auxiliary heads and validation are not counted."
)
HEADINGS = (
    "architecture",
    "conv\nparams",
    "fc\nparams",
    "params",
    "multiply-\nadds",
    "depth",
    "val acc1",
    "uncertainty",
    "seeds",
    "epochs",
    "images/s",
    "wall time",
)
CSV_HEADINGS = (
    "data_set",
    "architecture",
    "status",
    "parameters_conv",
    "parameters_fc",
    "parameters_total",
    "multiply_adds",
    "depth",
    "val_acc1",
    "val_acc1_low",
    "val_acc1_high",
    "val_acc1_standard_deviation",
    "val_acc1_last_epoch",
    "val_images",
    "selection_split",
    "seeds",
    "epochs",
    "images_per_second",
    "wall_time_seconds",
    "training_flops",
    "runs",
)


@dataclass(frozen=True)
class Row:
    """One line of the table: a group, or a run that does not count and so has no accuracy to show."""

    run: Run
    group: Group | None

    @property
    def status(self) -> str:
        """The status to show: that of the run, but "damaged" for one that ended well and still does not count."""
        if self.group is None and self.run.status == "completed":
            return "damaged"
        return self.run.status

    @property
    def training_flops(self) -> float | None:
        """Operations of the training, as a mean over the seeds."""
        known = [
            flops
            for run in (self.group.runs if self.group else (self.run,))
            if (flops := training_flops(run)) is not None
        ]
        return sum(known) / len(known) if known else None

    def cells(self) -> list[str]:
        """The cells under `HEADINGS`, in human units."""
        run, group = self.run, self.group
        return [
            group.label if group else run.architecture,
            *(human_count(run.parameters[kind]) for kind in ("conv", "fc", "total")),
            human_count(run.multiply_adds),
            ABSENT if run.depth is None else str(run.depth),
            human_percent(group.best.mean) if group else self.status,
            uncertainty(group.best) if group else ABSENT,
            str(group.best.seeds) if group else ABSENT,
            _whole(group.mean("epochs") if group else run.epochs),
            human_rate(group.mean("images_per_second") if group else run.images_per_second),
            human_duration(group.mean("wall_time_seconds") if group else run.wall_time_seconds),
        ]

    def raw_cells(self) -> list[object]:
        """The cells under `CSV_HEADINGS`, unrounded; None becomes an empty cell."""
        run, group = self.run, self.group
        best = group.best if group else None
        return [
            run.data.name,
            group.label if group else run.architecture,
            self.status,
            *(run.parameters[kind] for kind in ("conv", "fc", "total")),
            run.multiply_adds,
            run.depth,
            best.mean if best else None,
            best.low if best else None,
            best.high if best else None,
            best.standard_deviation if best else None,
            group.last if group else None,
            run.data.val_images,
            run.data.selection_split,
            best.seeds if best else None,
            group.mean("epochs") if group else run.epochs,
            group.mean("images_per_second") if group else run.images_per_second,
            group.mean("wall_time_seconds") if group else run.wall_time_seconds,
            self.training_flops,
            " ".join(run.directory.as_posix() for run in (group.runs if group else (run,))),
        ]


def training_flops(run: Run) -> float | None:
    """What a training costs in floating-point operations, counted and not measured; None if that is not known."""
    if run.multiply_adds is None or run.epochs is None:
        return None
    return float(OPERATIONS_PER_MULTIPLY_ADD * PASSES * run.multiply_adds * run.data.train_images * run.epochs)


def rows_of(groups: Sequence[Group], left_out: Sequence[Run]) -> list[Row]:
    """Rows of one data set: groups in their order, then the runs that do not count."""
    return [*(Row(group.example, group) for group in groups), *(Row(run, None) for run in left_out)]


def table_rows(comparison: Comparison, data_set: str) -> list[Row]:
    """The rows of one data set: groups from the most accurate down, then the runs that do not count."""
    left_out = [run for run in comparison.left_out if run.data.name == data_set]
    return rows_of(comparison.groups.get(data_set, []), left_out)


def uncertainty(estimate: Estimate) -> str:
    """`± 0.31` over seeds, or `96.8 to 99.4` over images; percentage points and per cent."""
    if estimate.standard_deviation is not None:
        return f"± {100 * estimate.standard_deviation:.2f}"
    return f"{100 * estimate.low:.1f} to {100 * estimate.high:.1f}"


def error_with_uncertainty(estimate: Estimate) -> str:
    """`1.02 ± 0.31` over seeds, or `1.35 (0.6 to 3.2)` over images: 100 % minus the accuracy, in per cent."""
    error = f"{100 * (1 - estimate.mean):.2f}"
    if estimate.standard_deviation is not None:
        return f"{error} ± {100 * estimate.standard_deviation:.2f}"
    return f"{error} ({100 * (1 - estimate.high):.1f} to {100 * (1 - estimate.low):.1f})"


def explain_uncertainty(groups: Sequence[Group]) -> str:
    """The sentence that says what val acc1 and its uncertainty are."""
    parts = ["val acc1: accuracy at the best epoch of each run, on the images that chose that epoch."]
    if any(group.best.seeds > 1 for group in groups):
        parts.append("±: sample standard deviation over the seeds.")
    if any(group.best.seeds == 1 for group in groups):
        images = sorted({group.example.data.val_images for group in groups if group.best.seeds == 1})
        counts = " or ".join(f"{count:,}" for count in images)
        parts.append(f"A range: Wilson 95 % interval of one seed on {counts} images.")
    return " ".join(parts)


def text_table(comparison: Comparison) -> str:
    """Aligned plain text with a heading for each data set, notes and the runs left out."""
    blocks = []
    for data_set in comparison.data_sets:
        groups = comparison.groups.get(data_set, [])
        rows = [row.cells() for row in table_rows(comparison, data_set)]
        lines = [data_set_line(comparison, data_set), "", aligned(HEADINGS, rows)]
        if groups:
            lines += ["", _wrapped(explain_uncertainty(groups))]
        lines += [_wrapped(f"Note: {note}") for note in fairness_notes(groups)]
        blocks.append("\n".join(lines))
    for data_set, runs in comparison.gans.items():
        *tables, sentence = text_tables(data_set, runs)
        blocks.append("\n\n".join([*tables, _wrapped(sentence)]))
    tail = [_wrapped(f"Note: {note}") for note in general_notes(comparison)]
    tail += [f"Left out: {line}" for line in left_out_lines(comparison)]
    return "\n\n".join([*blocks, *(["\n".join(tail)] if tail else [])])


def markdown_table(comparison: Comparison) -> str:
    """GitHub-flavored Markdown, one table a data set."""
    blocks = []
    for data_set in comparison.data_sets:
        rows = [row.cells() for row in table_rows(comparison, data_set)]
        lines = [f"**{literal(data_set_line(comparison, data_set))}**", "", markdown(HEADINGS, rows)]
        groups = comparison.groups.get(data_set, [])
        remarks = [explain_uncertainty(groups)] if groups else []
        remarks += fairness_notes(groups)
        blocks.append("\n".join([*lines, *(f"\n{literal(remark)}" for remark in remarks)]))
    blocks += ["\n\n".join(markdown_tables(data_set, runs)) for data_set, runs in comparison.gans.items()]
    remarks = [*general_notes(comparison), *(f"Left out: {line}" for line in left_out_lines(comparison))]
    return "\n\n".join([*blocks, *map(literal, remarks)])


def csv_table(comparison: Comparison) -> str:
    """Raw numbers for other tools: one line a group or uncounted run; where there are only GANs, one a figure."""
    if comparison.gans and not comparison.data_sets:
        return csv_of_figures(comparison.gans)
    rows = [row.raw_cells() for data_set in comparison.data_sets for row in table_rows(comparison, data_set)]
    return comma_separated(CSV_HEADINGS, rows)


def data_set_line(comparison: Comparison, data_set: str) -> str:
    """One line on the data: name, sizes, and which split selected the best epoch."""
    return f"{data_set}: {about_data(table_rows(comparison, data_set)[0].run.data)}"


def about_data(data: DataSet) -> str:
    """Sizes of a data set, and which split selected the best epoch."""
    return (
        f"{data.train_images:,} training and {data.val_images:,} validation images, best epoch selected on "
        f"{data.selection_split}"
    )


def left_out_lines(comparison: Comparison) -> list[str]:
    """One line for each run that does not count, with the reason."""
    return [f"{printable(run.directory.as_posix())}: {run.problem}" for run in comparison.excluded]


def _wrapped(text: str) -> str:
    return textwrap.fill(text, TEXT_WIDTH, subsequent_indent="  ")


def _whole(number: float | None) -> str:
    return ABSENT if number is None else f"{number:.1f}".removesuffix(".0")
