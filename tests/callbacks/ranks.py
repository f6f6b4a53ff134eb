"""Trains a small network without batch statistics on the digits, on several ranks; see train()."""

import json
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed
from lightning.pytorch import Callback, Trainer, seed_everything
from lightning.pytorch.strategies import DDPStrategy
from torch import Tensor, nn

from callbacks import DDPScaling, ScalingEfficiency
from datamodules import Digits
from lightning_modules.classifier import ImageClassifier
from tests.forked import run_on_ranks


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


def train(plan: dict[str, Any], target: Path) -> None:
    torch.set_num_threads(1)
    seed_everything(1, verbose=False)
    network = SmallNet(
        slow_rank=plan.get("slow_rank"),
        num_classes=10,
        in_channels=1,
        image_size=32,
        optimizer=lambda parameters: torch.optim.SGD(parameters, lr=0.02, momentum=0.9, weight_decay=1e-3),
        lr_scheduler=lambda optimizer: torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 40),
        lr_scheduler_interval="step",
        bias_lr_scale=2.0,
    )
    diary = Diary(plan.get("save_at", 0), target.with_suffix(".ckpt"))
    callbacks: list[Callback] = []
    if "scaling" in plan:
        callbacks.append(DDPScaling(**plan["scaling"]))
    if "efficiency" in plan:
        callbacks.append(ScalingEfficiency(**plan["efficiency"]))
    ranks = plan["ranks"]
    trainer = Trainer(
        accelerator="cpu",
        devices=ranks,
        strategy=DDPStrategy(timeout=timedelta(seconds=30)) if ranks > 1 else "auto",
        max_steps=plan["steps"],
        callbacks=[*callbacks, diary],
        default_root_dir=target.with_suffix(""),
        logger=False,
        log_every_n_steps=1,  # for the diary of the rates
        limit_val_batches=0,
        use_distributed_sampler=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    Path(trainer.default_root_dir).mkdir(exist_ok=True)
    data = Digits(batch_size=plan.get("batch_size", 32))
    trainer.fit(network, datamodule=data, ckpt_path=plan.get("resume"))
    if trainer.is_global_zero:
        weights = torch.cat([parameter.detach().flatten() for parameter in network.parameters()])
        result = {"losses": diary.losses, "images": diary.images, "rates": diary.rates, "weights": weights.tolist()}
        declared = [group["lr"] for group in trainer.optimizers[0].param_groups]
        target.write_text(json.dumps(result | {"declared": declared, "batch_size": data.batch_size}))


def train_on_ranks(plan: dict[str, Any], target: Path) -> dict[str, Any]:
    """Train as planned in new processes. Returns losses, images of each step, weights and rates, and the log."""
    log = target.with_suffix(".log")
    codes = run_on_ranks(train, plan, target, ranks=plan["ranks"], log=log, seconds=60)
    assert codes == [0] * plan["ranks"], log.read_text()[-2000:]
    return json.loads(target.read_text()) | {"log": log.read_text()}
