"""The metrics of a run as one CSV file that a resumed run continues."""

from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers.logger import Logger
from lightning.pytorch.utilities import rank_zero_only
from torch import Tensor

from records.layout import METRICS
from records.metrics import POSITION, append_row, flush_rows, read_metrics, write_metrics

Row = dict[str, Any]


class ResumableCSVLogger(Logger):
    """Metrics of a run in ``<save_dir>/metrics.csv``, kept and continued when the run is resumed.

    One row is one log call, so a step may own several rows (the loss of its batch, then the validation after it) and a
    row has values only for what was logged together. The columns are ``epoch``, ``step``, ``images_seen``, then the
    metrics in the order in which they first appeared. A row is in the file as soon as it is logged, so a killed process
    loses none, and it is forced to the disk with every checkpoint.

    A directory belongs to one ``fit``. A resumed run logs again what came after its checkpoint: with its first row
    those rows are dropped, but for what the checkpoint's own step logged behind it. If the checkpoint does not tell how
    many rows it had, those of later steps are dropped; at the first row's own step, a row is dropped only once a row
    with the same columns replaces it.

    Args:
        save_dir: Directory of the run, which also gets the ``checkpoints`` of every ``ModelCheckpoint`` without a
            directory of its own. The command line fills it in.
    """

    def __init__(self, save_dir: str | None = None) -> None:
        super().__init__()
        self._save_dir = save_dir
        self._columns: list[str] | None = None
        self._resumed_step: int | None = None
        self._replaceable: list[frozenset[str]] = []
        self._row_count = 0
        self.rows_before: int | None = None

    @property
    def name(self) -> str:
        """Empty, so that Lightning adds no folder to ``save_dir``."""
        return ""

    @property
    def version(self) -> str:
        """Empty, so that Lightning adds no folder to ``save_dir``."""
        return ""

    @property
    def save_dir(self) -> str | None:
        """Directory of the run; the current directory if it was never given."""
        return self._save_dir

    @save_dir.setter
    def save_dir(self, directory: str) -> None:
        self._save_dir = directory

    @property
    def log_dir(self) -> str | None:
        """Directory of the run."""
        return self._save_dir

    @property
    def metrics_path(self) -> Path:
        """The CSV file."""
        return Path(self._save_dir or ".") / METRICS

    @property
    def row_count(self) -> int | None:
        """Rows of the run so far, for its checkpoints, which give them back as ``rows_before``; None if not known."""
        return self.rows_before if self._columns is None else self._row_count

    @rank_zero_only
    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:
        """Write nothing: the run's ``config.yaml`` holds them."""

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Append one row.

        Args:
            metrics: Values by name.
            step: Optimizer steps before this one; 0 if left out.
        """
        row: Row = {"step": step or 0} | {name: _plain(name, value) for name, value in metrics.items()}
        if self._columns is None:
            self._columns = self._open(row["step"])
        if row["step"] == self._resumed_step:
            self._discard_replaced(row)
        if new_columns := [name for name in row if name not in self._columns]:
            self._columns += new_columns
            write_metrics(self.metrics_path, self._columns, _read(self.metrics_path)[1])
        append_row(self.metrics_path, self._columns, row)
        self._row_count += 1

    @rank_zero_only
    def after_save_checkpoint(self, checkpoint_callback: ModelCheckpoint) -> None:
        """Force the rows to the disk: a checkpoint must not outlive the metrics that led to it."""
        flush_rows(self.metrics_path)

    def _open(self, first_step: int) -> list[str]:
        """Start the file, or continue that of the interrupted run from ``first_step``; return its columns."""
        columns, rows = _read(self.metrics_path)
        kept = [row for row in rows if int(row["step"]) <= first_step]
        if self.rows_before is not None and len(rows) >= self.rows_before:
            kept = rows[: self.rows_before]
            kept += [row for row in rows[len(kept) : len(kept) + 1] if _is_of_training(row, first_step)]
        elif kept:
            self._resumed_step = first_step
            self._replaceable = [_filled(row) for row in kept if int(row["step"]) == first_step]
        columns = columns or list(POSITION)
        self._row_count = len(kept)
        write_metrics(self.metrics_path, columns, kept)
        return columns

    def _discard_replaced(self, new_row: Row) -> None:
        """Drop the interrupted run's row of the same step and columns, which ``new_row`` is about to repeat."""
        filled = _filled(new_row)
        if filled not in self._replaceable:
            return
        self._replaceable.remove(filled)
        self._row_count -= 1
        columns, rows = _read(self.metrics_path)
        replaced = next(row for row in rows if int(row["step"]) == self._resumed_step and _filled(row) == filled)
        write_metrics(self.metrics_path, columns, [row for row in rows if row is not replaced])


def _plain(name: str, value: Any) -> Any:
    value = value.item() if isinstance(value, Tensor) else value
    return int(value) if name in POSITION else value


def _filled(row: Row) -> frozenset[str]:
    # The first rows of a run, resumed or not, have no speed yet.
    return frozenset(name for name, value in row.items() if value != "" and not name.startswith("throughput/"))


def _is_of_training(row: Row, first_step: int) -> bool:
    """Whether a row is of a step before `first_step`, and of no validation or test behind a stop."""
    validates = any(name.startswith(("val/", "test/")) for name in _filled(row))
    return int(row["step"]) < first_step and not validates


def _read(path: Path) -> tuple[list[str], list[Row]]:
    """Columns and rows of a metrics file without the line that a killed writer left half written."""
    if not path.exists():
        return [], []
    metrics = read_metrics(path, growing=True)
    return list(metrics.columns), [dict(zip(metrics.columns, row, strict=True)) for row in metrics.rows]
