"""A module that samples, and the run of a classifier, for the tests of SampleMeasures."""

import json
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn

from datamodules import Digits
from experiment.checkpoints import VerifiedCheckpointIO
from lightning_modules import ResNet


class Sampler(LightningModule):
    """Images of noise that follow from the seed alone, and nothing to train but one number."""

    in_channels = 1
    image_size = 32

    def __init__(self, scale: float = 1.0) -> None:
        super().__init__()
        self.scale = scale
        self.weight = nn.Parameter(torch.zeros(1))

    def sample(self, count: int, labels: Tensor | None = None, *, seed: int = 0) -> Tensor:
        noise = torch.rand(count, 1, 8, 8, generator=torch.Generator().manual_seed(seed)) * 2 - 1
        return self.scale * nn.functional.interpolate(noise, size=32)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return self.weight.sum()

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        pass

    test_step = validation_step

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def digits(**options: Any) -> Digits:
    return Digits(**{"normalization": "symmetric", "eval_batch_size": 100, **options})


def classifier_run(folder: Path, **options: Any) -> ResNet:
    """A run of a classifier with random weights."""
    torch.manual_seed(0)
    network = ResNet(8, "cifar", **{"in_channels": 1, **options})
    checkpoint: dict[str, Any] = {"state_dict": network.state_dict(), "hyper_parameters": dict(network.hparams)}
    network.on_save_checkpoint(checkpoint)
    VerifiedCheckpointIO().save_checkpoint(checkpoint, folder / "checkpoints" / "best-0001.ckpt")
    summary = {
        "format": 1,
        "model": {"class": "lightning_modules.resnet.ResNet"},
        "data": {"name": "digits", "mean": [0.3], "std": [0.25]},
        "best": {"val/acc1": {"value": 0.9}},
    }
    (folder / "summary.json").write_text(json.dumps(summary))
    return network.eval()
