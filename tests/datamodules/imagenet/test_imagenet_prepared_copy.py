"""What is said of a prepared copy: what has changed in it, and what it holds."""

import json
from pathlib import Path

import numpy as np
import pytest

from datamodules.imagenet.__main__ import main
from tests.datamodules.imagenet.conftest import from_archives


@pytest.mark.parametrize("layout", ["shards", "tree"])
@pytest.mark.slow(1)
def test_verify_names_what_has_changed(
    official: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], layout: str
) -> None:
    root = tmp_path / "copy"
    manifest = from_archives(root, official, "--layout", layout)
    record = np.load(root / "val.npy")[3]
    wnid = manifest.classes[record["label"]].wnid
    shard = root / (f"val/{wnid}/{record['name'].decode()}" if layout == "tree" else "val/shard-00000.tar")
    content = bytearray(shard.read_bytes())
    content[int(record["offset"]) + 200] ^= 1
    shard.write_bytes(content)
    capsys.readouterr()
    assert main(["verify", str(root)]) == 1
    said = capsys.readouterr()
    assert "ILSVRC2012_val_00000004.JPEG" in said.out
    assert ("SHA-256 differs" in said.out) == (layout == "shards")
    assert "differs in" in said.err
    shard.unlink()
    (root / "train.npy").write_bytes(b"")
    assert main(["verify", str(root)]) == 1
    said = capsys.readouterr()
    assert f"{shard}: cannot be read" in said.out
    assert "train.npy: another index" in said.out
    (root / "manifest.json").write_text(json.dumps({"format": 99}))
    assert main(["verify", str(root)]) == 2


def test_show_says_what_a_copy_holds(official: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from_archives(tmp_path / "copy", official)
    capsys.readouterr()
    assert main(["show", str(tmp_path / "copy")]) == 0
    said = capsys.readouterr().out
    assert "shards, shorter side 256, quality 90" in said
    assert "train      16 images" in said
    assert "n02000001 (word of n02000001, second word)" in said
    assert "converted  2\n  train/n02000001_5.JPEG: png\n" in said
    assert "kept       1 exif, 1 gray" in said
