"""A network with two auxiliary heads, small enough that a run takes no time, and the run."""

from pathlib import Path
from typing import Any, NamedTuple

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import Logger
from torch import Tensor, nn
from torch.utils.data import DataLoader

from lightning_modules.classifier import ImageClassifier

CLASSES = 3


class Batch(NamedTuple):
    images: Tensor
    labels: Tensor
    indices: Tensor


class TinyNet(ImageClassifier):
    """Three convolutions, with a head behind each of the first two."""

    architecture = "TinyNet"

    def __init__(self, width: int = 4, **training: Any) -> None:
        super().__init__(**{"num_classes": CLASSES, "image_size": 8, **training})
        self.first = nn.Sequential(nn.Conv2d(self.in_channels, width, 3, padding=1), nn.ReLU())
        self.second = nn.Sequential(nn.Conv2d(width, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU())
        self.third = nn.Sequential(nn.Conv2d(width, width, 3, padding=1), nn.ReLU())
        self.head = nn.Linear(width, self.num_classes)
        for name in ("low", "high"):
            self.auxiliary_heads[name] = nn.Sequential(nn.Flatten(), nn.Linear(64 * width, self.num_classes))
            self.auxiliary_loss_weights[name] = 0.3

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.third(self.second(self.first(images))).mean((2, 3)))

    def training_outputs(self, images: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        maps = {"low": self.first(images)}
        maps["high"] = self.second(maps["low"])
        return self.head(self.third(maps["high"]).mean((2, 3))), self.auxiliary_logits(maps)


class NoClassifier(LightningModule):
    """A module that keeps no contract."""

    def training_step(self, batch: Batch, batch_idx: int) -> None:
        pass

    def configure_optimizers(self) -> None:
        pass


class Rows(Logger):
    """Keeps what is logged."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[tuple[int, dict[str, float]]] = []

    @property
    def name(self) -> str:
        return "rows"

    @property
    def version(self) -> str:
        return ""

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        self.rows.append((step or 0, dict(metrics)))

    def log_hyperparams(self, *_: Any, **__: Any) -> None:
        pass

    def values(self, name: str) -> list[float]:
        return [metrics[name] for _, metrics in self.rows if name in metrics]


def tiny_net(seed: int = 0, **arguments: Any) -> TinyNet:
    torch.manual_seed(seed)
    return TinyNet(**arguments)


def loader(network: ImageClassifier, batches: int = 4) -> DataLoader[Batch]:
    generator = torch.Generator().manual_seed(1)
    size = (network.in_channels, network.image_size, network.image_size)
    labels = torch.arange(6) % network.num_classes
    data = [Batch(torch.randn(6, *size, generator=generator), labels, torch.arange(6)) for _ in range(batches)]
    return DataLoader(data, batch_size=None)


def fit(
    network: LightningModule, *callbacks: Callback, folder: Path, ckpt_path: Path | None = None, **options: Any
) -> tuple[Trainer, Rows]:
    """Two epochs of four steps, unless `options` of the Trainer say otherwise."""
    rows = Rows()
    trainer = Trainer(
        callbacks=list(callbacks),
        default_root_dir=folder,
        logger=rows,
        **{"max_epochs": 2, "accelerator": "cpu", "log_every_n_steps": 1, "enable_progress_bar": False}
        | {"enable_model_summary": False, "enable_checkpointing": False, "num_sanity_val_steps": 0}
        | options,
    )
    like = network if isinstance(network, ImageClassifier) else tiny_net()
    validation = loader(like, 1) if like is network else None
    trainer.fit(network, loader(like), validation, ckpt_path=ckpt_path)
    return trainer, rows
