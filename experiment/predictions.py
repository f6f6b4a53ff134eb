"""What `python main.py predict` leaves: each image's most probable classes in a table, and all probabilities."""

import csv
import io
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_info

from records.files import whole_file, write_whole
from records.layout import PREDICTIONS, PROBABILITIES

TOP = 5


class PredictionWriter(Callback):
    """Writes predictions.csv and probabilities.npy into the run, complete and in order on any number of ranks.

    The table has a row for each image: its index in the split, its file where it has one, its label, and the five most
    probable classes with their probabilities. Row i of the array (N, num_classes) is that of row i of the table.
    """

    def __init__(self) -> None:
        self._found: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []

    def on_predict_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int, *_: Any
    ) -> None:
        """Keep what was found out about a batch; rows that only fill it are left out already."""
        labels = batch.labels[batch.labels >= 0]
        kept = (outputs["indices"], labels, outputs["probabilities"].float())
        self._found.append(tuple(values.cpu().numpy() for values in kept))

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Bring the ranks' rows together, and write them."""
        parts: list[Any] = [self._found]
        if dist.is_available() and dist.is_initialized() and trainer.world_size > 1:
            parts = [None] * trainer.world_size
            dist.all_gather_object(parts, self._found)
        found = [batch for part in parts for batch in part]
        if not trainer.is_global_zero or trainer.fast_dev_run or not found:  # type: ignore[attr-defined]
            return
        indices, labels, probabilities = (np.concatenate(values) for values in zip(*found, strict=True))
        order = np.argsort(indices)
        folder = Path(trainer.default_root_dir)
        data: Any = trainer.datamodule  # type: ignore[attr-defined]
        files = data.files(torch.from_numpy(indices[order])) if hasattr(data, "files") else [""] * len(order)
        rows = table(indices[order], files, labels[order], probabilities[order], data.class_names)
        path = folder / PREDICTIONS
        write_whole(path, rows)
        with whole_file(folder / PROBABILITIES) as file:
            np.save(file, probabilities[order])
        rank_zero_info(f"The predictions for {len(order):,} images are in {path}.")


def table(
    indices: np.ndarray, files: list[str], labels: np.ndarray, probabilities: np.ndarray, class_names: Any
) -> str:
    """The content of predictions.csv."""
    top = min(TOP, probabilities.shape[1])
    content = io.StringIO()
    writer = csv.writer(content, lineterminator="\n")
    heads = [name for place in range(1, top + 1) for name in (f"class{place}", f"probability{place}")]
    writer.writerow(["index", "file", "label", *heads])
    best = np.argsort(-probabilities, axis=1, kind="stable")[:, :top]
    for index, file, label, row, classes in zip(indices, files, labels, probabilities, best, strict=True):
        answers = [value for place in classes for value in (class_names[place], f"{row[place]:.6f}")]
        writer.writerow([int(index), file, class_names[label], *answers])
    return content.getvalue()
