"""Trains a small network without batch statistics on the digits, on ranks forked from one process; see train().

    python ranks.py PLAN.json

The plan is a list of runs; run n writes run-n.json (losses, images of each step, weights, learning rates) beside it.
"""

import json
import os
import signal
import socket
import sys
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

import torch
import torch.distributed
from lightning.fabric.utilities.rank_zero import rank_zero_only
from lightning.pytorch import Callback, Trainer, seed_everything
from lightning.pytorch.strategies import DDPStrategy
from torch import Tensor, nn

from callbacks import DDPScaling, ScalingEfficiency
from datamodules import Digits
from lightning_modules.classifier import ImageClassifier

DEADLINE = 60


class SmallNet(ImageClassifier):
    architecture = "small"

    def __init__(self, slow_rank: int | None = None, **training: Any) -> None:
        super().__init__(**training)
        self.slow_rank = slow_rank
        self.layers = nn.Sequential(nn.Conv2d(1, 8, 3, 2), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 15 * 15, 10))

    def forward(self, images: Tensor) -> Tensor:
        if self.global_rank == self.slow_rank:
            time.sleep(0.05)
        return self.layers(images)


class Diary(Callback):
    """Notes losses and images of all ranks, and the rates that were applied; saves after `save_at` updates."""

    def __init__(self, save_at: int, checkpoint: Path) -> None:
        self.save_at = save_at
        self.checkpoint = checkpoint
        self.losses: list[float] = []
        self.images: list[list[int]] = []
        self.rates: list[float] = []

    def on_train_batch_end(self, trainer: Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        loss, indices = outputs["loss"].detach(), batch.indices
        gathered = [torch.empty_like(indices) for _ in range(trainer.world_size)]
        if trainer.world_size > 1:
            torch.distributed.all_reduce(loss)
            torch.distributed.all_gather(gathered, indices)
        else:
            gathered = [indices]
        self.losses.append(float(loss) / trainer.world_size)
        self.images.append(torch.cat(gathered).tolist())
        self.rates.append(float(trainer.callback_metrics.get("scaling/effective_lr", float("nan"))))
        if trainer.global_step == self.save_at:
            trainer.save_checkpoint(self.checkpoint)


def train(run: dict[str, Any], target: Path) -> None:
    seed_everything(1, verbose=False)
    network = SmallNet(
        slow_rank=run.get("slow_rank"),
        num_classes=10,
        in_channels=1,
        image_size=32,
        optimizer=lambda parameters: torch.optim.SGD(parameters, lr=0.02, momentum=0.9, weight_decay=1e-3),
        lr_scheduler=lambda optimizer: torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 40),
        lr_scheduler_interval="step",
        bias_lr_scale=2.0,
    )
    diary = Diary(run.get("save_at", 0), target.with_suffix(".ckpt"))
    callbacks: list[Callback] = []
    if "scaling" in run:
        callbacks.append(DDPScaling(**run["scaling"]))
    if "efficiency" in run:
        callbacks.append(ScalingEfficiency(**run["efficiency"]))
    ranks = run["ranks"]
    trainer = Trainer(
        accelerator="cpu",
        devices=ranks,
        strategy=DDPStrategy(timeout=timedelta(seconds=30)) if ranks > 1 else "auto",
        max_steps=run["steps"],
        callbacks=[*callbacks, diary],
        default_root_dir=target.with_suffix(""),
        logger=False,
        limit_val_batches=0,
        use_distributed_sampler=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    Path(trainer.default_root_dir).mkdir(exist_ok=True)
    data = Digits(batch_size=run.get("batch_size", 32))
    trainer.fit(network, datamodule=data, ckpt_path=run.get("resume"))
    if trainer.is_global_zero:
        weights = torch.cat([parameter.detach().flatten() for parameter in network.parameters()])
        result = {"losses": diary.losses, "images": diary.images, "rates": diary.rates, "weights": weights.tolist()}
        declared = [group["lr"] for group in trainer.optimizers[0].param_groups]
        target.write_text(json.dumps(result | {"declared": declared, "batch_size": data.batch_size}))


def rank(number: int, run: dict[str, Any], port: int, target: Path) -> None:
    """One rank; never returns."""
    output = os.open(target.with_suffix(".log"), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(output, 1)
    os.dup2(output, 2)
    torch.set_num_threads(1)
    if run["ranks"] > 1:
        variables = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": run["ranks"], "NODE_RANK": 0}
        os.environ.update({name: str(value) for name, value in {**variables, "LOCAL_RANK": number}.items()})
        rank_zero_only.rank = number
    code = 1
    try:
        train(run, target)
        code = 0
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def main(plan: Path) -> bool:
    """Run the plan. Returns whether all went well."""
    well = True
    for number, run in enumerate(json.loads(plan.read_text())):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        children = set()
        for index in range(run["ranks"]):
            child = os.fork()
            if child == 0:
                rank(index, run, port, plan.with_name(f"run-{number}.json"))
            children.add(child)
        deadline = time.monotonic() + DEADLINE
        while children:
            child, status = os.waitpid(-1, os.WNOHANG)
            if child:
                children.remove(child)
                well &= status == 0
            elif time.monotonic() > deadline:
                for left in children:
                    os.kill(left, signal.SIGKILL)
            time.sleep(0.01)
    return well


if __name__ == "__main__":
    sys.exit(not main(Path(sys.argv[1])))
