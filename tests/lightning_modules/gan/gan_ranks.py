"""Trains a GAN without batch statistics and dropout on the digits, on ranks forked from one process; see train().

    python gan_ranks.py PLAN.json

The plan is as that of tests/callbacks/ranks.py; run n writes run-n.pt beside it. A run that compiles does so without
generating code, for which each rank would take minutes.
"""

import hashlib
import sys
from functools import partialmethod
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[3]))

import torch
import torch.distributed
from lightning.pytorch import Callback, Trainer, seed_everything

from datamodules import Digits
from lightning_modules import GAN
from tests.callbacks import ranks

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


def train(run: dict[str, Any], target: Path) -> None:
    seed_everything(1, verbose=False)
    torch.nn.Module.compile = partialmethod(torch.nn.Module.compile, backend="aot_eager")  # type: ignore[method-assign,assignment]
    network = GAN(
        networks="mlp",
        network_options=OPTIONS,
        num_classes=10,
        in_channels=1,
        image_size=32,
        generator_optimizer=lambda parameters: torch.optim.SGD(parameters, lr=0.05, momentum=0.9),
        discriminator_optimizer=lambda parameters: torch.optim.SGD(parameters, lr=0.05, momentum=0.9),
        **run.get("gan", {}),
    )
    diary = Diary(run.get("save_at", 0), target.with_suffix(".ckpt"))
    trainer = Trainer(
        accelerator="cpu",
        devices=run["ranks"],
        strategy=run.get("strategy", "ddp") if run["ranks"] > 1 else "auto",
        precision=run.get("precision", "32-true"),
        max_steps=run["steps"],
        callbacks=[diary],
        default_root_dir=target.with_suffix(""),
        logger=False,
        limit_val_batches=1.0 if run.get("validate") else 0,
        use_distributed_sampler=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    Path(trainer.default_root_dir).mkdir(exist_ok=True)
    size = run["batch_size"]
    data = Digits(batch_size=size, eval_batch_size=size, crop_padding=0, normalization="symmetric")
    trainer.fit(network, datamodule=data, ckpt_path=run.get("resume"))
    if run.get("validate"):
        trainer.validate(network, datamodule=data, verbose=False)
    ranks_have = fingerprints(network)
    if trainer.is_global_zero:
        states = [optimizer.state_dict() for optimizer in trainer.optimizers]
        metrics = {name: float(value) for name, value in trainer.callback_metrics.items() if name.startswith("val/")}
        result = {"weights": network.state_dict(), "optimizers": states, "counts": diary.counts, "metrics": metrics}
        result |= {"ranks have": ranks_have, "compiled": network.generator._compiled_call_impl is not None}
        torch.save(result, target.with_suffix(".pt"))


if __name__ == "__main__":
    ranks.train = train
    ranks.DEADLINE = 150  # to compile takes longer than a run
    sys.exit(not ranks.main(Path(sys.argv[1])))
