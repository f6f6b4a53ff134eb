"""Two ranks, with a set that does not divide, find the same gain as one, to the bit."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from experiment.checkpoints import VerifiedCheckpointIO
from lightning_modules import ResNet
from tests.forked import run_main_on_ranks

ROOT = Path(__file__).parents[3]


@pytest.mark.slow
def test_gain_is_the_same_on_two_ranks(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = ResNet(8, "cifar", in_channels=1, width=0.5)
    checkpoint: dict[str, Any] = {"state_dict": network.state_dict(), "hyper_parameters": dict(network.hparams)}
    checkpoint |= {"epoch": 0, "global_step": 0, "pytorch-lightning_version": "2.6.6"}
    network.on_save_checkpoint(checkpoint)
    VerifiedCheckpointIO().save_checkpoint(checkpoint, tmp_path / "best.ckpt")

    words = []
    for config in ("base", "data/digits", "model/resnet20", "evaluation/translations"):
        words += ["--config", str(ROOT / "configs" / f"{config}.yaml")]
    words += ["--trainer.logger", "false", "--trainer.enable_progress_bar", "false", "--trainer.accelerator", "cpu"]
    words += ["--model.depth", "8", "--model.width", "0.5", "--ckpt_path", str(tmp_path / "best.ckpt")]
    logs = []
    for ranks, batch_size in ((1, 297), (2, 64)):
        own = ["--trainer.devices", str(ranks), "--data.eval_batch_size", str(batch_size)]
        own += ["--trainer.strategy", "ddp" if ranks > 1 else "auto", "--run_dir", str(tmp_path / str(ranks))]
        log = tmp_path / f"run-{ranks}.log"
        codes = run_main_on_ranks(["validate", *words, *own], ranks=ranks, log=log)
        logs.append(log.read_text())
        assert codes == [0] * ranks, logs[-1][-2000:]
    one, two = (json.loads((tmp_path / ranks / "summary.json").read_text())["metrics"] for ranks in ("1", "2"))
    exact = [name for name in one if "loss" not in name]
    assert {"val/acc1", "val/acc1_single_view", "val/acc1_gain", "val/acc1_gain_low", "val/acc5_gain"} <= set(exact)
    assert {name: one[name] for name in exact} == {name: two[name] for name in exact}
    assert all(log.count("6 views of each of 297 images") == 1 for log in logs)
    assert "sync_dist" not in logs[1]
