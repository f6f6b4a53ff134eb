"""ImageNet in the forms in which people have it: each is read by `prepare`, or refused with what to type."""

import io
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from datamodules import ImageFolder, ImageNet
from datamodules.imagenet.__main__ import main
from datamodules.photographs.reader import PreparedCopy
from tests.datamodules.imagenet.archives_of_photographs import DEVKIT, TRAIN, tar_of, write_archives
from tests.datamodules.imagenet.conftest import run
from tests.datamodules.photographs.made_photographs import jpeg, photograph

WNIDS = ("n01440764", "n01751747", "n02102040")
IDS = ("n02102040", "n01440764", "n01751747")  # the kit's numbers 1 to 3
VAL = ("n01751747", "n02102040", "n01440764", "n01440764", "n02102040")  # classes of ILSVRC2012_val_00000001.JPEG, …
WORDS = {"n01440764": "tench, Tinca tinca", "n01751747": "sea snake", "n02102040": "English springer"}

Published = dict[str, dict[str, tuple[str, bytes]]]


@pytest.fixture(scope="session")
def made() -> Published:
    """Class and content of each photograph, by split and published name."""
    train = {f"{wnid}_{number}": wnid for wnid in WNIDS for number in (7, 30)}
    val = {f"ILSVRC2012_val_{number:08d}": wnid for number, wnid in enumerate(VAL, start=1)}
    return {
        split: {
            f"{name}.JPEG": (wnid, jpeg(photograph(sum(name.encode()) + len(split), (60, 50))))
            for name, wnid in names.items()
        }
        for split, names in (("train", train), ("val", val))
    }


@pytest.fixture
def published(request: pytest.FixtureRequest, made: Published) -> Published:
    """Made photographs, or the same with the content of real ones."""
    if request.param == "made":
        return made
    folder = request.getfixturevalue("shared_data") / "imagenet-sample"
    real = (path.read_bytes() for path in sorted(folder.rglob("*.JPEG")))
    return {split: {name: (files[name][0], next(real)) for name in files} for split, files in made.items()}


def write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def write_train(folder: Path, published: Published, within: str = "") -> None:
    for name, (wnid, data) in published["train"].items():
        write(folder / "train" / wnid / within / name, data)


def kaggle(root: Path, published: Published) -> tuple[str, ...]:
    photographs = root / "ILSVRC/Data/CLS-LOC"
    write_train(photographs, published)
    lines = ["ImageId,PredictionString"]
    for name, (wnid, data) in published["val"].items():
        write(photographs / "val" / name, data)
        lines.append(f"{name.removesuffix('.JPEG')},{wnid} 1 2 30 40 {wnid} 5 6 7 8 ")
    write(photographs / "test/ILSVRC2012_test_00000001.JPEG", data)
    write(root / "ILSVRC/ImageSets/CLS-LOC/val.txt", b"ILSVRC2012_val_00000001 1\n")
    write(root / "LOC_val_solution.csv", "\n".join([lines[0], *reversed(lines[1:])]).encode())
    write(root / "LOC_synset_mapping.txt", "".join(f"{wnid} {words}\n" for wnid, words in WORDS.items()).encode())
    return ()


def kaggle_from_within(root: Path, published: Published) -> tuple[str, ...]:
    kaggle(root.parent, published)
    (root.parent / "ILSVRC/Data/CLS-LOC").replace(root)
    return ("--val_labels", str(root.parent / "LOC_val_solution.csv"))


def flat_with_the_kit(root: Path, published: Published) -> tuple[str, ...]:
    write_train(root, published)
    for name, (_, data) in published["val"].items():
        write(root / "val" / name, data)
    write_archives(root.parent / "kit", {wnid: {} for wnid in WNIDS}, published["val"].values(), IDS)  # type: ignore[arg-type]
    return ("--devkit", str(root.parent / "kit" / DEVKIT), "--no_verify")


def flat_with_a_list(root: Path, published: Published) -> tuple[str, ...]:
    flat_with_the_kit(root, published)
    (root.parent / "labels.txt").write_text("\n".join(VAL) + "\n")
    return ("--val_labels", str(root.parent / "labels.txt"))


def hugging_face(root: Path, published: Published) -> tuple[str, ...]:
    for split, files in published.items():
        for name, (wnid, data) in files.items():
            write(root / split / name.replace(".", f"_{wnid}."), data)
    return ()


def hugging_face_in_folders(root: Path, published: Published) -> tuple[str, ...]:
    hugging_face(root, published)
    for number, path in enumerate(sorted((root / "train").iterdir())):
        path.replace(root / "train" / path.name)
        write(root / f"train/train_images_{number % 2}" / path.name, path.read_bytes())
        path.unlink()
    return ()


def tiny(root: Path, published: Published) -> tuple[str, ...]:
    write_train(root, published, "images")
    for wnid in WNIDS:
        write(root / "train" / wnid / f"{wnid}_boxes.txt", b"")
    lines = []
    for number, (name, (wnid, data)) in enumerate(published["val"].items()):
        write(root / "val/images" / name, data)
        lines.append(f"{name}\t{wnid}\t0\t{number}\t44\t62")
    write(root / "val/val_annotations.txt", "\n".join(lines).encode())
    write(root / "test/images/test_0.JPEG", data)
    write(root / "wnids.txt", "\n".join(WNIDS).encode())
    write(root / "words.txt", "".join(f"{wnid}\t{words}\n" for wnid, words in WORDS.items()).encode())
    return ()


def imagenette(root: Path, published: Published) -> tuple[str, ...]:
    write_train(root, published)
    for name, (wnid, data) in published["val"].items():
        write(root / "val" / wnid / name, data)
    write(root / "noisy_imagenette.csv", b"path,noisy_labels_0\n")
    write(root / ".DS_Store", b"")
    return ()


def parquet(root: Path, published: Published, paths: bool = True, names: bool = True) -> tuple[str, ...]:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow.parquet import write_table

    features = {"image": {"_type": "Image"}, "label": {"names": [WORDS[wnid] for wnid in WNIDS], "_type": "ClassLabel"}}
    for split, of_split in (("train", "train"), ("val", "validation")):
        files = sorted(published[split].items(), key=lambda entry: entry[1][1])  # in no order of the names
        for part in range(2):
            rows = files[part::2]
            images = [
                {"bytes": data, "path": name.replace(".", f"_{wnid}.") if paths else None}
                for name, (wnid, data) in rows
            ]
            table = pyarrow.table(
                {
                    "image": pyarrow.array(
                        images, pyarrow.struct({"bytes": pyarrow.binary(), "path": pyarrow.string()})
                    ),
                    "label": pyarrow.array([WNIDS.index(wnid) for _, (wnid, _) in rows], pyarrow.int64()),
                }
            )
            if names:
                noted = json.dumps({"info": {"features": features}})
                table = table.replace_schema_metadata({"huggingface": noted})
            (root / "data").mkdir(parents=True, exist_ok=True)
            write_table(table, root / f"data/{of_split}-{part:05d}-of-00002-0123abc.parquet", row_group_size=2)
    return ()


FORMS: dict[Callable[..., tuple[str, ...]], bool] = {  # whether the classes' words are there
    kaggle: True,
    kaggle_from_within: True,
    flat_with_the_kit: True,
    flat_with_a_list: False,
    hugging_face: False,
    hugging_face_in_folders: False,
    tiny: True,
    imagenette: False,
    parquet: True,
}


def check(destination: Path, published: Published) -> None:
    """The copy has each photograph under its published name, with its class and bytes."""
    copy = PreparedCopy(str(destination))
    assert [entry.wnid for entry in copy.manifest.classes] == list(WNIDS)
    for split, files in published.items():
        opened = copy.split(split)
        found = {
            record["name"].decode(): (WNIDS[record["label"]], opened.read(row))
            for row, record in enumerate(opened.records)
        }
        assert found == files
        assert [record["name"].decode() for record in opened.records] == sorted(files)


@pytest.mark.parametrize(
    ("published", "form"),
    [
        *(pytest.param("made", form, id=form.__name__) for form in FORMS),
        *(
            pytest.param("real", form, id=f"real {form.__name__}", marks=pytest.mark.slow(1))
            for form in (kaggle, parquet)
        ),
    ],
    indirect=["published"],
)
def test_each_form_is_read_by_prepare(
    tmp_path: Path, published: Published, form: Callable[..., tuple[str, ...]]
) -> None:
    options = form(tmp_path / "pictures" / "imagenet", published)
    options = ("--tree", str(tmp_path / "pictures" / "imagenet"), "--shorter_side", "original", *options)
    manifest = run(tmp_path / "copy", *options)
    check(tmp_path / "copy", published)
    if FORMS[form] and form is not flat_with_the_kit:
        assert [", ".join(entry.names) for entry in manifest.classes] == list(WORDS.values())
    elif not FORMS[form]:
        assert all(entry.names == () for entry in manifest.classes)
    assert run(tmp_path / "copy", *options) == manifest, "the same command finds it done"
    assert main(["verify", str(tmp_path / "copy"), "--workers", "1"]) == 0


@pytest.mark.parametrize("form", [kaggle, hugging_face, tiny], ids=lambda form: form.__name__)
def test_a_form_becomes_a_tree_that_is_read_as_it_is(
    tmp_path: Path, made: Published, form: Callable[..., tuple[str, ...]]
) -> None:
    options = form(tmp_path / "imagenet", made)
    run(tmp_path / "copy", "--tree", str(tmp_path / "imagenet"), "--layout", "tree", *options)
    (tmp_path / "copy/manifest.json").unlink()
    data = ImageNet(root=str(tmp_path / "copy"), image_size=32, crop_side=32, batch_size=2)
    data.setup("fit")
    assert (data._splits["train"].size, data._splits["val"].size) == (6, 5)


@pytest.mark.parametrize("data_set", [ImageNet, ImageFolder])
@pytest.mark.parametrize(
    ("form", "what"),
    [
        (kaggle, "validation photographs without folders"),
        (flat_with_the_kit, "validation photographs without folders"),
        (hugging_face, "validation photographs without folders"),
        (tiny, "Tiny ImageNet"),
        (parquet, "Hugging Face's parquet files"),
    ],
)
def test_a_data_set_says_how_to_prepare_another_form(
    tmp_path: Path, made: Published, form: Callable[..., tuple[str, ...]], what: str, data_set: type[ImageFolder]
) -> None:
    root = tmp_path / "my pictures"
    form(root, made)
    with pytest.raises(ValueError, match=f"{root} holds {what}.*prepare DEST --tree '{root}'`, and name DEST") as error:
        data_set(root=str(root))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("data_set", [ImageNet, ImageFolder])
def test_folders_of_classes_are_read_as_they_are(tmp_path: Path, made: Published, data_set: type[ImageFolder]) -> None:
    imagenette(tmp_path / "imagenette2", made)
    data = data_set(root=str(tmp_path / "imagenette2"), batch_size=2)
    data.setup("fit")
    assert (data.num_classes, data._splits["train"].size, data._splits["val"].size) == (3, 6, 5)
    (tmp_path / "kaggle/ILSVRC/Data").mkdir(parents=True)
    (tmp_path / "imagenette2").replace(tmp_path / "kaggle/ILSVRC/Data/CLS-LOC")
    with pytest.raises(ValueError, match="kaggle holds Kaggle's ImageNet: name .*kaggle/ILSVRC/Data/CLS-LOC"):
        data_set(root=str(tmp_path / "kaggle"))


@pytest.fixture
def refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Ask for a copy that is refused, which leaves nothing, and get the line that says why."""

    def ask(*options: object) -> str:
        capsys.readouterr()
        assert main(["prepare", str(tmp_path / "refused"), *map(str, options), "--workers", "1"]) == 2
        *_, line = capsys.readouterr().err.splitlines()
        assert not (tmp_path / "refused").exists()
        return line

    return ask


def test_archives_are_to_be_unpacked(tmp_path: Path, made: Published, refused: Callable[..., str]) -> None:
    root = tmp_path / "imagenet-1k"
    packed = tar_of({"n01440764_1_n01440764.JPEG": b"x"}, "w:gz")
    for name in ("train_images_0.tar.gz", "train_images_1.tar.gz", "val_images.tar.gz"):
        write(root / "data" / name, packed)
    line = refused("--tree", root)
    assert f"{root}/data holds Hugging Face's archives" in line
    for split in ("train", "val"):
        assert f"mkdir -p {root}/{split} && for file in {root}/data/{split}_images*.tar*; do tar -xf" in line
    for data_set in (ImageNet, ImageFolder):
        with pytest.raises(ValueError, match="holds Hugging Face's archives, which cannot be read in any order"):
            data_set(root=str(root))
    write_archives(tmp_path / "official", {wnid: {} for wnid in WNIDS}, [], IDS)
    assert f"prepare DEST --archives {tmp_path}/official" in refused("--tree", tmp_path / "official")
    with pytest.raises(ValueError, match="holds the official archives"):
        ImageNet(root=str(tmp_path / "official"))
    write(tmp_path / "outer/train/n01440764.tar", tar_of({"n01440764_1.JPEG": b"x"}))
    (tmp_path / "outer/val").mkdir()
    assert "outer/train holds an archive for each class" in refused("--tree", tmp_path / "outer")
    line = refused("--tree", tmp_path / "official" / TRAIN)
    assert f"{TRAIN} is a file: unpack it" in line


def test_labels_that_are_missing(tmp_path: Path, made: Published, refused: Callable[..., str]) -> None:
    root = tmp_path / "imagenet"
    _, kit, _ = flat_with_the_kit(root, made)
    line = refused("--tree", root)
    assert f"{root}/val holds 5 photographs without folders of classes, such as ILSVRC2012_val_00000001.JPEG" in line
    assert "--val_labels (LOC_val_solution.csv of Kaggle" in line
    assert f"--devkit ({DEVKIT})" in line
    labels = tmp_path / "labels.csv"
    labels.write_text("ImageId,PredictionString\nILSVRC2012_val_00000001,n01751747 1 2 3 4\n")
    options = ("--tree", root, "--val_labels", labels)
    line = refused(*options)
    assert f"{labels} has no label for 4 of the 5 photographs in {root}/val (ILSVRC2012_val_00000002.JPEG, " in line
    labels.write_text("n01751747\n")
    assert "has 1 lines for 5 photographs" in refused(*options)
    labels.unlink()
    assert "labels.csv cannot be read" in refused(*options)
    assert "not the published archive" in refused("--tree", root, "--devkit", kit)
    assert "--no_verify" in refused("--tree", root, "--devkit", kit)
    assert "--val_labels is for photographs in the folder" in refused("--val_labels", labels)
    flat = root / "train"
    for path in sorted(flat.rglob("*.JPEG")):
        path.replace(flat / f"my {path.name}")
    for wnid in WNIDS:
        (flat / wnid).rmdir()
    line = refused("--tree", root, "--devkit", kit, "--no_verify")
    assert f"{flat} holds 6 photographs without folders of classes" in line
    assert "put those of each class into a folder" in line


def test_a_class_that_validation_lacks(tmp_path: Path, made: Published, refused: Callable[..., str]) -> None:
    hugging_face(tmp_path / "imagenet", made)
    (tmp_path / "imagenet/val/ILSVRC2012_val_00000001_n01751747.JPEG").unlink()
    line = refused("--tree", tmp_path / "imagenet")
    assert "The classes of" in line
    assert "differ (n01751747)" in line


def test_files_without_words_or_names(tmp_path: Path, made: Published, refused: Callable[..., str]) -> None:
    root = tmp_path / "parquet"
    parquet(root, made, paths=False)
    assert "do not say which WordNet ids" in refused("--tree", root)
    _, kit, _ = flat_with_the_kit(tmp_path / "kit", made)
    options = ("--tree", root, "--devkit", kit, "--no_verify")
    assert "are not those of" in refused(*options)
    assert "--layout tree" in refused(*options, "--layout", "tree")
    shutil.rmtree(root)
    parquet(root, made, names=False)
    manifest = run(tmp_path / "copy", "--tree", str(root), "--shorter_side", "original")
    assert [entry.names for entry in manifest.classes] == [()] * 3
    check(tmp_path / "copy", made)
    for path in (root / "data").glob("validation*"):
        path.unlink()
    assert "no Parquet files of val" in refused("--tree", root)
    damaged = next((root / "data").glob("train*"))
    write(root / "data/validation.parquet", damaged.read_bytes()[:-20])
    assert "validation.parquet cannot be read" in refused("--tree", root)


def test_without_pyarrow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refused: Callable[..., str]) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    for split in ("train", "validation"):
        write(tmp_path / f"imagenet/data/{split}-00000-of-00001.parquet", io.BytesIO(b"PAR1").getvalue())
    line = refused("--tree", tmp_path / "imagenet")
    assert "train-00000-of-00001.parquet is read by pyarrow, which is missing: install it (pip install pyarrow)" in line
