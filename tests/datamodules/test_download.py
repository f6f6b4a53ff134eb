"""A download is complete and verified, or it is not there."""

import hashlib
import multiprocessing
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from datamodules.download import Checksum, download_file

CONTENT = bytes(range(256)) * 5000
HALF = len(CONTENT) // 2
SHA256 = Checksum("sha256", hashlib.sha256(CONTENT).hexdigest())

Serve = Callable[..., str]


def test_whole_file_arrives(serve: Serve, tmp_path: Path) -> None:
    target = tmp_path / "new" / "file.tar.gz"
    download_file([serve("file", CONTENT)], target, SHA256)
    assert target.read_bytes() == CONTENT
    assert list(target.parent.iterdir()) == [target]


def broken(serve: Serve) -> dict[str, str]:
    """Addresses that do not deliver, with what is said about them."""
    return {
        serve("cut", CONTENT, sent=HALF): f"the connection ended after {HALF:,} of {len(CONTENT):,} bytes",
        serve("wrong", CONTENT[:-1] + b"x"): f"sha256 is [0-9a-f]{{64}}, expected {SHA256.digest}",
        serve("present", CONTENT).replace("present", "absent"): "HTTP Error 404",
        "http://127.0.0.1:9/file": "Connection refused",
    }


def test_broken_download_leaves_nothing(serve: Serve, tmp_path: Path) -> None:
    target = tmp_path / "file"
    for address, reason in broken(serve).items():
        sentence = rf"^Could not download file \({address}: .*{reason}.*\): check the network, or place .* at {target}"
        with pytest.raises(ValueError, match=sentence):
            download_file([address], target, SHA256)
        assert not list(tmp_path.iterdir())


def test_next_mirror_is_tried(serve: Serve, tmp_path: Path) -> None:
    download_file([*broken(serve), serve("good", CONTENT)], tmp_path / "file", SHA256)
    assert (tmp_path / "file").read_bytes() == CONTENT


def test_earlier_file_survives_a_failed_download(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"earlier")
    with pytest.raises(ValueError, match="Could not download"):
        download_file([serve("file", CONTENT, sent=HALF)], tmp_path / "file", SHA256)
    assert (tmp_path / "file").read_bytes() == b"earlier"


def test_killed_download_is_no_file_and_the_next_one_starts_afresh(serve: Serve, tmp_path: Path) -> None:
    content = CONTENT * 4  # so that some of it is written before the rest fails to come
    address = serve("file", content, sent=len(content) // 2, stall=True)
    target, checksum = tmp_path / "file", Checksum("sha256", hashlib.sha256(content).hexdigest())
    job = multiprocessing.get_context("fork").Process(target=download_file, args=([address], target, checksum))
    job.start()
    deadline = time.monotonic() + 20
    while not any(path.stat().st_size for path in tmp_path.iterdir()):
        assert time.monotonic() < deadline, "nothing was written"
        time.sleep(0.01)
    job.kill()
    job.join()
    (left,) = tmp_path.iterdir()
    assert left.suffix == ".part"

    download_file([serve("file", content)], target, checksum)
    assert target.read_bytes() == content


def test_folder_that_cannot_be_made_is_named(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match=r"^Could not write .*/file/data \(.*\): with --data.root, name a folder"):
        download_file([serve("file", CONTENT)], tmp_path / "file" / "data", SHA256)
