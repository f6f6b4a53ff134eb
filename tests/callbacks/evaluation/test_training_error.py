"""Training images are judged as validation images are, and training goes on as if nothing had been measured."""

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from lightning.pytorch import Callback, Trainer, seed_everything

from callbacks import TrainingError
from callbacks.evaluation.training_error import fixed_subset
from datamodules import Digits
from lightning_modules import ResNet
from tests.callbacks.tiny_runs import Rows


def trained(folder: Path, *callbacks: Callback, **options: Any) -> tuple[Trainer, ResNet, Rows]:
    seed_everything(3, verbose=False)
    network, rows = ResNet(8, "cifar", width=0.25, in_channels=1), Rows()
    trainer = Trainer(
        callbacks=list(callbacks),
        default_root_dir=folder,
        logger=rows,
        **{"max_epochs": 2, "limit_train_batches": 3, "limit_val_batches": 1, "accelerator": "cpu"} | options,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        num_sanity_val_steps=0,
    )
    trainer.fit(network, datamodule=Digits(batch_size=32, eval_batch_size=50))
    return trainer, network, rows


def test_the_figures_are_those_of_the_fixed_images_in_evaluation_mode(tmp_path: Path) -> None:
    trainer, network, rows = trained(tmp_path, TrainingError(images=130))
    data = Digits()
    data.setup()
    split = data._splits["train"].select(fixed_subset(1200, 130))
    network.eval()
    with torch.no_grad():
        logits = network(data.normalized(split.images))
    assert rows.values("train_eval/acc1")[-1] == pytest.approx((logits.argmax(1) == split.labels).float().mean().item())
    assert rows.values("train_eval/loss")[-1] == pytest.approx(F.cross_entropy(logits, split.labels).item(), rel=1e-4)
    assert len(rows.values("train_eval/acc1")) == 2
    assert trainer.callback_metrics["train_eval/acc1"] == pytest.approx(rows.values("train_eval/acc1")[-1])


def test_training_is_the_same_to_the_bit(tmp_path: Path) -> None:
    _, measured, _ = trained(tmp_path, TrainingError(images=64))
    _, plain, _ = trained(tmp_path)
    for name, value in plain.state_dict().items():
        assert torch.equal(value, measured.state_dict()[name]), name


def test_the_last_epoch_is_always_measured(tmp_path: Path) -> None:
    _, _, rows = trained(tmp_path, TrainingError(images=20, every_n_epochs=2), max_epochs=3)
    assert len(rows.values("train_eval/loss")) == 2


def test_subsets_are_fixed_and_of_all_images_if_there_are_fewer() -> None:
    assert torch.equal(fixed_subset(100, 10), fixed_subset(100, 10))
    assert len(fixed_subset(100, 10).unique()) == 10
    assert torch.equal(fixed_subset(7, 10), torch.arange(7))
    assert torch.equal(fixed_subset(7, None), torch.arange(7))


def test_what_cannot_be_measured_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="TrainingError.images must be at least 1, not 0"):
        TrainingError(images=0)
    trainer = Trainer(callbacks=[TrainingError()], fast_dev_run=True, accelerator="cpu", logger=False)
    with pytest.raises(ValueError, match="plain_training_loader.*leave the callback out"):
        trainer.fit(ResNet(8, "cifar"), torch.utils.data.DataLoader(torch.zeros(2, 3, 32, 32)))  # type: ignore[arg-type]
