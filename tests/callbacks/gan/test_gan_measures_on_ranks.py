"""Two ranks find the figures of one, with a set that does not divide; a failure on rank 0 ends both; alarms agree."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Trainer
from lightning.pytorch.strategies import DDPStrategy

from callbacks import CollapseAlarm, SampleMeasures
from tests.callbacks.gan.gan_measures_runs import Sampler, classifier_run, digits
from tests.forked import run_on_ranks


@pytest.mark.slow
def test_figures_are_the_same_on_two_ranks(tmp_path: Path) -> None:
    classifier_run(tmp_path / "classifier")
    for ranks in (1, 2):
        log = tmp_path / f"{ranks}.log"
        codes = run_on_ranks(measure, tmp_path, ranks, ranks=ranks, log=log, seconds=150)
        assert codes == [0] * ranks, log.read_text()[-3000:]
    one, *two = (json.loads((tmp_path / f"{name}.json").read_text()) for name in ("1-0", "2-0", "2-1"))
    assert {"val/fid_resnet8", "val/kid_resnet8", "val/coverage_resnet8", "train/diversity"} <= set(one["values"])
    assert two[0] == two[1]
    of_real = "train/diversity_of_real"  # of the batches, which are other ones
    assert two[0]["values"].pop(of_real) != one["values"].pop(of_real)
    assert two[0]["values"] == one["values"]
    assert len(two[0]["checks"]) == 2
    (entry,) = json.loads((tmp_path / "2" / "measures.json").read_text())["measurements"]
    assert entry["real_images"] == 297
    assert "samples" in one["failure"]


class Broken(Sampler):
    def sample(self, count: int, labels: Any = None, *, seed: int = 0) -> torch.Tensor:
        raise ValueError("no samples today")


def measure(folder: Path, ranks: int) -> None:
    torch.set_num_threads(1)
    alarm = CollapseAlarm(every_n_steps=1, skip_steps=0)
    trainer = Trainer(
        accelerator="cpu",
        devices=ranks,
        strategy=DDPStrategy(timeout=timedelta(seconds=30)) if ranks > 1 else "auto",
        callbacks=[SampleMeasures(str(folder / "classifier"), images=320), alarm],
        max_epochs=1,
        limit_train_batches=2,
        default_root_dir=folder / str(ranks),
        use_distributed_sampler=False,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
    )
    trainer.fit(Sampler(), datamodule=digits())
    values = {name: float(value) for name, value in trainer.callback_metrics.items()}
    failure = ""
    try:
        trainer.validate(Broken(), digits(), verbose=False)
    except ValueError as error:
        failure = str(error)
    result = {"values": values, "failure": failure, "checks": alarm.history}
    (folder / f"{ranks}-{trainer.global_rank}.json").write_text(json.dumps(result))
