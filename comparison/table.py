"""The comparison as a table: aligned text for the terminal, Markdown for a README, CSV with raw numbers."""

import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from comparison.fairness import fairness_notes, general_notes
from comparison.gan_table import csv_of_figures, markdown_tables, text_tables
from comparison.groups import TEST, Comparison, Group
from comparison.runs import DataSet, Run, UnreadableRun
from comparison.statistics import Estimate
from comparison.text_layout import Column, aligned, cells_of, comma_separated, in_one_line, literal, markdown
from comparison.units import ABSENT, human_count, human_duration, human_percent, human_rate
from records.class_errors import calibration_error
from records.config import Published
from records.layout import SUMMARY
from records.record import printable
from records.summary import COMPLETED, INTERRUPTED, RUNNING, Model

TEXT_WIDTH = 116
OPERATIONS_PER_MULTIPLY_ADD = 2
PASSES = 3  # forward; backward to the inputs and to the weights, each as large as forward
EXPLANATION_OF_FLOPS = (
    "Training FLOPs: 2 × multiply-adds × 3 (forward, and backward twice as much) × training images × epochs; "
    "auxiliary heads and validation are not counted."
)


@dataclass(frozen=True)
class Row:
    """One line of the table: a group, or a run that does not count and so has no accuracy to show."""

    run: Run
    group: Group | None

    @property
    def accuracy(self) -> Estimate | None:
        """The accuracy that a group is placed by."""
        return self.group.accuracy if self.group else None

    @property
    def tested(self) -> Estimate | None:
        """The accuracy on the test images."""
        return self.group.tested if self.group else None

    @property
    def best(self) -> Estimate | None:
        """The accuracy on the validation images, in the best epoch."""
        return self.group.best if self.group else None

    @property
    def calibration_error(self) -> float | None:
        """Expected calibration error on the images of the headline, as a mean over the seeds that recorded it."""
        return mean_calibration_error(self.group) if self.group else None

    @property
    def published(self) -> Published | None:
        """What the recipe was published with."""
        return self.group.published if self.group else None

    @property
    def model(self) -> Model:
        """The network."""
        return self.run.summary.model

    @property
    def runs(self) -> Sequence[Run]:
        """The runs behind it."""
        return self.group.runs if self.group else (self.run,)

    @property
    def status(self) -> str:
        """The status to show: that of the run, but "damaged" for one that ended well and still does not count."""
        status = self.run.summary.status or ABSENT
        return "damaged" if self.group is None and status == COMPLETED else status

    @property
    def best_in_words(self) -> str:
        """The best validation accuracy, that so far of a run that still trains, or the status of one without any."""
        if self.best:
            return human_percent(self.best.mean)
        so_far = self.run.summary.best_accuracy
        return self.status if so_far is None or self.status != RUNNING else f"{human_percent(so_far)} so far"

    @property
    def training_flops(self) -> float | None:
        """Operations of the training, as a mean over the seeds."""
        known = [flops for run in self.runs if (flops := training_flops(run)) is not None]
        return sum(known) / len(known) if known else None

    def mean(self, quantity: str) -> float | None:
        """A number of the summary, as a mean over the seeds."""
        return self.group.mean(quantity) if self.group else getattr(self.run.summary, quantity)


def mean_calibration_error(group: Group) -> float | None:
    """Expected calibration error on the images of the headline, as a mean over the seeds that recorded it."""
    errors = [calibration_error(run.confidence_bins(group.split)) for run in group.runs]
    known = [error for error in errors if error is not None]
    return sum(known) / len(known) if known else None


def training_flops(run: Run) -> float | None:
    """What a training costs in floating-point operations, counted and not measured; None if that is not known."""
    multiply_adds, epochs = run.summary.model.multiply_adds, run.summary.epochs
    if multiply_adds is None or epochs is None:
        return None
    return float(OPERATIONS_PER_MULTIPLY_ADD * PASSES * multiply_adds * run.data.train_images * epochs)


def uncertainty(estimate: Estimate) -> str:
    """`± 0.31` over seeds, or `96.8 to 99.4` over images; percentage points and per cent."""
    if estimate.standard_deviation is not None:
        return f"± {100 * estimate.standard_deviation:.2f}"
    return interval(estimate)


def interval(estimate: Estimate) -> str:
    """`98.3 to 99.9`, in per cent: over the seeds, or over the images of one."""
    return f"{100 * estimate.low:.1f} to {100 * estimate.high:.1f}"


def error_with_uncertainty(estimate: Estimate) -> str:
    """`1.02 ± 0.31` over seeds, or `1.35 (0.6 to 3.2)` over images: 100 % minus the accuracy, in per cent."""
    error = f"{100 * (1 - estimate.mean):.2f}"
    if estimate.standard_deviation is not None:
        return f"{error} ± {100 * estimate.standard_deviation:.2f}"
    return f"{error} ({100 * (1 - estimate.high):.1f} to {100 * (1 - estimate.low):.1f})"


def _whole(number: float) -> str:
    return f"{number:.1f}".removesuffix(".0")


# In the order of the CSV, which has the columns with a name, and of the text, which has those with a heading.
COLUMNS: tuple[Column[Row], ...] = (
    Column("data_set", lambda row: row.run.data.name),
    Column("architecture", lambda row: row.group.label if row.group else row.run.architecture, "architecture"),
    Column("status", lambda row: row.status),
    Column("parameters_conv", lambda row: row.model.parameters.conv, "conv\nparams", human_count),
    Column("parameters_fc", lambda row: row.model.parameters.fc, "fc\nparams", human_count),
    Column("parameters_total", lambda row: row.model.parameters.total, "params", human_count),
    Column("multiply_adds", lambda row: row.model.multiply_adds, "multiply-\nadds", human_count),
    Column("depth", lambda row: row.model.depth, "depth"),
    Column("", lambda row: row.tested.mean if row.tested else None, "test acc1", human_percent),
    Column(
        "",
        lambda row: row.best_in_words,
        "val acc1",
        key=lambda row: row.best and row.best.mean,
    ),
    Column("", lambda row: row.accuracy, "uncertainty", uncertainty),
    Column("test_acc1", lambda row: row.tested and row.tested.mean),
    Column("test_acc1_low", lambda row: row.tested and row.tested.low),
    Column("test_acc1_high", lambda row: row.tested and row.tested.high),
    Column("test_acc1_standard_deviation", lambda row: row.tested and row.tested.standard_deviation),
    Column("test_images", lambda row: row.run.data.test_images),
    Column("val_acc1", lambda row: row.best and row.best.mean),
    Column("val_acc1_low", lambda row: row.best and row.best.low),
    Column("val_acc1_high", lambda row: row.best and row.best.high),
    Column("val_acc1_standard_deviation", lambda row: row.best and row.best.standard_deviation),
    Column("val_acc1_last_epoch", lambda row: row.group and row.group.last),
    Column("val_acc5", lambda row: row.mean("best_acc5")),
    Column("calibration_error", lambda row: row.calibration_error),
    Column("published_acc1", lambda row: row.published and row.published.acc1),
    Column("published_source", lambda row: row.published and row.published.source),
    Column("val_images", lambda row: row.run.data.val_images),
    Column("selection_split", lambda row: row.run.data.selection_split),
    Column("seeds", lambda row: row.best and row.best.seeds, "seeds"),
    Column("epochs", lambda row: row.mean("epochs"), "epochs", _whole),
    Column("images_per_second", lambda row: row.mean("images_per_second"), "images/s", human_rate),
    Column("wall_time_seconds", lambda row: row.mean("wall_time_seconds"), "wall time", human_duration),
    Column("training_flops", lambda row: row.training_flops),
    Column("runs", lambda row: " ".join(run.directory.as_posix() for run in row.runs)),
)
IN_TEXT = {in_one_line(column.heading): column for column in COLUMNS if column.heading}
RESUME = "go on with `python main.py fit --resume {directory}`"
# What a reader says of a run, and what is told behind it.
MEANINGS = (
    (f"{SUMMARY} is missing", " (killed before its first batch, or not a run of this project)"),
    ("still running", f": wait for its end, or {RESUME}"),
    (INTERRUPTED, f": {RESUME}"),
    ("holds no val/acc1", " (it ended before its first validation, or validated nothing)"),
    ("this version reads", " (written by another version of this project: read it with that one)"),
    ("ends in the middle", " (a kill or a full disk cut it off: train it again)"),
    ("is not valid", " (a kill, a full disk or an editor damaged it: train it again)"),
)
IF_KNOWN = frozenset({"test acc1", "best val acc5", "calibration error", "published"})
IN_CSV = [column for column in COLUMNS if column.name]


def rows_of(groups: Sequence[Group], left_out: Sequence[Run]) -> list[Row]:
    """Rows of one data set: groups in their order, then the runs that do not count."""
    return [*(Row(group.example, group) for group in groups), *(Row(run, None) for run in left_out)]


def table_rows(comparison: Comparison, data_set: str) -> list[Row]:
    """The rows of one data set: groups from the most accurate down, then the runs that do not count."""
    left_out = [run for run in comparison.left_out if run.data.name == data_set]
    return rows_of(comparison.groups.get(data_set, []), left_out)


def shown(columns: Iterable[Column[Row]], rows: Sequence[Row]) -> list[Column[Row]]:
    """The columns without those of `IF_KNOWN` that no row has anything for."""
    return [c for c in columns if c.heading not in IF_KNOWN or any(c.value(row) is not None for row in rows)]


def explain_uncertainty(groups: Sequence[Group]) -> str:
    """The sentences that say what the accuracies are, and the uncertainty of the one that decides."""
    parts = ["val acc1: accuracy at the best epoch of each run, on the images that chose that epoch."]
    if any(group.tested for group in groups):
        parts.insert(0, "test acc1: accuracy of the best epoch's checkpoint on the test images, measured once.")
    if groups and groups[0].headline == TEST:
        parts.append("Networks are placed by test acc1.")
    if any(group.accuracy.seeds > 1 for group in groups):
        parts.append("±: sample standard deviation over the seeds.")
    if any(group.accuracy.seeds == 1 for group in groups):
        images = sorted({group.images for group in groups if group.accuracy.seeds == 1})
        counts = " or ".join(f"{count:,}" for count in images)
        parts.append(f"A range: Wilson 95 % interval of one seed on {counts} images.")
    return " ".join(parts)


def text_table(comparison: Comparison) -> str:
    """Aligned plain text with a heading for each data set, notes and the runs left out."""
    blocks = []
    for data_set in comparison.data_sets:
        groups = comparison.groups.get(data_set, [])
        in_table = table_rows(comparison, data_set)
        columns = shown(IN_TEXT.values(), in_table)
        rows = cells_of(columns, in_table)
        lines = [data_set_line(comparison, data_set), "", aligned([column.heading for column in columns], rows)]
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
        groups = comparison.groups.get(data_set, [])
        in_table = table_rows(comparison, data_set)
        columns = shown(IN_TEXT.values(), in_table)
        rows = cells_of(columns, in_table)
        table = markdown([column.heading for column in columns], rows)
        lines = [f"**{literal(data_set_line(comparison, data_set))}**", "", table]
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
    return csv_of([row for data_set in comparison.data_sets for row in table_rows(comparison, data_set)])


def csv_of(rows: Iterable[Row]) -> str:
    """Raw numbers of classifiers: one line a row."""
    return comma_separated([column.name for column in IN_CSV], [[c.value(row) for c in IN_CSV] for row in rows])


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
    """One line for each run that does not count, with the reason and what one can do."""
    return [f"{printable(run.directory.as_posix())}: {explained(run)}" for run in comparison.excluded]


def explained(run: Run | UnreadableRun) -> str:
    """Why a run does not count, as its reader says it, and what that means or what one can do about it."""
    problem = run.problem or ""
    meaning = next((words for part, words in MEANINGS if part in problem), "")
    return f"{problem}{meaning.format(directory=printable(run.directory.as_posix()))}"


def _wrapped(text: str) -> str:
    return textwrap.fill(text, TEXT_WIDTH, subsequent_indent="  ")
