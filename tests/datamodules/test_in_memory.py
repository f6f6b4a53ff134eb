"""The shared DataModule: splits, checks, batches, and resuming through Lightning."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import Tensor

from datamodules import Digits
from datamodules.in_memory import Split
from datamodules.loader import ImageBatch


def changed(change: Callable[[Split], Split]) -> Digits:
    """Digits whose training images were changed on the way."""
    data = Digits()
    read = data.read
    data.read = lambda: (change(read()[0]), *read()[1:])  # type: ignore[method-assign]
    return data


def test_digits_are_divided_and_described() -> None:
    data = Digits()
    data.setup()
    description = data.description()
    assert (description["train_images"], description["val_images"], description["test_images"]) == (1200, 297, 300)
    assert description["selection_split"] == "val"
    assert description["verified"] is True
    seen = [images.tobytes() for split in ("train", "val", "test") for images in data._splits[split].images.numpy()]
    assert len(set(seen)) == 1797


def test_constants_of_the_digits_are_those_of_the_training_images() -> None:
    data = Digits()
    data.setup()
    pixels = data._splits["train"].images.double() / 255
    assert pixels.mean().item() == pytest.approx(data.mean[0], abs=1e-4)
    assert pixels.std().item() == pytest.approx(data.std[0], abs=1e-4)


@pytest.mark.parametrize(("normalization", "mean", "std"), [("standard", 0.0, 1.0), ("mean", 0.0, 0.3243 * 255)])
def test_normalization(normalization: Any, mean: float, std: float) -> None:
    data = Digits(normalization=normalization)
    data.setup()
    train = data._splits["train"]
    batch = ImageBatch(train.images, train.labels, torch.arange(len(train.labels)), None)
    images = data.on_after_batch_transfer(batch, 0).images
    assert images.mean().item() == pytest.approx(mean, abs=0.02)
    assert images.std().item() == pytest.approx(std, rel=1e-3)
    shift, scale = data.description()["mean"][0], data.description()["std"][0]
    torch.testing.assert_close(images[:5], (train.images[:5] / 255 - shift) / scale, rtol=1e-4, atol=1e-4)


def test_validation_images_do_not_depend_on_the_seed() -> None:
    splits = []
    for seed, split_seed in ((1, 0), (2, 0), (1, 1)):
        data = Digits(seed=seed, split_seed=split_seed)
        data.setup()
        splits.append(data._splits["val"].images)
    assert torch.equal(splits[0], splits[1])
    assert not torch.equal(splits[0], splits[2])


def test_without_validation_images_the_test_selects_and_that_is_said() -> None:
    data = Digits(val_size=0)
    data.setup()
    assert data.description()["selection_split"] == "test"
    assert data.description()["train_images"] == 1497
    assert data.val_dataloader().split.size == 300


def test_training_batches_are_augmented_and_others_are_not() -> None:
    data = Digits(batch_size=64, crop_padding=2)
    data.setup()
    batch = next(iter(data.train_dataloader()))
    plain = data.on_after_batch_transfer(batch._replace(epoch=None), 0)
    augmented = data.on_after_batch_transfer(batch, 0)
    assert isinstance(augmented, ImageBatch)
    assert augmented.images.dtype == torch.float32
    assert not torch.equal(plain.images, augmented.images)
    expected = (batch.images.float() / 255 - data.mean[0]) / data.std[0]
    torch.testing.assert_close(plain.images, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda split: Split(split.images, split.labels + 1), "labels span 1 to 10, but 10 classes allow 0 to 9"),
        (lambda split: Split(split.images, split.labels.clamp(max=8)), "have none of class 9"),
        (lambda split: Split(split.images.float(), split.labels), r"torch.float32 .*, not torch.uint8"),
        (lambda split: Split(split.images[:, :, :28], split.labels), r"shape \(1, 28, 32\), not"),
        (lambda split: Split(split.images, split.labels[:-1]), "not one int64 label for each image"),
    ],
)
def test_data_that_does_not_fit_is_refused(change: Callable[[Split], Split], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        changed(change).setup()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"batch_size": 0}, "batch_size=0 is too small"),
        ({"val_size": -1}, "val_size=-1 is too small"),
        ({"crop_padding": -1}, "crop_padding=-1 is too small"),
        ({"eval_batch_size": 0}, "eval_batch_size=0 is too small"),
        ({"storage": "gpu"}, "storage='gpu' is not offered: --data.storage must be cpu or device"),
        ({"val_size": 1497}, "leaves none of the 1497 training images"),
        ({"val_size": 1490}, "training images have none of class .* hold out fewer images with --data.val_size"),
    ],
)
def test_arguments_out_of_range_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Digits(**arguments).setup()


def test_batch_that_is_too_large_is_refused_when_training_begins() -> None:
    data = Digits(batch_size=1201)
    data.setup("test")
    with pytest.raises(ValueError, match="global batch of 1201 .* larger than the 1200 .* at most 1200"):
        data.setup("fit")


def test_images_stored_on_the_device_are_gathered_and_augmented_there() -> None:
    """Tensors on the meta device have no values, so an operation that would read one back to the host fails."""
    data = Digits(storage="device", horizontal_flip=True)
    data.trainer = Trainer(accelerator="cpu", logger=False, enable_checkpointing=False)
    data.trainer.strategy._root_device = torch.device("meta")
    for stage in ("fit", "test"):
        data.setup(stage)
    for loader in (data.train_dataloader(), data.val_dataloader(), data.test_dataloader(), data.predict_dataloader()):
        raw = next(iter(loader))
        batch = data.on_after_batch_transfer(raw, 0)
        assert {tensor.device.type for tensor in (*raw[:3], *batch[:3])} == {"meta"}
        assert (batch.images.shape, batch.images.dtype) == (raw.images.shape, torch.float32)


def test_storage_does_not_change_the_batches() -> None:
    batches = []
    for storage in ("cpu", "device"):
        data = Digits(storage=storage)  # type: ignore[arg-type]
        data.trainer = Trainer(accelerator="cpu", logger=False, enable_checkpointing=False)
        data.setup("fit")
        batches.append(data.on_after_batch_transfer(next(iter(data.train_dataloader())), 0))
    assert all(torch.equal(one, other) for one, other in zip(batches[0][:3], batches[1][:3], strict=True))


class Recorder(LightningModule):
    """Notes the samples of each step, and learns nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.seen: list[tuple[int, list[int], float]] = []

    def training_step(self, batch: ImageBatch, batch_idx: int) -> Tensor:
        assert batch.epoch is not None
        self.seen.append((batch.epoch, batch.indices.tolist(), batch.images.sum().item()))
        return self.weight * 0

    def test_step(self, batch: ImageBatch, batch_idx: int) -> None:
        assert batch.epoch is None

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def fit(folder: Path, max_epochs: int, batches: int, checkpoint: Path | None = None, **arguments: Any) -> list[Any]:
    """Samples seen by a run that saves after each step."""
    trainer = Trainer(
        default_root_dir=folder,
        accelerator="cpu",
        max_epochs=max_epochs,
        limit_train_batches=batches,
        limit_val_batches=0,
        callbacks=[ModelCheckpoint(folder, filename="{step}", every_n_train_steps=1, save_top_k=-1)],
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    module = Recorder()
    trainer.fit(module, datamodule=Digits(**{"batch_size": 100, **arguments}), ckpt_path=checkpoint, weights_only=True)
    return module.seen


@pytest.fixture(scope="module")
def saved_steps(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Checkpoints of a run of one epoch of three steps."""
    folder = tmp_path_factory.mktemp("saved_steps")
    fit(folder, max_epochs=1, batches=3)
    return folder


@pytest.mark.slow(1)
def test_resumed_from_any_step_no_sample_is_lost_or_repeated(tmp_path: Path) -> None:
    whole = fit(tmp_path / "whole", max_epochs=2, batches=5, batch_size=240)
    for epoch in range(2):
        assert sorted(index for key, indices, _ in whole for index in indices if key == epoch) == list(range(1200))
    for step in (1, 4, 5, 7):  # 5: at the epoch's end
        checkpoint = tmp_path / "whole" / f"step={step}.ckpt"
        rest = fit(tmp_path / str(step), max_epochs=2, batches=5, checkpoint=checkpoint, batch_size=240)
        assert rest == whole[step:]


@pytest.mark.parametrize("step", [2, 3], ids=["in mid-epoch", "at an epoch's end"])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"batch_size": 50}, "global_batch_size 100 → 50"),
        ({"seed": 7}, "seed 42 → 7"),
        ({"val_size": 200}, "images 1200 → 1297"),
        ({"split_seed": 1}, "chosen with split_seed 0; with 1"),
    ],
)
def test_resuming_on_other_batches_is_refused(
    step: int, change: dict[str, int], message: str, tmp_path: Path, saved_steps: Path
) -> None:
    with pytest.raises(ValueError, match=message):
        fit(tmp_path, max_epochs=2, batches=3, checkpoint=saved_steps / f"step={step}.ckpt", **change)


def test_validating_with_another_batch_size_is_not_resuming(saved_steps: Path) -> None:
    trainer = Trainer(accelerator="cpu", logger=False, enable_progress_bar=False, enable_checkpointing=False)
    checkpoint = saved_steps / "step=2.ckpt"
    trainer.test(Recorder(), datamodule=Digits(batch_size=50), ckpt_path=checkpoint, weights_only=True, verbose=False)


def test_overfitting_repeats_the_same_batches(tmp_path: Path) -> None:
    trainer = Trainer(
        default_root_dir=tmp_path,
        accelerator="cpu",
        max_epochs=3,
        overfit_batches=2,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    module = Recorder()
    trainer.fit(module, datamodule=Digits(batch_size=100))
    assert module.seen[:2] == module.seen[2:4] == module.seen[4:]
    assert module.seen[0] != module.seen[1]


@pytest.mark.parametrize(("precision", "dtype"), [("bf16-true", torch.bfloat16), ("64-true", torch.float64)])
def test_images_have_the_dtype_of_the_precision(precision: Any, dtype: torch.dtype) -> None:
    data = Digits(batch_size=4)
    data.trainer = Trainer(accelerator="cpu", precision=precision, logger=False, enable_checkpointing=False)
    data.setup()
    batch = next(iter(data.predict_dataloader()))
    assert data.on_after_batch_transfer(batch, 0).images.dtype == dtype


def test_a_subset_has_each_class_by_its_share_and_depends_on_the_split_seed_alone() -> None:
    chosen = {}
    for seed, split_seed in ((1, 0), (2, 0), (1, 1)):
        data = Digits(val_size=297, train_size=300, seed=seed, split_seed=split_seed)
        data.setup()
        assert data.description()["train_images"] == 300
        chosen[seed, split_seed] = data._splits["train"].images
        whole = Digits(val_size=297, split_seed=split_seed)
        whole.setup()
        shares = 300 * torch.bincount(whole.training_labels) / 1200
        assert (torch.bincount(data.training_labels) - shares).abs().max() < 1
    assert torch.equal(chosen[1, 0], chosen[2, 0])
    assert not torch.equal(chosen[1, 0], chosen[1, 1])


def test_all_images_are_the_subset_of_their_number() -> None:
    few, whole = Digits(val_size=297, train_size=1200), Digits(val_size=297)
    few.setup()
    whole.setup()
    assert torch.equal(few._splits["train"].images, whole._splits["train"].images)


def test_a_subset_that_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="train_size=1300 is more than the 1200 training images"):
        Digits(val_size=297, train_size=1300).setup()
    with pytest.raises(ValueError, match="train_size=0 is too small"):
        Digits(train_size=0)
    with pytest.raises(ValueError, match="have none of class"):
        Digits(val_size=297, train_size=5).setup()


def test_color_noise_is_for_color_images() -> None:
    with pytest.raises(ValueError, match="color_noise=0.1 is for color images"):
        Digits(color_noise=0.1)
