"""Anybody's pictures: what is read of a folder, how it is divided, and what happens when it changes."""

import io
import os
import shutil
import unicodedata
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from lightning.pytorch.trainer.states import TrainerFn
from PIL import Image
from torchvision.datasets import ImageFolder as OfTorchvision

from datamodules import ImageFolder
from datamodules.image_folder import held_out
from datamodules.photographs import opened_folder, reader
from tests.datamodules.imagenet import odd_files
from tests.datamodules.photographs.made_photographs import WNIDS, jpeg, photograph, write_shards, write_tree

SMALL: dict[str, Any] = {"image_size": 16, "crop_side": 20, "threads": 2}
PICTURE = jpeg(photograph(0, (24, 20)))


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(reader, "CACHE", tmp_path / "cache")
    return tmp_path / "cache"


def opened(root: Path | str, **options: Any) -> ImageFolder:
    data = ImageFolder(root=str(root), **{**SMALL, **options})
    data.setup()
    return data


def write(root: Path, *names: str, content: bytes = PICTURE) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    return root


def pets(root: Path, each: int = 10) -> Path:
    return write(root, *(f"{name}/{number}.jpg" for name in ("cat", "dog") for number in range(each)))


def files(data: ImageFolder, split: str) -> set[str]:
    source = data._splits[split]
    return {source.split.file(int(row)) for row in source.rows_of(torch.arange(source.size))}


STRANGE = (
    "cat/UPPER.JPG",
    "cat/a line\nbreak.png",
    "cat/sub folder/deeper/1.Jpeg",
    "cat/😀 and spaces.webp",
    f"cat/{'long ' * 45}.jpg",
    "/".join(["고양이"] + ["n" * 80] * 5 + ["1.bmp"]),
    unicodedata.normalize("NFD", "고양이/사진 é.tiff"),
    "dog/x.ppm",
    "dog/x.pgm",
    "dog/x.tif",
    "dog/no image.txt",
    "dog/animated.gif",
)


def write_strange(root: Path) -> Path:
    for name in STRANGE:
        write(root, name)
    write(root / os.fsdecode(b"\xff\xfe latin"), os.fsdecode(b"\xe9.png"))
    write(root.parent / "elsewhere", "linked/1.png")
    (root / "a link").symlink_to(root.parent / "elsewhere" / "linked")
    (root / "dog" / "link.png").symlink_to(root.parent / "elsewhere" / "linked" / "1.png")
    return root


def test_what_is_read_is_what_torchvision_reads(tmp_path: Path) -> None:
    root = write_strange(tmp_path / "strange")
    expected = OfTorchvision(root)
    data = opened(root, val_fraction=1)
    source = data._splits["val"]
    paths = [(str(source.split.path(row)), int(source.split.records["label"][row])) for row in range(source.size)]
    assert sorted(paths) == sorted(expected.samples)
    assert [os.fsdecode(name) for name in data.copy.folder.classes] == expected.classes  # type: ignore[union-attr]
    assert data.class_names[0] == "a link"
    assert all(name.isprintable() for name in data.class_names)
    assert sum(len(batch.labels) for batch in data.val_dataloader()) == len(expected.samples)


def test_hidden_and_system_files_are_ignored_and_what_is_left_out_is_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    root = pets(tmp_path / "pets", each=2)
    hidden = (".ipynb_checkpoints/0.jpg", "cat/._0.jpg", "cat/.DS_Store", "dog/@eaDir/0.jpg/SYNO.jpg", "Thumbs.db")
    write(root, *hidden, "cat/desktop.ini", "__MACOSX/cat/0.jpg")
    write(root, "cat/note.txt", "cat/a.gif", "cat/b.gif", "cat/c.gif", "cat/d.GIF", "beside.jpg", "cat/README")
    (root / "dog" / "broken.jpg").symlink_to(root / "nowhere")
    (root / "dog" / "loop").symlink_to(root / "dog")
    (root / "dog" / "loop.jpg").symlink_to("loop.jpg")
    os.mkfifo(root / "dog" / "pipe.jpg")
    with caplog.at_level("INFO"):
        data = opened(root)
    assert files(data, "train") | files(data, "val") == {f"{name}/{n}.jpg" for name in ("cat", "dog") for n in (0, 1)}
    for part in (
        "4 .gif (cat/a.gif, cat/b.gif, cat/c.gif, …)",
        "1 .txt (cat/note.txt)",
        "1 without a suffix (cat/README)",
        "1 beside the folders of the classes (beside.jpg)",
        "2 broken links (dog/broken.jpg, dog/loop.jpg)",
        "1 links that lead back (dog/loop)",
        "1 no regular files (dog/pipe.jpg)",
        "7 hidden or of the system",
    ):
        assert part in caplog.text
    assert data.description()["left_out"][".gif"] == 4


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    content = io.BytesIO()
    image.save(content, kind, **options)
    return content.getvalue()


ODD = {
    "cmyk.jpg": odd_files.CMYK,
    "gray.jpg": odd_files.GRAY,
    "rotated.jpg": odd_files.ROTATED,
    "lies.jpg": odd_files.PNG,
    "palette.png": saved(photograph(1, (30, 20)).quantize(8), "PNG"),
    "transparent.png": saved(photograph(1, (30, 20)).convert("RGBA"), "PNG"),
    "transparent.webp": saved(photograph(1, (30, 20)).convert("RGBA"), "WEBP", lossless=True),
    "two colors.tif": saved(photograph(1, (30, 20)).convert("1"), "TIFF"),
    "header at the end.tiff": saved(photograph(1, (400, 300)), "TIFF"),
    "animated.png": saved(photograph(1, (30, 20)), "GIF", save_all=True, append_images=[photograph(2, (30, 20))]),
    "map.pgm": saved(photograph(1, (30, 20)).convert("L"), "PPM"),
}


def test_pixels_are_those_of_torchvision(tmp_path: Path) -> None:
    for name, content in ODD.items():
        write(tmp_path / "odd", f"all/{name}", content=content)
    data = opened(tmp_path / "odd", val_fraction=1)
    source = data._splits["val"]
    for row in range(source.size):
        path = source.split.path(row)
        width, height = source._stored_size(row)
        expected, _ = OfTorchvision(tmp_path / "odd", is_valid_file=lambda name, path=path: name == str(path))[0]
        assert (width, height) == expected.size
        view = opened_folder_view(source.split.read(row), width, height)
        assert np.abs(view - np.asarray(expected, int)).max() <= 1, path


def opened_folder_view(data: bytes, width: int, height: int) -> np.ndarray:
    from datamodules.photographs.decoder import exact_view

    return exact_view(data, (0, 0, width, height), (height, width)).astype(int)


def test_sixteen_bits_become_eight(tmp_path: Path) -> None:
    write(tmp_path / "x", "all/16.png", content=odd_files.GRAY_16)
    (batch,) = opened(tmp_path / "x", val_fraction=1).val_dataloader()
    assert 100 < batch.images.float().mean() < 155  # PIL alone would make it white


def test_layouts(tmp_path: Path) -> None:
    three = tmp_path / "three"
    for split, each in (("train", 5), ("valid", 3), ("test", 2)):
        pets(three / split, each)
    data = opened(three)
    assert [data._splits[name].size for name in ("train", "val", "test")] == [10, 6, 4]
    assert data.description()["selection_split"] == "val"
    assert data.description()["verified"] is None
    shutil.rmtree(three / "test")
    data = opened(three)
    assert [data._splits[name].size for name in ("train", "val", "test")] == [10, 6, 6]
    assert data.description()["selection_split"] == "test"
    held = opened(three, val_size=4)
    assert [held._splits[name].size for name in ("train", "val", "test")] == [6, 4, 6]
    shutil.rmtree(three / "valid")
    assert {name: source.size for name, source in opened(three)._splits.items()} == {"train": 8, "val": 2, "test": 2}
    (three / "train").rename(three / "val")
    only = opened(three)
    assert {name: source.size for name, source in only._splits.items()} == {"val": 10, "test": 10}
    with pytest.raises(ValueError, match="three has no training images"):
        only.setup("fit")


def test_a_class_may_be_called_train(tmp_path: Path) -> None:
    root = write(tmp_path / "traffic", *(f"{name}/{n}.png" for name in ("bus", "car", "train") for n in range(2)))
    assert opened(root).class_names == ("bus", "car", "train")


@pytest.mark.parametrize("within", ["", "train/"])
def test_pictures_without_classes(tmp_path: Path, within: str) -> None:
    root = write(tmp_path / "faces", *(f"{within}{number}.jpg" for number in range(10)))
    data = opened(root, normalization="symmetric")
    assert (data.num_classes, data.class_names) == (1, ("unlabeled",))
    assert [data._splits[name].size for name in ("train", "val")] == [8, 2]


def test_each_class_has_its_share_held_out_by_names(tmp_path: Path) -> None:
    root = write(pets(tmp_path / "pets", 10), "single/1.jpg", *(f"bird/{n}.jpg" for n in range(3)))
    data = opened(root)
    first = files(data, "val")
    assert sorted(name.split("/")[0] for name in first) == ["bird", "cat", "cat", "dog", "dog"]
    assert first.isdisjoint(files(data, "train"))
    assert files(opened(root), "val") == first
    assert files(opened(root, seed=1), "val") == first
    assert files(opened(root, split_seed=1), "val") != first
    moved = shutil.copytree(root, tmp_path / "moved")
    assert files(opened(moved), "val") == first
    write(root, "dog/new.jpg")
    now = files(opened(root), "val")
    assert len(now - first) <= 1, "a new picture moves no others to another split"


def test_held_out_numbers() -> None:
    labels = np.repeat([0, 1, 2, 3], [100, 10, 2, 1])
    keys = np.random.default_rng(0).permutation(len(labels))
    for share, counts in ((0.2, [20, 2, 1, 0]), (0.99, [99, 9, 1, 0]), (0.001, [1, 1, 1, 0]), (1.0, [100, 10, 2, 1])):
        assert np.bincount(labels[held_out(labels, keys, share)], minlength=4).tolist() == counts
    assert len(held_out(labels, keys, 11)) == 11
    assert np.bincount(labels[held_out(labels, keys, 11)]).tolist()[:2] == [10, 1]


@pytest.mark.parametrize(("each", "batch"), [(1, 2), (3, 2), (15, 2), (40, 32)])
def test_batches_fit_small_sets(tmp_path: Path, each: int, batch: int) -> None:
    pets(tmp_path / "pets" / "train", each)
    pets(tmp_path / "pets" / "val", 1)
    data = opened(tmp_path / "pets")
    assert data.batch_size == batch
    assert len(list(data.train_dataloader())) >= 1


def test_names(tmp_path: Path) -> None:
    assert opened(pets(tmp_path / "my pets")).name == "my pets"
    assert opened(f"{tmp_path / 'my pets'}/").name == "my pets"
    assert opened(tmp_path / "my pets", name="others").name == "others"
    assert opened(pets(tmp_path / "cifar10")).name == "cifar10 folder"
    assert opened(pets(tmp_path / unicodedata.normalize("NFD", "고양이"))).name == "고양이"
    assert len(opened(tmp_path / "my pets", name="x" * 100).name) == 64
    assert opened(tmp_path / "my pets", name="a\nb").description()["name"].isprintable()


def test_a_change_is_taken_in_with_a_line(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    root = pets(tmp_path / "pets", 10)
    opened(root)
    write(root, *(f"bird/{number}.jpg" for number in range(20)))
    write(root, "cat/0.jpg", content=jpeg(photograph(9, (30, 20))))
    (root / "dog" / "3.jpg").unlink()
    caplog.clear()
    with caplog.at_level("INFO"):
        data = opened(root)
    assert "pets has changed since it was last read: 1 changed (cat/0.jpg), 1 gone (dog/3.jpg), 20 new (bird/0.jpg" in (
        caplog.text
    )
    assert data.class_names == ("bird", "cat", "dog")
    source = data._splits["train"]
    (row,) = [row for row in range(len(source.split.records)) if source.split.file(row) == "cat/0.jpg"]
    assert source._stored_size(row) == (30, 20)
    caplog.clear()
    opened(root)
    assert "changed" not in caplog.text
    shutil.rmtree(root / "bird")
    os.utime(root / "cat" / "1.jpg")
    with caplog.at_level("INFO"):
        assert opened(root).num_classes == 2
    assert "1 changed (cat/1.jpg), 20 gone" in caplog.text


def test_only_files_that_are_new_are_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = pets(tmp_path / "pets", 3)
    opened(root)
    write(root, "cat/new.jpg")
    read: list[str] = []
    header = opened_folder._header
    monkeypatch.setattr(opened_folder, "_header", lambda path: read.append(path.name) or header(path))
    opened(root)
    assert read == ["new.jpg"]


def test_a_run_goes_on_with_the_same_pictures_only(tmp_path: Path) -> None:
    root = pets(tmp_path / "pets", 10)
    state = opened(root, batch_size=4).state_dict()

    def resume(folder: Path, function: TrainerFn = TrainerFn.FITTING) -> None:
        data = opened(folder, batch_size=4)
        fit_loop = SimpleNamespace(
            epoch_progress=SimpleNamespace(current=SimpleNamespace(processed=0)),
            epoch_loop=SimpleNamespace(batch_progress=SimpleNamespace(current=SimpleNamespace(ready=0))),
        )
        data.trainer = SimpleNamespace(  # type: ignore[assignment]
            state=SimpleNamespace(fn=function), fit_loop=fit_loop, global_rank=0, world_size=1, overfit_batches=0
        )
        data.load_state_dict(state)

    resume(root)
    resume(shutil.copytree(root, tmp_path / "moved", copy_function=shutil.copyfile))  # with other times
    write(root, "cat/new.jpg")
    with pytest.raises(ValueError, match=r"pets has changed since this run began \(1 new \(cat/new.jpg\)\)"):
        resume(root)
    resume(root, TrainerFn.TESTING)
    shutil.rmtree(tmp_path / "cache")
    with pytest.raises(ValueError, match="has changed since this run began .16 images were trained on"):
        resume(root)
    (root / "cat").rename(root / "zebra")
    with pytest.raises(ValueError, match="trained on other classes .*missing: cat; new: zebra"):
        resume(root, TrainerFn.TESTING)


def test_files_that_are_no_images(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    root = write(pets(tmp_path / "pets", 10), "cat/empty.jpg", "dog/x.png", content=b"")
    write(root, "dog/text.jpg", content=b"<html>")
    for _ in range(2):  # from the index too
        with pytest.raises(ValueError, match="pets/.*empty.jpg is no image, and 2 more are none .*--data.broken=skip"):
            ImageFolder(root=str(root))
    with caplog.at_level("INFO"):
        data = opened(root, broken="skip", batch_size=4)
    assert f"3 files of {root} are no images and are left out (cat/empty.jpg" in caplog.text
    assert data._splits["train"].size + data._splits["val"].size == 20
    assert sum(len(batch.labels) for batch in data.train_dataloader()) == 16


def test_a_broken_picture_is_replaced_by_none_that_is_held_out(tmp_path: Path) -> None:
    root = pets(tmp_path / "pets", 10)
    data = opened(root, broken="skip", batch_size=16)
    trained_on, held = files(data, "train"), files(data, "val")
    for file in sorted(trained_on)[1:]:
        (root / file).write_bytes(bytes((root / file).stat().st_size))
    for file in held:
        (root / file).write_bytes(jpeg(photograph(1, (24, 20))))
    with pytest.warns(UserWarning, match="left out"):
        (batch,) = data.train_dataloader()
    whole = {tuple(image.flatten().tolist()) for image in batch.images}
    assert len(whole) <= 4, "crops, plain or mirrored, of the one picture that can be trained on"
    assert data._splits["train"].skipped == trained_on - {min(trained_on)}


def refuse(root: Path, message: str, **options: Any) -> None:
    with pytest.raises(ValueError, match=message):
        opened(root, **options)


def test_mistakes(tmp_path: Path) -> None:
    refuse(tmp_path / "nowhere", "nowhere cannot be read .No such file or directory.: name a folder")
    (tmp_path / "empty").mkdir()
    refuse(tmp_path / "empty", r"empty holds no image \(\.jpg, .*\.webp\): name the folder")
    refuse(write(tmp_path / "gifs", "a/1.gif"), r"gifs holds no image .*, but 1 \.gif \(a/1.gif\)")
    write(tmp_path / "file", "x")
    refuse(tmp_path / "file" / "x", "cannot be read .Not a directory")
    root = pets(tmp_path / "pets")
    refuse(root, "val_fraction=0 must be a share", val_fraction=0)
    refuse(root, "val_size=20 leaves none of the 20", val_size=20)
    (root / "bird").mkdir()
    refuse(root, "bird has no image: restore it, or remove the class")
    both = tmp_path / "both"
    for split in ("train", "val", "valid"):
        pets(both / split)
    refuse(both, "both has val and valid: keep one")
    shutil.rmtree(both / "valid")
    (both / "val" / "dog").rename(both / "val" / "dogs")
    refuse(both, r"classes of .*train and .*val differ \(dog, dogs\): .*val has no folder dog")
    shutil.rmtree(both / "val" / "dogs")
    data = opened(both)
    assert data.num_classes == 2, "validation images may lack a class"
    (both / "val" / "cat").rename(both / "val" / "dog")
    (batch,) = opened(both).val_dataloader()
    assert batch.labels.tolist() == [1] * 10
    write(both, unicodedata.normalize("NFC", "train/é/1.jpg"), unicodedata.normalize("NFD", "val/é/1.jpg"))
    refuse(both, "written in two forms of Unicode")


@pytest.mark.skipif(os.getuid() == 0, reason="root may write everywhere")
def test_nothing_may_be_written(tmp_path: Path, cache: Path) -> None:
    root = pets(tmp_path / "pets")
    cache.mkdir()
    for folder in (root, cache):
        folder.chmod(0o555)
    assert opened(root).num_classes == 2


def test_a_cache_that_cannot_be_written_to(tmp_path: Path, cache: Path, caplog: pytest.LogCaptureFixture) -> None:
    root = pets(tmp_path / "pets")
    cache.write_bytes(b"a file stands in the way")
    with caplog.at_level("INFO"):
        assert opened(root).num_classes == 2
    assert "cannot be kept in" in caplog.text
    assert "XDG_CACHE_HOME" in caplog.text


@pytest.mark.parametrize("spoil", [lambda path: path.write_bytes(b""), lambda path: path.unlink()])
def test_a_damaged_index_is_made_anew(tmp_path: Path, cache: Path, spoil: Callable[[Path], Any]) -> None:
    root = pets(tmp_path / "pets")
    opened(root)
    for path in cache.rglob("*.npy"):
        spoil(path)
        assert opened(root)._splits["train"].size == 16


def test_a_user_s_own_manifest_and_an_index_of_older_versions_are_no_prepared_copy(tmp_path: Path) -> None:
    root = write_tree(tmp_path / "tree", train=2, val=1)
    (root / "manifest.json").write_text('{"files": []}')
    assert opened(root).class_names == WNIDS
    old = '{"format": 1, "layout": "tree", "splits": {}, "source": {"tree": "/x", "checksums": false}}'
    (root / "manifest.json").write_text(old)
    assert opened(root)._splits["train"].size == 6


def test_a_prepared_copy_is_read_too(tmp_path: Path) -> None:
    data = opened(write_shards(tmp_path / "pets", train=2, val=1))
    assert (data.name, data._splits["train"].size, data._splits["test"].size) == ("pets", 6, 3)


def test_a_folder_that_vanishes_is_named(tmp_path: Path) -> None:
    root = pets(tmp_path / "pets")
    data = opened(root)
    shutil.rmtree(root)
    with pytest.raises(ValueError, match=r"cannot be used: it cannot be read from .*pets"):
        list(data.val_dataloader())


def test_several_make_the_index_at_once(tmp_path: Path) -> None:
    root = pets(tmp_path / "pets", 20)
    with ThreadPoolExecutor(4) as threads:
        sizes = list(threads.map(lambda _: opened(root)._splits["train"].size, range(8)))
    assert sizes == [32] * 8
