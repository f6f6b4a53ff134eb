"""Every config that is shipped opens with its goal and command, parses, and runs for a step."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

import datamodules
from architectures.networks import build
from datamodules import CIFAR10, ImageBatch
from datamodules.in_memory import InMemoryDataModule, Split
from lightning_modules import VGG, AlexNet, ZFNet
from records.config import published_figure
from tests.datamodules.photographs.made_photographs import write_shards

ROOT = Path(__file__).parents[1]
CONFIGS = sorted(path.relative_to(ROOT) for path in (ROOT / "configs").rglob("*.yaml"))
AUXILIARY = [path for path in CONFIGS if path.parent.name == "callbacks"]  # for networks with auxiliary heads
DATA = [path for path in CONFIGS if path.parent.name == "data"]
EVALUATIONS = [path for path in CONFIGS if path.parent.name == "evaluation"]
GANS = [path for path in CONFIGS if path.parent.name == "gan"]
MODELS = [path for path in CONFIGS if path.parent.name == "model"]
OVERLAYS = [path for path in CONFIGS if path.parent.name in ("configs", "experiment") and path.name != "base.yaml"]
OVERLAYS.append(Path("configs/cluster/large_batch.yaml"))  # the others of its folder: tests/cluster


OF_FULL_SIZE = {"alexnet", "zfnet", "vgg16", "nin_imagenet", "googlenet", "resnet50"}  # one of each network


@pytest.fixture
def small_data(monkeypatch: pytest.MonkeyPatch) -> None:
    """Random images in the place of the files of every data set in memory that would fetch some."""

    def read(data: InMemoryDataModule) -> tuple[Split, Split, bool]:
        shape = (data.in_channels, data.image_size, data.image_size)
        labels = torch.arange(600) % data.num_classes
        split = Split(torch.randint(256, (600, *shape), dtype=torch.uint8), labels)
        return split, split, False

    fetching = [
        data_class
        for data_class in datamodules.data_sets().values()
        if issubclass(data_class, InMemoryDataModule) and data_class.prepare_data is not InMemoryDataModule.prepare_data
    ]
    assert CIFAR10 in fetching
    for data_class in fetching:
        monkeypatch.setattr(data_class, "read", read)
        monkeypatch.setattr(data_class, "prepare_data", lambda _: None)


@pytest.fixture(scope="session")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A prepared copy of ImageNet with three classes."""
    return write_shards(tmp_path_factory.mktemp("imagenet") / "imagenet", train=2, val=1)


@pytest.fixture
def whole_images(small_data: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whole images of the sizes that an evaluation asks for, behind the name of CIFAR-10."""
    after_transfer = CIFAR10.on_after_batch_transfer

    def resized(data: CIFAR10, batch: ImageBatch, dataloader_idx: int) -> ImageBatch:
        batch = after_transfer(data, batch, dataloader_idx)
        sides = data.evaluation_sides  # type: ignore[attr-defined]
        if not sides:
            return batch
        return batch._replace(images={side: list(F.interpolate(batch.images, (side, side + 8))) for side in sides})  # type: ignore[arg-type]

    monkeypatch.setattr(CIFAR10, "on_after_batch_transfer", resized)
    monkeypatch.setattr(CIFAR10, "evaluation_sides", (), raising=False)
    monkeypatch.setattr(CIFAR10, "crop_side", 36, raising=False)


def command(*configs: Path) -> list[str]:
    words = [word for config in ("configs/base.yaml", *configs) for word in ("--config", str(config))]
    few = ["--data.batch_size", "8", "--data.eval_batch_size", "8"]
    return ["fit", *words, "--trainer.fast_dev_run", "true", "--trainer.accelerator", "cpu", *few]


@pytest.mark.parametrize("config", CONFIGS, ids=str)
def test_a_config_says_what_it_is_for(config: Path) -> None:
    text = (ROOT / config).read_text()
    assert text.startswith("# ")
    if config.parent.name in ("model", "gan"):
        assert "python main.py fit" in text


@pytest.mark.parametrize("config", MODELS, ids=lambda path: path.stem)
def test_a_model_trains_for_a_step(config: Path, run_main: Callable[..., None], photographs: Path) -> None:
    network = build([ROOT / config], {})
    if figure := published_figure((ROOT / config).read_text(encoding="utf-8")):
        assert (figure.architecture, 0.4 < figure.acc1 < 1) == (network.architecture, True)
    if network.image_size <= 32:
        run_main(*command(Path("configs/data/digits.yaml"), config))
        return
    size = ["1"] if config.stem in OF_FULL_SIZE else ["2", "--data.image_size", "96"]
    few = ["--data.root", str(photographs), "--data.eval_batch_size", "1", "--data.batch_size", *size]
    if isinstance(network, AlexNet | VGG | ZFNet):
        few += ["--model.fc_width", "256"]  # of 4,096, with gradients and momentum, VGG's would take 1.5 GB
    run_main(*command(Path("configs/data/imagenet.yaml"), config), *few)


@pytest.mark.parametrize("config", GANS, ids=lambda path: path.stem)
def test_a_gan_trains_for_a_step(config: Path, run_main: Callable[..., None], photographs: Path) -> None:
    text = (ROOT / config).read_text()
    few = ["--model.labels_per_class", "10"] if "labels_per_class" in text else []
    if config.stem.endswith("photographs"):
        of_pictures = command(Path("configs/data/image_folder.yaml"), config)
        run_main(*of_pictures, "--data.root", str(photographs), "--model.network_options", "{width: 8}")
        return
    if "variant: cifar10" in text:  # which hundreds of images go through before the first step
        widths = {"generator_width": 64, "discriminator_width": 12, "reference_size": 10}
        few += [word for name, value in widths.items() for word in (f"--model.network_options.{name}", str(value))]
    run_main(*command(Path("configs/data/digits.yaml"), config), "--data.val_size", "297", *few)


@pytest.mark.usefixtures("small_data")
@pytest.mark.parametrize("config", DATA, ids=lambda path: path.stem)
def test_a_data_set_trains_for_a_step(config: Path, run_main: Callable[..., None], photographs: Path) -> None:
    words = command(config, Path("configs/model/resnet20.yaml"))
    of_photographs = ["--data.root", str(photographs), "--data.batch_size", "2"]
    own = {"digits": [], "imagenet": of_photographs, "image_folder": of_photographs}
    run_main(*words, *own.get(config.stem, ["--data.val_size", "60"]))


@pytest.mark.usefixtures("small_data")
@pytest.mark.parametrize("config", OVERLAYS, ids=lambda path: path.stem)
def test_an_overlay_trains_for_a_step(config: Path, run_main: Callable[..., None]) -> None:
    fewer = (
        ["--data.train_size=600"] if config.stem == "study_fit" else []
    )  # the digits have no 2,000 images to train on
    run_main(*command(Path("configs/data/digits.yaml"), Path("configs/model/resnet20.yaml"), config), *fewer)


@pytest.mark.parametrize("config", AUXILIARY, ids=lambda path: path.stem)
def test_an_overlay_for_auxiliary_heads_trains_for_a_step(config: Path, run_main: Callable[..., None]) -> None:
    run_main(*command(Path("configs/data/digits.yaml"), Path("configs/model/googlenet_32.yaml"), config))


@pytest.mark.usefixtures("whole_images")
@pytest.mark.parametrize("config", EVALUATIONS, ids=lambda path: path.stem)
def test_an_evaluation_runs_for_a_step(config: Path, run_main: Callable[..., None]) -> None:
    _, *words = command(Path("configs/data/cifar10.yaml"), Path("configs/model/resnet20.yaml"), config)
    run_main("test", *words, "--model.depth", "8", "--data.eval_batch_size", "1", "--data.val_size", "60")


def test_base_names_no_model() -> None:
    text = (ROOT / "configs/base.yaml").read_text()
    assert "\nmodel:" not in text
    assert "\ndata:" not in text
