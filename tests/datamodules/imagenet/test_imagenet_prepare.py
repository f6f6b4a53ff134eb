"""Preparing ImageNet from archives of the official form, and from a tree: what the copy holds, and what is refused."""

import errno
import hashlib
import io
import re
import shutil
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from datamodules.download import Checksum
from datamodules.imagenet.__main__ import main
from datamodules.imagenet.preparation import archives, originals, prepare, units
from datamodules.imagenet.preparation.classes import NAMED
from datamodules.photographs.reader import PreparedCopy
from records.files import whole_file
from tests.datamodules.imagenet import odd_files
from tests.datamodules.imagenet.archives_of_photographs import DEVKIT, TRAIN, VAL, tar_of
from tests.datamodules.imagenet.conftest import VAL_FILES, WNIDS, from_archives, run, train_files


@pytest.fixture
def mine(official: Path, tmp_path: Path) -> Path:
    """Archives that a test may change."""
    return Path(shutil.copytree(official, tmp_path / "archives"))


def refused(capsys: pytest.CaptureFixture[str], *options: str) -> str:
    capsys.readouterr()
    assert main(["prepare", *options, "--workers", "1"]) == 2
    *_, line = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    return line


def contents(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def test_archives_to_shards_of_the_original_files(official: Path, tmp_path: Path) -> None:
    manifest = from_archives(tmp_path / "copy", official, "--shorter_side", "original")
    copy = PreparedCopy(str(tmp_path / "copy"))
    assert [entry.wnid for entry in manifest.classes] == list(WNIDS)
    assert manifest.classes[0].names == ("word of n02000001", "second word")
    assert (manifest.layout, manifest.encoding, manifest.verified) == ("shards", {"kind": "original"}, False)

    files = {name: data for of_class in train_files().values() for name, data in of_class.items()}
    train = copy.split("train")
    assert len(manifest.splits["train"].shards) > 1
    names = [name.decode() for name in train.records["name"]]
    assert names == sorted(files)
    for row, name in enumerate(names):
        record, data = train.records[row], train.read(row)
        assert WNIDS[record["label"]] == name[:9]
        assert (record["width"], record["height"]) == Image.open(io.BytesIO(files[name])).size
        assert (data == files[name]) == (files[name] not in (odd_files.PNG, odd_files.CMYK))
        assert Image.open(io.BytesIO(data)).format == "JPEG"

    val = copy.split("val")
    assert [WNIDS[label] for label in val.records["label"]] == [wnid for wnid, _ in VAL_FILES]
    assert [val.read(row) for row in range(10)] == [data for _, data in VAL_FILES]
    assert [(entry.name[-11:], entry.what, entry.action) for entry in manifest.odd] == [
        ("0001_5.JPEG", "png", "converted"),
        ("0001_6.JPEG", "cmyk", "converted"),
        ("0002_5.JPEG", "gray", "kept"),
        ("0002_6.JPEG", "exif", "kept"),
    ]


def test_shards_are_read_as_webdataset_reads_them(official: Path, tmp_path: Path) -> None:
    manifest = from_archives(tmp_path / "copy", official, "--shorter_side", "64")
    samples: dict[str, dict[str, bytes]] = {}
    for shard in manifest.splits["val"].shards:
        assert hashlib.sha256((tmp_path / "copy" / shard.file).read_bytes()).hexdigest() == shard.sha256
        with tarfile.open(tmp_path / "copy" / shard.file) as tar:
            for member in tar:
                assert (member.mtime, member.uid, member.uname) == (0, 0, "")
                stem, suffix = member.name.split(".")
                samples.setdefault(stem, {})[suffix] = tar.extractfile(member).read()  # type: ignore[union-attr]
    assert [WNIDS[int(sample["cls"])] for sample in samples.values()] == [wnid for wnid, _ in VAL_FILES]
    assert {Image.open(io.BytesIO(sample["jpg"])).size for sample in samples.values()} == {(64, 85)}


def test_a_tree_and_the_archives_give_the_same_photographs(official: Path, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    from_archives(tree, official, "--layout", "tree", "--shorter_side", "original")
    assert (tree / "train/n02000003/n02000003_30.JPEG").read_bytes() == train_files()["n02000003"]["n02000003_30.JPEG"]
    (tree / ".DS_Store").write_bytes(b"hidden")
    (tree / "train/n02000003/.hidden").write_bytes(b"hidden")
    directly = from_archives(tmp_path / "directly", official, "--shorter_side", "64")
    through = run(tmp_path / "through", "--tree", str(tree), "--shorter_side", "64", "--devkit", str(official / DEVKIT),
                  "--no_verify")  # fmt: skip
    assert through.classes == directly.classes
    for split in ("train", "val"):
        one, other = (PreparedCopy(str(tmp_path / name)).split(split) for name in ("directly", "through"))
        assert np.array_equal(one.records[["name", "label"]], other.records[["name", "label"]])
        if split == "val":
            assert one.records["crc32"].tolist() == other.records["crc32"].tolist()
    in_tree = PreparedCopy(str(tree)).split("val")
    assert [in_tree.read(row) for row in range(10)] == [data for _, data in VAL_FILES]


@pytest.mark.parametrize("layout", ["shards", "tree"])
@pytest.mark.slow(1)
def test_any_number_of_processes_gives_the_same_bytes(official: Path, tmp_path: Path, layout: str) -> None:
    one = from_archives(tmp_path / "one", official, "--layout", layout, "--shorter_side", "64")
    from_archives(tmp_path / "three", official, "--layout", layout, "--shorter_side", "64", "--workers", "3")
    assert contents(tmp_path / "one") == contents(tmp_path / "three")
    assert main(["verify", str(tmp_path / "three"), "--workers", "2"]) == 0
    assert sum(entry.images for entry in one.splits.values()) == 26


@pytest.mark.parametrize(("choice", "wnids"), [("2", WNIDS[:2]), ("file", ("n02000002", "n02000004")), ("4", WNIDS)])
def test_subsets(official: Path, tmp_path: Path, choice: str, wnids: tuple[str, ...]) -> None:
    if choice == "file":
        choice = str(tmp_path / "file")
        Path(choice).write_text("n02000004  a comment\n\nn02000002\n")
    manifest = from_archives(tmp_path / "copy", official, "--classes", choice)
    assert tuple(entry.wnid for entry in manifest.classes) == wnids
    val = PreparedCopy(str(tmp_path / "copy")).split("val")
    wanted = [(wnid, data) for wnid, data in VAL_FILES if wnid in wnids]
    assert [(wnids[record["label"]], val.read(row)) for row, record in enumerate(val.records)] == wanted


def test_named_subsets_are_of_ten_classes() -> None:
    for wnids in NAMED.values():
        assert len(set(wnids)) == 10
        assert all(re.fullmatch(r"n\d{8}", wnid) for wnid in wnids)


@pytest.fixture
def publish(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], None]:
    """Take archives for the published ones."""

    def set_checksums(folder: Path) -> None:
        for name in (TRAIN, VAL, DEVKIT):
            digest = hashlib.md5((folder / name).read_bytes(), usedforsecurity=False).hexdigest()
            monkeypatch.setitem(archives.PUBLISHED, name, Checksum("md5", digest))

    return set_checksums


def test_md5_is_verified_once(
    official: Path,
    tmp_path: Path,
    publish: Callable[[Path], None],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    publish(official)
    read: list[str] = []

    def list_members(path: Path, checksum: Checksum | None, *, of_classes: bool) -> Any:
        read.append(path.name)
        return archives.list_members(path, checksum, of_classes=of_classes)

    monkeypatch.setattr(originals, "list_members", list_members)
    with monkeypatch.context() as patch:
        patch.setattr(prepare, "run_in_processes", stop)
        refused(capsys, str(tmp_path / "copy"), "--archives", str(official))
    assert read == [VAL, TRAIN]
    manifest = run(tmp_path / "copy", "--archives", str(official), "--shard_megabytes", "256")
    assert read == [VAL, TRAIN]
    assert manifest.verified
    assert manifest.source["val"] == {
        "file": VAL,
        "bytes": (official / VAL).stat().st_size,
        "md5": archives.PUBLISHED[VAL].digest,
    }


def stop(*_: object, **__: object) -> None:
    raise ValueError("stopped here")


def test_archives_that_are_not_the_published_ones(
    mine: Path, tmp_path: Path, publish: Callable[[Path], None], capsys: pytest.CaptureFixture[str]
) -> None:
    publish(mine)
    options = (str(tmp_path / "copy"), "--archives", str(mine))
    for name in (TRAIN, VAL, DEVKIT):
        good = (mine / name).read_bytes()
        (mine / name).write_bytes(good + b"\0")
        line = refused(capsys, *options)
        assert f"{mine / name} is not the published archive (md5 " in line
        assert "--no_verify" in line
        (mine / name).write_bytes(good)
    assert main(["prepare", *options, "--workers", "1"]) == 0


def test_a_missing_archive(mine: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (mine / VAL).unlink()
    line = refused(capsys, str(tmp_path / "copy"), "--archives", str(mine))
    assert f"{mine / VAL} is missing: download {VAL}" in line
    assert not (tmp_path / "copy").exists()
    assert "--devkit is missing" in refused(capsys, "x", "--train", str(mine / TRAIN), "--val", str(mine / TRAIN))


@pytest.mark.parametrize("where", ["between", "inside", "header"])
def test_a_damaged_archive(mine: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], where: str) -> None:
    content = bytearray((mine / TRAIN).read_bytes())
    with tarfile.open(mine / TRAIN) as tar:
        *_, before_last, last = tar.getmembers()
    if where == "between":  # cut before a class
        content = content[: last.offset]
    elif where == "inside":
        content = content[: last.offset_data + last.size // 2]
    else:  # of a photograph
        content[before_last.offset_data + 3] ^= 255
    (mine / TRAIN).write_bytes(content)
    line = refused(capsys, str(tmp_path / "copy"), "--archives", str(mine), "--no_verify")
    assert str(mine / TRAIN) in line
    assert {"between": "no photograph of", "inside": "download it again", "header": "download it again"}[where] in line


def test_archives_that_do_not_belong_together(mine: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = (str(tmp_path / "copy"), "--archives", str(mine), "--no_verify")
    val = {f"ILSVRC2012_val_{number:08d}.JPEG": odd_files.ORDINARY for number in range(1, 10)}
    good = (mine / VAL).read_bytes()
    (mine / VAL).write_bytes(tar_of(val))
    assert "holds 9 photographs, but" in refused(capsys, *options)
    (mine / VAL).write_bytes(tar_of({**val, "../outside.JPEG": odd_files.ORDINARY}))
    assert "'../outside.JPEG'" in refused(capsys, *options)
    (mine / VAL).write_bytes(good)
    (mine / TRAIN).write_bytes(tar_of({"n02000001.tar": tar_of({"n02000002_1.JPEG": odd_files.ORDINARY})}))
    assert "a photograph of another class" in refused(capsys, *options)
    (mine / DEVKIT).write_bytes(b"no kit")
    assert "cannot be read as the development kit" in refused(capsys, *options)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for split in ("train", "val"):
        for wnid in WNIDS:
            (tmp_path / "tree" / split / wnid).mkdir(parents=True)
            (tmp_path / "tree" / split / wnid / f"{wnid}_{split}.JPEG").write_bytes(odd_files.ORDINARY)
    return tmp_path / "tree"


def test_a_tree_that_is_not_complete(tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = (str(tmp_path / "copy"), "--tree", str(tree))
    (tree / "train/n02000004/n02000004_train.JPEG").unlink()
    assert "n02000004 has no image" in refused(capsys, *options)
    (tree / "train/n02000004").rmdir()
    assert f"{tree / 'train'} has no folder n02000004" in refused(capsys, *options)
    (tree / "val/list.txt").write_text("")
    assert "list.txt is no folder of a class" in refused(capsys, *options)
    shutil.rmtree(tree / "val")
    assert f"{tree / 'val'} is missing" in refused(capsys, *options)


def test_names_that_a_shard_cannot_hold(tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = (str(tmp_path / "copy"), "--tree", str(tree))
    long = tree / "val/n02000001" / f"{'x' * 40}.JPEG"
    long.write_bytes(odd_files.ORDINARY)
    assert "at most 32 plain characters" in refused(capsys, *options)
    long.unlink()
    for wnid in WNIDS[:2]:
        (tree / "val" / wnid / "1.jpg").write_bytes(odd_files.ORDINARY)
    assert "2 images named 1" in refused(capsys, *options)
    manifest = run(tmp_path / "as a tree", "--tree", str(tree), "--layout", "tree")
    assert manifest.splits["val"].images == 6


@pytest.mark.parametrize("layout", ["shards", "tree"])
def test_broken_images_end_it_or_are_left_out(
    tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], layout: str
) -> None:
    for number, (data, _) in enumerate(odd_files.BROKEN.values()):
        (tree / "val/n02000002" / f"broken_{number}.JPEG").write_bytes(data)
    options = (str(tmp_path / "copy"), "--tree", str(tree), "--layout", layout)
    line = refused(capsys, *options)
    assert "n02000002/broken_0.JPEG is broken, it has no bytes" in line
    assert "--broken skip" in line
    assert main(["prepare", *options, "--broken", "skip", "--workers", "1"]) == 0
    manifest = PreparedCopy(str(tmp_path / "copy")).manifest
    assert manifest.splits["val"].images == len(WNIDS)
    assert [entry.action for entry in manifest.odd] == ["left out"] * len(odd_files.BROKEN)
    assert not any("0x" in entry.what for entry in manifest.odd), "an address would differ in each preparation"
    assert f"left out   {len(odd_files.BROKEN)}\n  val/broken_0.JPEG: it has no bytes" in capsys.readouterr().out
    assert main(["verify", str(tmp_path / "copy")]) == 0


def test_a_full_disk_in_the_middle(
    official: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = tmp_path / "whole"
    from_archives(whole, official)
    writes = 0

    class Filling:
        """A file on a disk that is full after a while."""

        def __init__(self, file: Any) -> None:
            self.file = file

        def write(self, data: bytes) -> int:
            nonlocal writes
            writes += 1
            if writes == 60:
                raise OSError(errno.ENOSPC, "No space left on device")
            return self.file.write(data)

        def __getattr__(self, name: str) -> Any:
            return getattr(self.file, name)

    @contextmanager
    def on_a_small_disk(path: Path) -> Iterator[Any]:
        with whole_file(path) as file:
            yield Filling(file) if path.suffix == ".tar" else file

    options = (str(tmp_path / "copy"), "--archives", str(official), "--no_verify", "--shard_megabytes", "0.05")
    with monkeypatch.context() as patch:
        patch.setattr(units, "whole_file", on_a_small_disk)
        line = refused(capsys, *options)
    assert f"The disk of {tmp_path / 'copy'} is full: free some space" in line
    assert not list((tmp_path / "copy").rglob("*.part"))
    done = set(contents(tmp_path / "copy"))
    assert "train/shard-00000.tar" in done
    before = (tmp_path / "copy/train/shard-00000.tar").stat().st_mtime_ns
    from_archives(tmp_path / "copy", official)
    assert (tmp_path / "copy/train/shard-00000.tar").stat().st_mtime_ns == before
    assert contents(tmp_path / "copy") == contents(whole)


def test_too_little_room_is_said_before_the_start(
    official: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    usage = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    line = refused(capsys, str(tmp_path / "copy"), "--archives", str(official), "--no_verify")
    assert f"{tmp_path / 'copy'} needs about 0.0 GB, and its disk has 0.0 GB free" in line
    monkeypatch.undo()
    from_archives(tmp_path / "copy", official, "--shorter_side", "64")  # as the line says


def test_a_begun_copy_goes_on_with_the_same_options_only(
    official: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    options = (str(tmp_path / "copy"), "--archives", str(official), "--no_verify")
    with monkeypatch.context() as patch:
        patch.setattr(prepare, "run_in_processes", stop)
        refused(capsys, *options)
    assert "begun with other options (quality 90 → 80)" in refused(capsys, *options, "--quality", "80")
    assert main(["prepare", *options, "--workers", "2"]) == 0
    assert main(["prepare", *options]) == 0, "a complete copy stays"
    assert "begun with other options (kind jpeg → original" in refused(capsys, *options, "--shorter_side", "original")


def test_a_tree_that_has_changed_is_not_mixed(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    options = (str(tmp_path / "copy"), "--tree", str(tree))
    with monkeypatch.context() as patch:
        patch.setattr(prepare, "run_in_processes", stop)
        refused(capsys, *options)
    (tree / "val/n02000001/new.JPEG").write_bytes(odd_files.ORDINARY)
    assert "the photographs have changed" in refused(capsys, *options)


def test_a_folder_with_something_else_is_left_alone(
    official: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "letter.txt").write_text("dear")
    assert "holds something other than a preparation" in refused(
        capsys, str(tmp_path), "--archives", str(official), "--no_verify"
    )
    assert contents(tmp_path) == {"letter.txt": b"dear"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--quality", "0"), "choose 1 to 100"),
        (("--shorter_side", "0"), "or original"),
        (("--shard_megabytes", "0"), "more than 0"),
        (("--workers", "-1"), "at least 1"),
        (("--classes", "5"), "the source has 4 classes"),
        (("--classes", "imagenette"), "lacks 10 of the chosen classes"),
        (("--classes", "no such file"), "none of imagenette, imagewoof"),
        (("--tree", "."), "exclude each other"),
    ],
)
def test_options_that_make_no_sense(
    official: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: tuple[str, ...], message: str
) -> None:
    assert main(["prepare", str(tmp_path / "copy"), "--archives", str(official), "--no_verify", *options]) == 2
    assert message in capsys.readouterr().err


def test_an_unknown_option_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["prepare", "x", "--shorter_side", "large"])
    assert stop.value.code == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


@pytest.mark.slow(1)
def test_real_photographs(tmp_path: Path, real_images: Path) -> None:
    sample = str(real_images / "imagenet-sample")
    classes = len(list((real_images / "imagenet-sample" / "val").iterdir()))
    manifest = run(tmp_path / "copy", "--tree", sample, "--classes", str(min(20, classes)), "--shorter_side", "128")
    copy = PreparedCopy(str(tmp_path / "copy"))
    for split in manifest.splits:
        records = copy.split(split).records
        assert np.minimum(records["width"], records["height"]).max() <= 128
