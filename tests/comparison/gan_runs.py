"""Directories as runs of GANs leave them."""

import json
from pathlib import Path
from typing import Any

from PIL import Image

SHA = "605323c7f2ad2a63cbdfc40c92f5f31cfdefe2ad7180db4303ae6cdc358de1b4"
CONFIG = """\
seed_everything: {seed}
trainer:
  max_epochs: 6
  callbacks:
  - class_path: callbacks.SamplePictures
    init_args:
      side: {side}
model:
  class_path: lightning_modules.GAN
  init_args:
    networks: {networks}
    objective: {objective}
    generator_optimizer:
      class_path: torch.optim.Adam
      init_args:
        lr: {lr}
data:
  class_path: datamodules.MNIST
  init_args:
    batch_size: 64
ckpt_path: {ckpt_path}
"""


def measurement(
    epoch: int,
    figures: dict[str, float],
    *,
    sha256: str = SHA,
    samples: int = 10_000,
    real_split: str = "evaluated",
    inception: bool = False,
) -> dict[str, Any]:
    """An entry of measures.json as SampleMeasures writes it; `figures` are of a ResNet-8 by their full names."""
    classifier = {"name": "resnet8", "network": "ResNet-8", "sha256": sha256, "data": "mnist", "acc1": 0.975}
    features = {"name": "inception", "network": "inception-2015-12-05"} if inception else classifier
    return {
        "split": "val", "epoch": epoch, "step": 10 * (epoch + 1), "data": "mnist", "real_split": real_split,
        "real_images": 10_000, "samples": samples, "seed": 0, "features": features, "values": figures,
    }  # fmt: skip


def fid(epoch: int, value: float, **protocol: Any) -> dict[str, Any]:
    return measurement(epoch, {"fid_resnet8": value}, **protocol)


def write_gan(
    root: Path,
    name: str,
    *,
    networks: str = "dcgan",
    objective: str = "non_saturating",
    seed: int = 42,
    lr: float = 2e-4,
    side: int = 10,
    status: str = "completed",
    command: str = "fit",
    ckpt_path: str = "null",
    guesses: tuple[tuple[float, float], ...] = ((0.9, 0.9), (0.7, 0.8)),
    measured: tuple[dict[str, Any], ...] = (),
) -> Path:
    directory = root / name
    (directory / "pictures" / "samples").mkdir(parents=True)
    summary = {
        "format": 1, "status": status, "error": None, "command": command, "seed": seed, "epochs": len(guesses),
        "model": {
            "class": "lightning_modules.gan.module.GAN", "architecture": f"GAN ({networks})",
            "parameters": {"total": 759_680}, "discriminator_parameters": {"total": 138_624},
        },
        "data": {"name": "mnist", "train_images": 50_000, "val_images": 10_000, "selection_split": "val"},
        "images_per_second": 536.2, "wall_time_seconds": 585.0, "hardware": {"cpu": "AMD EPYC", "gpu": None},
    }  # fmt: skip
    (directory / "summary.json").write_text(json.dumps(summary))
    (directory / "config.yaml").write_text(
        CONFIG.format(networks=networks, objective=objective, seed=seed, lr=lr, side=side, ckpt_path=ckpt_path)
    )
    validated = ("val/accuracy_real", "val/accuracy_fake", "val/distance_from_equilibrium")
    lines = [",".join(["epoch,step,images_seen,train/accuracy_real", *validated])]
    for epoch, (real, fake) in enumerate(guesses):
        lines += [f",{10 * epoch},,0.5,,,", f"{epoch},{10 * epoch + 9},{640 * (epoch + 1)},,{real},{fake},0.36"]
    (directory / "metrics.csv").write_text("\n".join(lines) + "\n")
    for picture in ("samples", "nearest", "interpolation", "samples/epoch-00001", "samples/epoch-00003"):
        Image.new("RGB", (40, 40), "gray").save(directory / "pictures" / f"{picture}.png")
    if measured:
        (directory / "measures.json").write_text(json.dumps({"format": 1, "measurements": measured}))
    return directory
