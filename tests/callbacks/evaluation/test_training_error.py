"""The error on training images is what a plain evaluation of them finds, on any number of ranks."""

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer

from callbacks import TrainingError
from datamodules import Digits
from lightning_modules import ResNet


def measured(images: int) -> tuple[dict[str, float], LightningModule, Digits]:
    torch.manual_seed(0)
    network, data = ResNet(8, "cifar", in_channels=1), Digits(batch_size=64, val_size=297)
    trainer = Trainer(
        max_epochs=1,
        limit_train_batches=2,
        limit_val_batches=1,
        callbacks=[TrainingError(images)],
        **{"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": False},
    )
    trainer.fit(network, datamodule=data)
    return {name: float(value) for name, value in trainer.callback_metrics.items()}, network, data


@pytest.mark.parametrize("images", [100, 5_000])
@pytest.mark.slow(2)
def test_it_is_that_of_a_plain_evaluation(images: int) -> None:
    metrics, network, data = measured(images)
    split = data._splits["train"]
    chosen = torch.arange(min(images, split.size)) * split.size // min(images, split.size)
    assert len(chosen.unique()) == len(chosen)
    with torch.no_grad():
        logits = network.eval()(data.normalized(split.images[chosen]))
    labels = split.labels[chosen]
    assert metrics["train_eval/acc1"] == pytest.approx(float((logits.argmax(1) == labels).float().mean()))
    loss = torch.nn.functional.cross_entropy(logits, labels)
    assert metrics["train_eval/loss"] == pytest.approx(float(loss), rel=1e-4)


def test_senseless_numbers_are_refused() -> None:
    with pytest.raises(ValueError, match="images=0 must be at least 1"):
        TrainingError(0)
