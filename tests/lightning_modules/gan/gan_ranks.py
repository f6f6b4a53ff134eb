"""Trains a GAN without batch statistics and dropout on the digits, on several ranks; see train()."""

import hashlib
from functools import partialmethod
from pathlib import Path
from typing import Any

import torch
import torch.distributed
from lightning.pytorch import Callback, Trainer, seed_everything

from datamodules import Digits
from lightning_modules import GAN
from tests.forked import run_on_ranks

OPTIONS = {"width": 32, "units": 16, "input_dropout": 0.0, "dropout": 0.0}


class Diary(Callback):
    """Notes what Lightning and the module count, and the latents' part in the images; saves after `save_at` batches."""

    def __init__(self, save_at: int, checkpoint: Path) -> None:
        self.save_at = save_at
        self.checkpoint = checkpoint
        self.counts: list[tuple[int, int]] = []

    def on_train_batch_end(self, trainer: Trainer, pl_module: Any, *_: Any) -> None:
        self.counts.append((trainer.global_step, pl_module.batches))
        if pl_module.batches == self.save_at:
            trainer.save_checkpoint(self.checkpoint)


def fingerprints(network: torch.nn.Module) -> list[str]:
    """SHA-256 of all parameters and buffers, of each rank."""
    own = hashlib.sha256(b"".join(value.numpy().tobytes() for value in network.state_dict().values())).hexdigest()
    if not torch.distributed.is_initialized():
        return [own]
    gathered = [""] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(gathered, own)
    return gathered


def train(plan: dict[str, Any], target: Path) -> None:
    torch.set_num_threads(1)
    seed_everything(1, verbose=False)
    # What generates code would take minutes on each rank.
    torch.nn.Module.compile = partialmethod(torch.nn.Module.compile, backend="aot_eager")  # type: ignore[method-assign,assignment]
    network = GAN(
        networks="mlp",
        network_options=OPTIONS,
        num_classes=10,
        in_channels=1,
        image_size=32,
        generator_optimizer=lambda parameters: torch.optim.SGD(parameters, lr=0.05, momentum=0.9),
        # So fast that its logits are far from 0, where rounding would decide what it takes for real.
        discriminator_optimizer=lambda parameters: torch.optim.SGD(parameters, lr=1.0, momentum=0.9),
        **plan.get("gan", {}),
    )
    diary = Diary(plan.get("save_at", 0), target.with_suffix(".ckpt"))
    trainer = Trainer(
        accelerator="cpu",
        devices=plan["ranks"],
        strategy=plan.get("strategy", "ddp") if plan["ranks"] > 1 else "auto",
        precision=plan.get("precision", "32-true"),
        max_steps=plan["steps"],
        callbacks=[diary],
        default_root_dir=target.with_suffix(""),
        logger=False,
        limit_val_batches=1.0 if plan.get("validate") else 0,
        use_distributed_sampler=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    Path(trainer.default_root_dir).mkdir(exist_ok=True)
    size = plan["batch_size"]
    data = Digits(batch_size=size, eval_batch_size=size, crop_padding=0, normalization="symmetric")
    trainer.fit(network, datamodule=data, ckpt_path=plan.get("resume"))
    if plan.get("validate"):
        trainer.validate(network, datamodule=data, verbose=False)
    ranks_have = fingerprints(network)
    if trainer.is_global_zero:
        states = [optimizer.state_dict() for optimizer in trainer.optimizers]
        metrics = {name: float(value) for name, value in trainer.callback_metrics.items() if name.startswith("val/")}
        result = {"weights": network.state_dict(), "optimizers": states, "counts": diary.counts, "metrics": metrics}
        result |= {"ranks have": ranks_have, "compiled": network.generator._compiled_call_impl is not None}
        torch.save(result, target)


def train_on_ranks(plan: dict[str, Any], target: Path) -> dict[str, Any]:
    """Train as planned in new processes. Returns weights, states, counts and metrics."""
    log = target.with_suffix(".log")
    codes = run_on_ranks(train, plan, target, ranks=plan["ranks"], log=log, seconds=150)  # some compile
    assert codes == [0] * plan["ranks"], log.read_text()
    return torch.load(target, weights_only=True)
