"""Pictures of a generator: the way between latents, the nearest training images, and what a run leaves."""

from pathlib import Path

import pytest
import torch
from lightning.pytorch import Trainer
from PIL import Image
from torch import Tensor

from callbacks import SamplePictures
from callbacks.gan.sample_pictures import between, grid, nearest
from datamodules import Digits
from lightning_modules import GAN
from tests.callbacks.tiny_runs import NoClassifier


def test_the_way_between_latents_has_their_lengths() -> None:
    start, end = torch.nn.functional.normalize(torch.randn(2, 50), dim=1)
    way = between(start, end, 9)
    torch.testing.assert_close(way[0], start)
    torch.testing.assert_close(way[-1], end)
    torch.testing.assert_close(way.norm(dim=1), torch.ones(9))
    steps = (way[1:] - way[:-1]).norm(dim=1)
    torch.testing.assert_close(steps, steps[:1].expand(8))
    torch.testing.assert_close(between(start, start, 3), start.expand(3, -1))


@pytest.mark.parametrize("sizes", [[40], [1, 2, 37], [13, 13, 14]])
def test_neighbors_are_the_nearest_whatever_the_batches(sizes: list[int]) -> None:
    training, samples = torch.randn(40, 1, 4, 4), torch.randn(5, 1, 4, 4)
    found = nearest(samples, training.split(sizes), count=3)
    order = torch.cdist(samples.flatten(1), training.flatten(1)).argsort(1)[:, :3]
    assert torch.equal(found, training[order])


def test_a_grid_is_enlarged_by_whole_numbers() -> None:
    images = torch.full((4, 1, 8, 8), -1.0)
    images[0] = 1
    picture = grid(images, 2, image_side=30)
    assert picture.size == (2 * 24 + 6, 2 * 24 + 6)
    assert picture.getpixel((10, 10)) == (255, 255, 255)
    assert picture.getpixel((40, 10)) == (0, 0, 0)


def gan() -> GAN:
    return GAN(networks="mlp", network_options={"width": 16, "units": 8}, in_channels=1, image_size=32)


def fit(folder: Path, callback: SamplePictures) -> None:
    trainer = Trainer(
        max_epochs=2,
        limit_train_batches=2,
        limit_val_batches=0,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder,
        callbacks=[callback],
    )
    trainer.fit(gan(), datamodule=Digits(normalization="symmetric"))


@pytest.mark.slow(1)
def test_a_run_leaves_its_pictures(tmp_path: Path) -> None:
    fit(tmp_path, SamplePictures(side=3, neighbors=2))
    folder = tmp_path / "pictures"
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*.*")}
    frames = {"samples/epoch-00001.png", "samples/epoch-00002.png"}
    assert names == {"samples.png", "samples.gif", "interpolation.png", "nearest.png"} | frames
    with Image.open(folder / "samples.gif") as animation:
        assert animation.n_frames == 2


@pytest.mark.slow(1)
def test_without_neighbors_none_are_looked_for(tmp_path: Path) -> None:
    fit(tmp_path, SamplePictures(side=2, neighbors=0))
    assert not (tmp_path / "pictures" / "nearest.png").exists()


def test_what_makes_no_images_is_refused() -> None:
    with pytest.raises(ValueError, match="NoClassifier has none: leave it out"):
        SamplePictures().setup(None, NoClassifier(), "fit")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="side must be at least 1"):
        SamplePictures(side=0)


def test_images_are_the_same_for_the_same_latents() -> None:
    network = gan()
    latents: Tensor = network.generator.draw_latents(7, torch.Generator().manual_seed(0))
    torch.testing.assert_close(network.images_of(latents), network.images_of(latents, batch_size=3))
