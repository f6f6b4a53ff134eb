"""What W&B gets beside numbers: data set, checkpoints, confusion matrix and mistakes."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import wandb
from PIL import Image

from experiment.wandb_artifacts import class_error_tables, data_set_artifact, log_checkpoint
from experiment.wandb_logger import ResilientWandbLogger
from records.class_errors import ClassErrors, Mistake


class Recorded:
    """In the place of a run: keeps what it is given."""

    id = "abc"

    def __init__(self) -> None:
        self.artifacts: list[tuple[wandb.Artifact, list[str]]] = []
        self.used: list[wandb.Artifact] = []
        self.config: dict[str, Any] = {}

    def log_artifact(self, artifact: wandb.Artifact, aliases: list[str]) -> None:
        self.artifacts.append((artifact, aliases))

    def use_artifact(self, artifact: wandb.Artifact) -> None:
        self.used.append(artifact)


class BestCheckpoint(SimpleNamespace):
    pass


class LatestCheckpoint(SimpleNamespace):
    pass


def savers(folder: Path) -> list[Any]:
    for name in ("best-0003.ckpt", "last.ckpt"):
        (folder / name).write_bytes(name.encode())
    best = BestCheckpoint(best_model_path=str(folder / "best-0003.ckpt"), best_model_score=0.9, monitor="val/acc1")
    return [best, LatestCheckpoint(best_model_path=str(folder / "last.ckpt"), best_model_score=None, monitor=None)]


def test_best_and_last_checkpoint_are_versions_of_one_artifact(tmp_path: Path) -> None:
    run = Recorded()
    for saver in savers(tmp_path):
        log_checkpoint(run, saver)  # type: ignore[arg-type]
    assert [aliases for _, aliases in run.artifacts] == [["best"], ["last", "latest"]]
    assert {artifact.name for artifact, _ in run.artifacts} == {"model-abc"}
    best = run.artifacts[0][0]
    assert best.metadata == {"file": "best-0003.ckpt", "monitor": "val/acc1", "score": 0.9}
    assert list(best.manifest.entries) == ["model.ckpt"]


@pytest.mark.parametrize(("log_model", "count"), [(True, 2), (False, 0)])
def test_the_logger_uploads_once_and_on_request(tmp_path: Path, log_model: bool, count: int) -> None:
    logger = ResilientWandbLogger(save_dir=str(tmp_path), log_model=log_model)
    run = Recorded()
    logger._experiment = run
    for saver in savers(tmp_path):
        logger.after_save_checkpoint(saver)
    logger.record_config({"data": {"name": "digits", "train_images": 1_200}})
    logger.finalize("success")
    logger.finalize("success")  # the test at the end of a training ends it once more
    assert len(run.artifacts) == count
    assert [artifact.name for artifact in run.used] == ["digits"] * bool(count)


def test_the_same_data_set_is_the_same_version() -> None:
    data = {"name": "digits", "train_images": 1_200, "val_images": 297, "mean": [0.3]}
    one, other = data_set_artifact(data), data_set_artifact(data)
    assert (one.type, one.metadata["train_images"]) == ("dataset", 1_200)
    assert one.manifest.digest() == other.manifest.digest()
    assert one.manifest.digest() != data_set_artifact(data | {"val_images": 300}).manifest.digest()


def test_class_errors_become_a_matrix_and_a_table_with_pictures(tmp_path: Path) -> None:
    assert class_error_tables(tmp_path) == {}
    mistakes = [Mistake(image=7, label=0, predicted=1, probability=0.9, place=(0, 0, 8, 8))]
    record = ClassErrors(
        split="val", class_names=["cat", "dog"], counts=[(0, 0, 3), (0, 1, 1), (1, 1, 2)], mistakes=mistakes
    )
    record.write(tmp_path)
    (tmp_path / "pictures").mkdir()
    Image.new("RGB", (16, 16), "red").save(tmp_path / "pictures" / "most_confused.png")
    tables = class_error_tables(tmp_path)
    assert set(tables) == {"val/confusion_matrix", "val/predictions"}
    table = tables["val/predictions"]
    assert table.data[0][1:] == ["cat", "dog", 0.9, 7]
    assert table.data[0][0].image.size == (8, 8)
    cells = {(actual, predicted): count for actual, predicted, count in tables["val/confusion_matrix"].table.data}
    assert cells == {("cat", "cat"): 3, ("cat", "dog"): 1, ("dog", "cat"): 0, ("dog", "dog"): 2}
    (tmp_path / "class_errors.json").write_text(json.dumps({"format": 1}))
    with pytest.raises(ValueError, match="damaged"):
        class_error_tables(tmp_path)
