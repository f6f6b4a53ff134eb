"""Archives and commands that tests of the preparation share."""

from pathlib import Path

import pytest

from datamodules.imagenet.__main__ import main
from datamodules.photographs.index import Manifest
from datamodules.photographs.reader import PreparedCopy
from tests.datamodules.imagenet import odd_files
from tests.datamodules.imagenet.archives_of_photographs import write_archives
from tests.datamodules.photographs.made_photographs import jpeg, photograph

IDS = ("n02000003", "n02000001", "n02000004", "n02000002")  # the kit's numbers 1 to 4: not the order of the wnids
WNIDS = tuple(sorted(IDS))


def train_files() -> dict[str, dict[str, bytes]]:
    ordinary = {
        wnid: {f"{wnid}_{number}.JPEG": jpeg(photograph(100 * row + number, (150, 100))) for number in (7, 30, 1)}
        for row, wnid in enumerate(IDS)
    }
    ordinary["n02000001"] |= {"n02000001_5.JPEG": odd_files.PNG, "n02000001_6.JPEG": odd_files.CMYK}
    ordinary["n02000002"] |= {"n02000002_5.JPEG": odd_files.GRAY, "n02000002_6.JPEG": odd_files.BAD_EXIF}
    return ordinary


VAL_FILES = [(IDS[number % 4], jpeg(photograph(1000 + number, (90, 120)))) for number in range(1, 11)]


@pytest.fixture(scope="session")
def official(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("official")
    write_archives(folder, train_files(), VAL_FILES, IDS)
    return folder


def run(destination: Path, *options: str) -> Manifest:
    assert main(["prepare", str(destination), "--workers", "1", "--shard_megabytes", "0.05", *options]) == 0
    return PreparedCopy(str(destination)).manifest


def from_archives(destination: Path, folder: Path, *options: str) -> Manifest:
    return run(destination, "--archives", str(folder), "--no_verify", *options)
