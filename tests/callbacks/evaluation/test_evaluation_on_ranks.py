"""Two ranks, compiled or not, find the class errors and the places of objects that one finds."""

import json
from datetime import timedelta
from pathlib import Path

import pytest
import torch
from lightning.pytorch import Trainer
from lightning.pytorch.strategies import DDPStrategy
from torch.utils.data import DataLoader

from callbacks import ClassErrors, ObjectLocalization
from tests.callbacks.evaluation.test_object_localization import ColorNet, Rectangles
from tests.callbacks.tiny_runs import Batch
from tests.forked import run_on_ranks

LABELS = (0, 6, 3, 0, 1, 6)


class Shared(Rectangles):
    """The same images, of which each rank of two has one batch."""

    def batches(self) -> DataLoader[Batch]:
        ranks, rank = self.trainer.world_size, self.trainer.global_rank
        return DataLoader(list(super().batches())[rank::ranks], batch_size=None)  # type: ignore[arg-type]

    val_dataloader = test_dataloader = batches


def evaluate(folder: Path, ranks: int, compiled: bool) -> None:
    torch.set_num_threads(1)
    network = ColorNet()
    for part in network.children() if compiled else ():
        part.compile(backend="eager")
    trainer = Trainer(
        accelerator="cpu",
        devices=ranks,
        strategy=DDPStrategy(timeout=timedelta(seconds=30)) if ranks > 1 else "auto",
        callbacks=[ClassErrors(), ObjectLocalization("boxes", 0.5)],
        default_root_dir=folder,
        use_distributed_sampler=False,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    (metrics,) = trainer.test(network, datamodule=Shared(LABELS), verbose=False)
    (folder / f"metrics-{trainer.global_rank}.json").write_text(json.dumps(metrics))


@pytest.mark.slow
def test_two_ranks_find_what_one_finds(tmp_path: Path) -> None:
    found = []
    for ranks, compiled in ((1, False), (2, True)):
        folder = tmp_path / str(ranks)
        folder.mkdir()
        log = tmp_path / f"{ranks}.log"
        codes = run_on_ranks(evaluate, folder, ranks, compiled, ranks=ranks, log=log, seconds=100)
        assert codes == [0] * ranks, log.read_text()[-3000:]
        metrics = [json.loads((folder / f"metrics-{rank}.json").read_text()) for rank in range(ranks)]
        assert metrics[0] == metrics[-1]
        found.append((metrics[0], json.loads((folder / "class_errors.json").read_text())))
        assert (folder / "pictures" / "localization.png").is_file()
    (one, errors), (two, errors_of_two) = found
    loss, loss_of_two = one.pop("test/loss"), two.pop("test/loss")
    assert (one, errors) == (two, errors_of_two)
    assert loss == pytest.approx(loss_of_two)
    assert errors["images"] == 6
    assert one["test/classification_error"] == pytest.approx(2 / 6)
    assert one["test/localization_error"] == pytest.approx(3 / 6)
