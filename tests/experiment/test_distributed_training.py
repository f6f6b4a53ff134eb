"""Every network trains on two ranks, each parameter with a gradient: plain DDP asks for no more."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
NETWORKS = {
    "alexnet_32": ["--model.fc_width", "64"],
    "zfnet_32": ["--model.fc_width", "64"],
    "vgg11_32": ["--model.fc_width", "64"],
    "nin_32": [],
    "googlenet_32": [],
    "resnet20": ["--model.depth", "8"],
}


def test_two_ranks_train_without_a_search_for_unused_parameters(tmp_path: Path) -> None:
    plan = []
    for network, options in NETWORKS.items():
        words = ["fit"]
        for config in ("base", "data/digits", f"model/{network}"):
            words += ["--config", str(ROOT / "configs" / f"{config}.yaml")]
        words += ["--trainer.logger", "experiment.csv_logger.ResumableCSVLogger", "--trainer.accelerator", "cpu"]
        words += ["--trainer.devices", "2", "--trainer.strategy", "ddp", "--trainer.enable_progress_bar", "false"]
        words += ["--trainer.max_epochs", "1", "--trainer.max_steps", "3", "--trainer.limit_val_batches", "0"]
        words += ["--data.batch_size", "4", "--run_dir", str(tmp_path / network), *options]
        plan.append({"words": words, "ranks": 2, "kill": None})
    (tmp_path / "plan.json").write_text(json.dumps(plan))

    script = Path(__file__).with_name("forked_runs.py")
    done = subprocess.run([sys.executable, str(script), str(tmp_path / "plan.json")], check=False, timeout=280)
    assert done.returncode == 0, [log.read_text()[-2000:] for log in tmp_path.glob("run-*.log")]
    for network in NETWORKS:
        assert json.loads((tmp_path / network / "summary.json").read_text())["steps"] == 3
