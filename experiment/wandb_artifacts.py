"""What W&B keeps of a run beside numbers: its data set, its checkpoints, its confusion matrix and its mistakes."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import wandb
from PIL import Image

from records.class_errors import ClassErrors
from records.layout import MOST_CONFUSED

MOST_CLASSES = 100  # of a matrix that W&B draws
DATA_SET_FACTS = ("num_classes", "train_images", "val_images", "test_images", "verified")


def data_set_artifact(data: Mapping[str, Any]) -> wandb.Artifact:
    """The data set as an artifact without its files: what a run says of it; the same facts are the same version."""
    facts = {name: data.get(name) for name in DATA_SET_FACTS}
    artifact = wandb.Artifact(str(data["name"]), type="dataset", metadata=facts)
    with artifact.new_file("data.json") as file:
        file.write(json.dumps(facts, indent=2, sort_keys=True))
    return artifact


def log_checkpoint(run: wandb.Run, saver: Any) -> None:
    """Upload what a callback saved last, as `best` if it is chosen by a metric, else as `last`."""
    path = Path(saver.best_model_path)
    if not path.is_file():
        return
    score = saver.best_model_score
    metadata = {"file": path.name, "monitor": saver.monitor, "score": None if score is None else float(score)}
    artifact = wandb.Artifact(f"model-{run.id}", type="model", metadata=metadata)
    artifact.add_file(str(path), name="model.ckpt")
    run.log_artifact(artifact, aliases=["best"] if saver.monitor else ["last", "latest"])


def class_error_tables(directory: Path) -> dict[str, Any]:
    """W&B's own confusion matrix, and a table of the surest mistakes with their pictures; empty without a record.

    Raises:
        ValueError: The record is damaged.
    """
    errors = ClassErrors.read_if_any(directory)
    if errors is None:
        return {}
    tables: dict[str, Any] = {}
    classes = 1 + max((max(row[:2]) for row in errors.counts), default=0)
    names = [str(name) for name in errors.class_names or map(str, range(classes))]
    if errors.counts and len(names) <= MOST_CLASSES:
        labels = [label for label, _, count in errors.counts for _ in range(count)]
        predicted = [taken for _, taken, count in errors.counts for _ in range(count)]
        tables[f"{errors.split}/confusion_matrix"] = wandb.plot.confusion_matrix(
            y_true=labels, preds=predicted, class_names=names
        )
    picture = directory / MOST_CONFUSED
    if picture.is_file() and any(mistake.place for mistake in errors.mistakes):
        with Image.open(picture) as opened:
            whole = opened.convert("RGB")
        rows = [
            [wandb.Image(whole.crop(m.place)), names[m.label], names[m.predicted], m.probability, m.image]
            for m in errors.mistakes
            if m.place
        ]
        columns: list[str | int] = ["picture", "label", "prediction", "probability", "index"]
        tables[f"{errors.split}/predictions"] = wandb.Table(columns=columns, data=rows)
    return tables
