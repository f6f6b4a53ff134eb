"""The DataModule on photographs in both layouts: exact, the same on any ranks, resumable, clear about errors."""

import io
import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torchvision.datasets import ImageFolder
from torchvision.transforms import CenterCrop, Compose, PILToTensor, Resize

from datamodules import ImageBatch, ImageNet
from datamodules.loader import EvaluationLoader, TrainingLoader
from datamodules.photographs import opened_folder, reader
from datamodules.photographs.index import MANIFEST
from tests.datamodules.photographs.made_photographs import WNIDS, write_shards, write_tree

SMALL: dict[str, Any] = {"image_size": 32, "crop_side": 40, "training_sides": (40, 60), "batch_size": 4, "threads": 2}


@pytest.fixture(params=["tree", "shards"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return {"tree": write_tree, "shards": write_shards}[request.param](tmp_path / "imagenet")


def opened(root: Path | str, **options: Any) -> ImageNet:
    data = ImageNet(root=str(root), **{**SMALL, **options})
    data.setup()
    return data


@pytest.mark.slow(1)
def test_both_layouts_give_the_same_batches(tmp_path: Path) -> None:
    tree, shards = opened(write_tree(tmp_path / "tree")), opened(write_shards(tmp_path / "shards"))
    for loader in ("train_dataloader", "val_dataloader", "test_dataloader"):
        for one, other in zip(getattr(tree, loader)(), getattr(shards, loader)(), strict=True):
            assert torch.equal(one.images, other.images)
            assert torch.equal(one.labels, other.labels)
            assert torch.equal(one.indices, other.indices)
    assert tree.num_classes == shards.num_classes == 3
    assert (tree.class_names, shards.class_names) == (WNIDS, ("word 0", "word 1", "word 2"))


def test_evaluation_shows_what_torchvision_shows(root: Path, tmp_path: Path) -> None:
    data = opened(root, image_size=224, crop_side=256)
    transform = Compose([Resize(256), CenterCrop(224), PILToTensor()])
    tree = tmp_path / "tree"
    expected = dict(
        zip(
            [Path(path).name for path, _ in ImageFolder(write_tree(tree) / "val").samples],
            ImageFolder(tree / "val", transform),
            strict=True,
        )
    )
    (batch,) = data.val_dataloader()
    names = [photograph.name for photograph in data.photographs(batch.indices)]
    assert sorted(names) == sorted(expected)
    for name, image, label in zip(names, batch.images, batch.labels, strict=True):
        other, other_label = expected[name]
        assert label == other_label
        assert (image.int() - other.int()).abs().max() <= 1
        assert (image != other).float().mean() < 0.02


def test_training_images_do_not_depend_on_batch_ranks_or_threads(root: Path) -> None:
    def images(data: ImageNet, batch_size: int, ranks: int) -> dict[int, Tensor]:
        found = {}
        for rank in range(ranks):
            loader = TrainingLoader(
                data._splits["train"], batch_size, seed=1, position=lambda: (2, 0), rank=rank, world_size=ranks
            )
            for batch in loader:
                found |= dict(zip(batch.indices.tolist(), batch.images, strict=True))
        return found

    reference = images(opened(root), 24, 1)
    assert len(reference) == 24
    for batch_size, ranks, threads in ((6, 4, 1), (4, 3, 3), (8, 1, 2)):
        other = images(opened(root, threads=threads), batch_size, ranks)
        assert other.keys() == reference.keys()
        assert all(torch.equal(image, reference[index]) for index, image in other.items())


def test_a_loader_goes_on_in_the_middle_of_an_epoch(root: Path) -> None:
    data = opened(root)
    whole = list(data.train_dataloader())
    for first in range(len(whole)):
        loader = TrainingLoader(data._splits["train"], 4, seed=data.seed, position=lambda first=first: (0, first))
        rest = list(loader)
        assert len(rest) == len(whole) - first
        assert all(torch.equal(a.images, b.images) for a, b in zip(rest, whole[first:], strict=True))


@pytest.mark.slow(1)
def test_evaluation_counts_every_photograph_once(root: Path) -> None:
    data = opened(root)
    for ranks in (1, 2, 3, 4):
        for batch_size in (1, 2, 4, 9):
            loaders = [
                EvaluationLoader(data._splits["test"], batch_size, rank=rank, world_size=ranks) for rank in range(ranks)
            ]
            batches = [batch for loader in loaders for batch in loader]
            counted = torch.cat([batch.indices[batch.labels >= 0] for batch in batches])
            assert sorted(counted.tolist()) == list(range(9))


def test_whole_photographs_of_several_sizes(root: Path) -> None:
    data = opened(root)
    data.evaluation_sides = (24, 48)
    (batch,) = data.val_dataloader()
    assert {min(image.shape[1:]) for image in batch.images[24]} == {24}
    assert {min(image.shape[1:]) for image in batch.images[48]} == {48}
    names = [photograph.name for photograph in data.photographs(batch.indices)]
    normalized = data.on_after_batch_transfer(batch, 0)
    for place, name in enumerate(names):
        source = data._splits["test"]
        image = Image.open(io.BytesIO(source.split.read(int(source.rows_of(batch.indices)[place]))))
        expected = PILToTensor()(Resize(48)(image))
        assert batch.images[48][place].shape == expected.shape, name
        assert (batch.images[48][place].int() - expected.int()).abs().max() <= 1
        assert normalized.images[48][place].dtype == torch.float32


def test_held_out_photographs_are_not_trained_on(root: Path) -> None:
    data = opened(root, val_size=6)
    train, val = data._splits["train"], data._splits["val"]
    assert (train.size, val.size, data._splits["test"].size) == (18, 6, 9)
    assert not set(train.rows_of(torch.arange(18))) & set(val.rows_of(torch.arange(6)))
    assert data.description()["selection_split"] == "val"
    assert opened(root).description()["selection_split"] == "test"


@pytest.mark.parametrize(
    "options",
    [
        {"training_crop": "scaled"},
        {"training_crop": "central_square"},
        {"training_crop": "ten_fixed"},
        {"exact": True},
        {"color_noise": "eigenvalue"},
        {"color_noise": "standard_deviation", "normalization": "mean"},
        {"trivial_augment": True},
        {"random_erasing": 1.0},
        {"mixup": 0.2},
        {"cutmix": 1.0, "mixup": 0.2},
    ],
)
def test_every_augmentation_changes_the_images_and_is_repeatable(tmp_path: Path, options: dict[str, Any]) -> None:
    root = write_shards(tmp_path / "imagenet")

    def batch(**options: Any) -> ImageBatch:
        data = opened(root, **options)
        return data.on_after_batch_transfer(next(iter(data.train_dataloader())), 0)

    first, again = batch(**options), batch(**options)
    plain = batch(normalization=options.get("normalization", "standard"))
    assert torch.equal(first.images, again.images)
    assert not torch.equal(first.images, plain.images)
    assert first.images.dtype == torch.float32
    assert (first.targets is not None) == bool(options.get("mixup") or options.get("cutmix"))
    if first.targets is not None:
        torch.testing.assert_close(first.targets.sum(1), torch.ones(4))


def test_color_noise_ends_after_its_epochs(root: Path) -> None:
    data = opened(root, color_noise="eigenvalue", color_noise_epochs=2)
    batch = next(iter(data.train_dataloader()))
    plain = data.normalized(batch.images)
    assert not torch.equal(data.on_after_batch_transfer(batch._replace(epoch=1), 0).images, plain)
    assert torch.equal(data.on_after_batch_transfer(batch._replace(epoch=2), 0).images, plain)


def test_without_flips_no_image_is_mirrored(root: Path) -> None:
    mirrored, plain = (opened(root, horizontal_flip=flip, exact=True) for flip in (True, False))
    pairs = [
        (one, other)
        for a, b in zip(mirrored.train_dataloader(), plain.train_dataloader(), strict=True)
        for one, other in zip(a.images, b.images, strict=True)
    ]
    equal = [torch.equal(one, other) for one, other in pairs]
    assert 4 < sum(equal) < 20
    assert all(torch.equal(one.flip(-1), other) for same, (one, other) in zip(equal, pairs, strict=True) if not same)


def test_repeated_augmentation(root: Path) -> None:
    data = opened(root, repetitions=3, batch_size=6)
    batches = list(data.train_dataloader())
    assert len(batches) == 4
    for batch in batches:
        images = batch.indices % 24
        assert images.tolist() == [index for index in images[::3].tolist() for _ in range(3)]
        assert len(set(batch.indices.tolist())) == 6
        assert not torch.equal(batch.images[0], batch.images[1])
        assert batch.labels[0] == batch.labels[1] == batch.labels[2]


def test_leaving_an_epoch_early_ends_its_threads(root: Path) -> None:
    data = opened(root)
    before = threading.active_count()
    for batch in data.train_dataloader():
        assert len(batch.labels) == 4
        break
    data.teardown("fit")
    assert threading.active_count() <= before


def damage(root: Path, split: str = "val") -> str:
    """Change a byte of the second photograph of a split; returns its file."""
    if (root / split / WNIDS[0]).is_dir():
        path = root / split / WNIDS[0] / f"{WNIDS[0]}_1.JPEG"
        path.write_bytes(path.read_bytes()[:-3000] + bytes(3000))
    else:
        records = np.load(root / f"{split}.npy")
        path = root / split / "shard-00000.tar"
        content = bytearray(path.read_bytes())
        content[int(records["offset"][1]) + 900] ^= 1
        path.write_bytes(content)
    return f"{split}/{WNIDS[0]}/{WNIDS[0]}_1.JPEG"


def test_a_damaged_photograph_is_named(tmp_path: Path) -> None:
    root = write_shards(tmp_path / "imagenet")
    file = damage(root)
    with pytest.raises(ValueError, match=f"{file} cannot be used: it has changed since .* --data.broken=skip"):
        list(opened(root).val_dataloader())


def test_a_damaged_photograph_is_left_out_if_asked_for(tmp_path: Path) -> None:
    root = write_shards(tmp_path / "imagenet")
    damage(root)
    damage(root, "train")
    data = opened(root, broken="skip")
    with pytest.warns(UserWarning, match="n01440764_1.JPEG is left out .*; 1 so far"):
        (batch,) = data.val_dataloader()
    assert batch.labels.tolist().count(-1) == 1
    with pytest.warns(UserWarning, match="left out"):
        batches = list(data.train_dataloader())
    assert min(int(batch.labels.min()) for batch in batches) == 0  # its place was taken by the next one
    assert all(image.any() for batch in batches for image in batch.images)


def test_a_truncated_photograph_of_a_tree_is_named(tmp_path: Path) -> None:
    root = write_tree(tmp_path / "imagenet")
    data = opened(root)
    path = root / "val" / WNIDS[0] / f"{WNIDS[0]}_1.JPEG"
    path.write_bytes(path.read_bytes()[:-500])
    with pytest.raises(ValueError, match=f"val/{WNIDS[0]}/{WNIDS[0]}_1.JPEG cannot be used: it has changed since"):
        list(data.val_dataloader())
    path.unlink()
    with pytest.raises(ValueError, match=f"{WNIDS[0]}_1.JPEG cannot be used: it cannot be read"):
        list(data.val_dataloader())


def without_a_class(root: Path) -> None:
    (root / "val" / WNIDS[1]).rename(root / "val" / "n99999999")


def with_an_empty_class(root: Path) -> None:
    for path in (root / "train" / WNIDS[2]).iterdir():
        path.unlink()


def with_a_text_file(root: Path) -> None:
    (root / "train" / WNIDS[2] / "note.jpg").write_text("no image")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (without_a_class, "classes of .*train and .*val differ .n01443537, n99999999"),
        (with_an_empty_class, "n01484850 has no image: restore it"),
        (with_a_text_file, "note.jpg is no image"),
    ],
)
def test_a_tree_that_is_not_as_it_should_be_is_refused(
    tmp_path: Path, spoil: Callable[[Path], None], message: str
) -> None:
    root = write_tree(tmp_path / "imagenet")
    spoil(root)
    with pytest.raises(ValueError, match=message):
        ImageNet(root=str(root))


def test_long_names_of_a_tree_are_read_whole(tmp_path: Path) -> None:
    tree = write_tree(tmp_path / "tree")
    name = "a longer name than those of ILSVRC's photographs, with an ä in it.jpg"
    (tree / "val" / WNIDS[0] / f"{WNIDS[0]}_1.JPEG").rename(tree / "val" / WNIDS[0] / name)
    split = opened_folder.open_copy(str(tree)).split("val")
    assert name.encode() in split.records["name"].tolist()
    assert all(split.read(row) for row in range(len(split.records)))


def test_a_tree_is_indexed_in_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = write_tree(tmp_path / "imagenet")
    monkeypatch.setattr(reader, "CACHE", tmp_path / "cache")
    assert len(list(opened(root).val_dataloader())) == 1
    assert not (root / MANIFEST).exists()
    monkeypatch.setattr(opened_folder, "_read_split", None)  # it is there already
    assert len(list(opened(root).val_dataloader())) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "batch_size=0 is too small"),
        ({"batch_size": 25}, "larger than the 24 training images"),
        ({"threads": 0}, "threads=0 is too small"),
        ({"repetitions": 0}, "repetitions=0 is too small"),
        ({"random_erasing": 1.5}, "random_erasing=1.5 must be a share"),
        ({"mixup": -1.0}, "must not be negative"),
        ({"val_size": 24}, "leaves none of the 24 training images"),
        ({"crop_side": 16}, "raise --data.crop_side"),
        ({"training_sides": (60, 40)}, "the shorter first"),
    ],
)
def test_arguments_out_of_range_are_refused(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    root = write_shards(tmp_path / "imagenet")
    with pytest.raises(ValueError, match=message):
        opened(root, **{"training_crop": "scaled", **options}).train_dataloader()


def test_a_missing_copy_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no prepared ImageNet at .* `python -m datamodules.imagenet prepare`"):
        ImageNet(root=str(tmp_path))


def test_an_index_of_another_copy_is_refused(tmp_path: Path) -> None:
    root = write_shards(tmp_path / "imagenet")
    (root / "val.npy").write_bytes((root / "train.npy").read_bytes())
    with pytest.raises(ValueError, match="val.npy is not what manifest.json says: prepare it again"):
        opened(root)
    (root / MANIFEST).write_text("{}")
    with pytest.raises(ValueError, match="is not the manifest of a prepared data set"):
        opened(root)
    (root / MANIFEST).write_text(json.dumps({"format": 2}))
    with pytest.raises(ValueError, match="has format 2, .* prepare it again"):
        opened(root)


def test_a_copy_in_an_object_store_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import fsspec

    monkeypatch.setattr("datamodules.photographs.reader.CACHE", tmp_path / "cache")
    local = write_shards(tmp_path / "imagenet")
    store = fsspec.filesystem("memory")
    store.put(str(local), "/bucket/imagenet", recursive=True)
    here, there = opened(local), opened("memory://bucket/imagenet")
    for one, other in zip(here.train_dataloader(), there.train_dataloader(), strict=True):
        assert torch.equal(one.images, other.images)
    with pytest.raises(ValueError, match="no prepared ImageNet at memory://nowhere"):
        ImageNet(root="memory://nowhere")
    with pytest.raises(ValueError, match="cannot be opened .* install the library"):
        ImageNet(root="unheardof://bucket")


def test_a_copy_in_s3_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    s3fs = pytest.importorskip("s3fs")
    server_class = pytest.importorskip("moto.server").ThreadedMotoServer
    monkeypatch.setattr("datamodules.photographs.reader.CACHE", tmp_path / "cache")
    for name, value in (("ACCESS_KEY_ID", "test"), ("SECRET_ACCESS_KEY", "test"), ("DEFAULT_REGION", "us-east-1")):
        monkeypatch.setenv(f"AWS_{name}", value)
    server = server_class(port=0)
    server.start()
    try:
        host, port = server.get_host_and_port()
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        local = write_shards(tmp_path / "imagenet")
        s3fs.S3FileSystem.clear_instance_cache()
        store = s3fs.S3FileSystem()
        store.mkdir("bucket")
        store.put(str(local), "bucket/imagenet", recursive=True)
        here, there = opened(local), opened("s3://bucket/imagenet")
        for one, other in zip(here.train_dataloader(), there.train_dataloader(), strict=True):
            assert torch.equal(one.images, other.images)
        with pytest.raises(ValueError, match="no prepared ImageNet at s3://bucket/nothing"):
            ImageNet(root="s3://bucket/nothing")
    finally:
        server.stop()
