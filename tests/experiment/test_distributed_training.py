"""Every network trains on two ranks, each parameter with a gradient: plain DDP asks for no more."""

import json
from pathlib import Path

import pytest

from tests.forked import run_main_on_ranks

ROOT = Path(__file__).parents[2]
NETWORKS = {
    "alexnet_32": ["--model.width", "0.25", "--model.fc_width", "64"],
    "zfnet_32": ["--model.width", "0.25", "--model.fc_width", "64"],
    "vgg11_32": ["--model.width", "0.25", "--model.fc_width", "64"],
    "nin_32": ["--model.width", "0.25"],
    "googlenet_32": ["--model.width", "0.25"],
    "resnet20": ["--model.depth", "8"],
}


@pytest.mark.slow(3)
@pytest.mark.parametrize("network", NETWORKS)
def test_two_ranks_train_without_a_search_for_unused_parameters(network: str, tmp_path: Path) -> None:
    words = ["fit"]
    for config in ("base", "data/digits", f"model/{network}"):
        words += ["--config", str(ROOT / "configs" / f"{config}.yaml")]
    words += ["--trainer.logger", "experiment.csv_logger.ResumableCSVLogger", "--trainer.accelerator", "cpu"]
    words += ["--trainer.devices", "2", "--trainer.strategy", "ddp", "--trainer.enable_progress_bar", "false"]
    words += ["--trainer.max_epochs", "1", "--trainer.max_steps", "3", "--trainer.limit_val_batches", "0"]
    words += ["--test_at_end", "false"]
    words += ["--data.batch_size", "4", "--run_dir", str(tmp_path / "run"), *NETWORKS[network]]
    codes = run_main_on_ranks(words, ranks=2, log=tmp_path / "log")
    assert codes == [0, 0], (tmp_path / "log").read_text()[-2000:]
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["steps"] == 3
