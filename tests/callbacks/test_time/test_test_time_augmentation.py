"""One pass measures the single view and the average, on small and on whole images, and leaves nothing behind."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from lightning.pytorch import LightningDataModule, LightningModule, Trainer
from torch import Tensor
from torchvision.transforms.functional import center_crop

from callbacks import TestTimeAugmentation
from callbacks.test_time.paired_gain import paired_gain
from datamodules import Digits, ImageBatch
from experiment.checkpoints import VerifiedCheckpointIO
from lightning_modules import NIN, VGG, ImageClassifier, ResNet

SIZES = ((40, 52), (60, 36), (36, 36), (40, 52), (45, 70))


class Batches:
    """A loader; Lightning would take a list for several loaders."""

    def __init__(self, batches: list[ImageBatch]) -> None:
        self.batches = batches

    def __iter__(self) -> Iterator[ImageBatch]:
        return iter(self.batches)


class Photos(LightningDataModule):
    """Photographs of several sizes, as ImageNet has them; whole ones where `evaluation_sides` is set."""

    name = "photos"
    num_classes = 10
    in_channels = 3
    image_size = 32
    crop_side = 36

    def __init__(self) -> None:
        super().__init__()
        self.evaluation_sides: tuple[int, ...] = ()
        generator = torch.Generator().manual_seed(0)
        self.photos = [torch.randn(3, *size, generator=generator) for size in SIZES]
        self.labels = torch.arange(5)

    def resized(self, photo: Tensor, side: int) -> Tensor:
        factor = side / min(photo.shape[1:])
        size = [round(length * factor) for length in photo.shape[1:]]
        return F.interpolate(photo[None], size=size, mode="bilinear", antialias=True)[0]

    def batches(self) -> Iterator[ImageBatch]:
        for rows in ([0, 1, 2], [3, 4, 0]):  # the last one is a filler
            labels = torch.tensor([*self.labels[rows[:-1]], -1 if rows[-1] == 0 else self.labels[rows[-1]]])
            images: Any
            if self.evaluation_sides:
                images = {
                    side: [self.resized(self.photos[row], side) for row in rows] for side in self.evaluation_sides
                }
            else:
                images = torch.stack([self.central_crop(row) for row in rows])
            yield ImageBatch(images, labels, torch.tensor(rows), None)

    def central_crop(self, row: int) -> Tensor:
        photo = self.resized(self.photos[row], self.crop_side)
        top, left = (round((length - 32) / 2) for length in photo.shape[1:])
        return photo[:, top : top + 32, left : left + 32]

    def val_dataloader(self) -> Batches:
        return Batches(list(self.batches()))

    def test_dataloader(self) -> Batches:
        return Batches(list(self.batches()))

    def predict_dataloader(self) -> Batches:
        return Batches(list(self.batches()))


def trainer(*callbacks: TestTimeAugmentation, **options: Any) -> Trainer:
    quiet = {
        "logger": False,
        "enable_progress_bar": False,
        "enable_checkpointing": False,
        "enable_model_summary": False,
    }
    return Trainer(accelerator="cpu", devices=1, callbacks=list(callbacks), **{**quiet, **options})


def resnet(**arguments: Any) -> ResNet:
    torch.manual_seed(0)
    return ResNet(8, "cifar", **arguments)


@pytest.fixture(scope="module")
def digits() -> Digits:
    return Digits(batch_size=32, eval_batch_size=50)


def probabilities(network: ImageClassifier, data: LightningDataModule, *callbacks: TestTimeAugmentation) -> Tensor:
    outputs = trainer(*callbacks, limit_predict_batches=2).predict(network, datamodule=data)
    assert outputs is not None
    return torch.cat([output["probabilities"] for output in outputs])  # type: ignore[call-overload,index]


@pytest.mark.filterwarnings("ignore:digits was not mirrored")
@pytest.mark.slow(2)
def test_one_pass_gives_single_view_average_and_gain(digits: Digits, caplog: pytest.LogCaptureFixture) -> None:
    network = resnet(in_channels=1)
    trainer(max_steps=10, limit_val_batches=0).fit(network, datamodule=digits)
    tta = TestTimeAugmentation("translations")
    (alone,) = trainer(limit_test_batches=2).test(network, datamodule=digits, verbose=False)
    single = probabilities(network, digits)
    caplog.set_level("INFO")
    (metrics,) = trainer(tta, limit_test_batches=2).test(network, datamodule=digits, verbose=False)
    averaged = probabilities(network, digits, tta)

    for name in ("acc1", "acc5", "loss"):
        assert metrics[f"test/{name}_single_view"] == pytest.approx(alone[f"test/{name}"], rel=1e-5)
    labels = torch.cat([batch.labels for batch in digits.test_dataloader()])[: len(single)]
    right, right_before = averaged.argmax(1) == labels, single.argmax(1) == labels
    assert metrics["test/acc1"] == pytest.approx(right.float().mean().item())
    gain = paired_gain(int((right & ~right_before).sum()), int((~right & right_before).sum()), len(labels))
    assert (metrics["test/acc1_gain"], metrics["test/acc1_gain_low"], metrics["test/acc1_gain_high"]) == pytest.approx(
        gain, abs=1e-6
    )
    assert "translations, 6 views of each of 100 images): test/acc1 " in caplog.text
    assert f"a gain of {100 * gain.value:+.2f} points (95 % interval " in caplog.text


@pytest.mark.parametrize("precision", ["bf16-mixed", "bf16-true"])
@pytest.mark.slow(2)
def test_low_precision_and_channels_last(precision: str) -> None:
    network = resnet(channels_last=True)
    tta = TestTimeAugmentation("googlenet_crops", sides=[36, 40])
    (metrics,) = trainer(tta, precision=precision).validate(network, datamodule=Photos(), verbose=False)
    assert 0 <= metrics["val/acc1_gain_high"] <= 1


def test_border_is_black_as_when_training(digits: Digits) -> None:
    image = torch.zeros(1, 1, 32, 32, dtype=torch.uint8)
    batch = ImageBatch(image, torch.tensor([0]), torch.tensor([0]), None)
    assert digits.on_after_batch_transfer(batch, 0).images.unique().tolist() == pytest.approx(list(digits.black))
    tta = TestTimeAugmentation("translations", flips=False)
    network = resnet(in_channels=1)
    seen: list[Tensor] = []
    network.stem.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    trainer(tta, limit_predict_batches=1).predict(network, datamodule=digits)
    corners = torch.cat(seen)[50:100, 0, 0, :]  # the views that are moved up and left: their first row is border
    assert torch.equal(corners, torch.full_like(corners, digits.black[0]))


@pytest.mark.parametrize(
    ("protocol", "sides"),
    [
        ("flip", None),
        ("ten_crops", [36]),
        ("ten_crops_of_all", [36]),
        ("vgg_crops", [36]),
        ("googlenet_crops", [36, 44]),
        ("resnet_dense", [36]),
    ],
)
@pytest.mark.slow(1)
def test_single_view_of_whole_images_is_the_central_crop(protocol: Any, sides: list[int] | None) -> None:
    network, data = resnet(), Photos()
    (alone,) = trainer().test(network, datamodule=data, verbose=False)
    (metrics,) = trainer(TestTimeAugmentation(protocol, sides)).test(network, datamodule=data, verbose=False)
    for name in ("acc1", "acc5", "loss"):
        assert metrics[f"test/{name}_single_view"] == pytest.approx(alone[f"test/{name}"], rel=1e-5)
    assert data.evaluation_sides == ()


@pytest.mark.parametrize("protocol", ["ten_crops", "ten_crops_of_all"])
def test_ten_crops_of_whole_images(protocol: Any) -> None:
    network, data = resnet().eval(), Photos()
    found = probabilities(network, data, TestTimeAugmentation(protocol, [40], max_images=7))
    with torch.no_grad():
        for row in range(5):
            photo = data.resized(data.photos[row], 40)
            if protocol == "ten_crops":
                photo = center_crop(photo, [40, 40])
            height, width = photo.shape[1:]
            places = [(0, 0), (0, width - 32), (height - 32, 0), (height - 32, width - 32)]
            places.append((round((height - 32) / 2), round((width - 32) / 2)))
            crops = torch.stack([photo[:, top : top + 32, left : left + 32] for top, left in places])
            expected = network(torch.cat([crops, crops.flip(-1)])).softmax(-1).mean(0)
            torch.testing.assert_close(found[row], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.slow(1)
def test_all_is_as_before_at_the_end_and_after_an_exception() -> None:
    network, data = resnet(), Photos()
    before = network.test_views
    tta = TestTimeAugmentation("ten_crops", [36])
    trainer(tta).validate(network, datamodule=data, verbose=False)
    assert (network.test_views, data.evaluation_sides) == (before, ())
    hook = network.stem.register_forward_pre_hook(lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        trainer(tta).test(network, datamodule=data)
    assert (network.test_views, data.evaluation_sides) == (before, ())
    hook.remove()
    trainer(tta).test(network, datamodule=data, verbose=False)


def test_training_and_its_validation_see_single_views(digits: Digits) -> None:
    network = resnet(in_channels=1)
    training = trainer(TestTimeAugmentation("translations"), max_epochs=1, limit_train_batches=1, limit_val_batches=1)
    training.fit(network, datamodule=digits)
    assert "val/acc1" in training.callback_metrics
    assert "val/acc1_gain" not in training.callback_metrics


class Generator(LightningModule):
    """No classifier."""

    def test_step(self, batch: Any, batch_idx: int) -> None: ...


REFUSED: list[tuple[Callable[[], LightningModule], Callable[[], LightningDataModule], Any, str]] = [
    (Generator, Photos, "flip", "Generator has no test_views.*leave TestTimeAugmentation out"),
    (
        lambda: VGG("A", stem="small", fc_width=8, num_classes=10),
        Photos,
        "vgg_dense",
        "this VGG-11 A takes 32x32 pixels only: set model.dense to true",
    ),
    (
        lambda: NIN("cifar10", head="fc"),
        Photos,
        "resnet_dense",
        "this NIN fc takes 32x32 pixels only: choose a protocol of crops",
    ),
    (lambda: resnet(in_channels=1), Digits, "ten_crops", "which digits does not have: use flip or translations"),
    (resnet, Photos, "translations", "photos does not say what is black after normalization: set padding to reflect"),
]


@pytest.mark.parametrize(("network", "data", "protocol", "message"), REFUSED, ids=lambda value: str(value)[:20])
def test_what_does_not_fit_is_refused(
    network: Callable[[], LightningModule], data: Callable[[], LightningDataModule], protocol: Any, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        trainer(TestTimeAugmentation(protocol)).test(network(), datamodule=data())


def test_two_at_once_are_refused_and_leave_nothing_behind() -> None:
    network = resnet()
    before = network.test_views
    with pytest.raises(ValueError, match="twice: leave one of them out"):
        trainer(TestTimeAugmentation(), TestTimeAugmentation("ten_crops")).test(network, datamodule=Photos())
    assert network.test_views is before


@pytest.mark.slow(2)
def test_dense_network_of_whole_images() -> None:
    network = VGG("A", dense=True, stem="small", fc_width=8, num_classes=10, initialization="kaiming")
    (metrics,) = trainer(TestTimeAugmentation("vgg_dense_and_crops", [36], flips=False)).test(
        network, datamodule=Photos(), verbose=False
    )
    assert "test/acc1_gain" in metrics


@pytest.mark.parametrize(
    ("arguments", "message"),
    [({"protocol": "five_crops"}, "There is no protocol five_crops"), ({"max_images": 0}, "max_images must be")],
)
def test_impossible_arguments_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TestTimeAugmentation(**arguments)


def save_network(path: Path) -> None:
    """A checkpoint of a small network for digits, as a fit leaves it."""
    network = resnet(in_channels=1)
    content: dict[str, Any] = {"state_dict": network.state_dict(), "hyper_parameters": dict(network.hparams)}
    content |= {"epoch": 0, "global_step": 0, "pytorch-lightning_version": "2.6.6"}
    network.on_save_checkpoint(content)
    VerifiedCheckpointIO().save_checkpoint(content, path)


@pytest.mark.filterwarnings("ignore:digits was not mirrored")
def test_from_the_command_line(run_main: Callable[..., None], tmp_path: Path) -> None:
    import json

    save_network(tmp_path / "best.ckpt")
    configs = ["configs/base.yaml", "configs/data/digits.yaml", "configs/model/resnet20.yaml"]
    words = [word for config in configs for word in ("--config", config)]
    words += ["--model.depth", "8", "--ckpt_path", "best.ckpt", "--trainer.enable_progress_bar", "false"]
    words += ["--trainer.logger", "false", "--trainer.accelerator", "cpu", "--run_dir", "run"]
    run_main("test", *words, "--trainer.callbacks+=TestTimeAugmentation", "--trainer.callbacks.protocol", "flip")
    metrics = json.loads((tmp_path / "run" / "summary.json").read_text())["metrics"]
    assert {"test/acc1", "test/acc1_single_view", "test/acc1_gain_low", "test/acc5_gain"} <= metrics.keys()
