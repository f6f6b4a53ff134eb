"""A download is complete and verified, or it is not there."""

import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from datamodules.checksum import Checksum
from datamodules.download import download_file

CONTENT = bytes(range(256)) * 5000
SHA256 = Checksum("sha256", hashlib.sha256(CONTENT).hexdigest())


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path == "/missing":
            self.send_error(404)
            return
        body = CONTENT[:-1] + b"x" if self.path == "/wrong" else CONTENT
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if self.path == "/cut" else body)

    def log_message(self, *_: object) -> None:
        """Keep the tests' output clean."""


@pytest.fixture
def server() -> Iterator[str]:
    """Address of a server on this machine."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        thread = threading.Thread(target=http.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{http.server_port}"
        http.shutdown()


def test_whole_file_arrives(server: str, tmp_path: Path) -> None:
    target = tmp_path / "new" / "file.tar.gz"
    download_file([f"{server}/good"], target, SHA256)
    assert target.read_bytes() == CONTENT
    assert list(target.parent.iterdir()) == [target]


@pytest.mark.parametrize(
    ("path", "reason"), [("cut", "connection ended after"), ("wrong", "sha256 is"), ("missing", "404")]
)
def test_broken_download_leaves_nothing(path: str, reason: str, server: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=rf"Could not download file .*{reason}.*place the file at .*file by hand"):
        download_file([f"{server}/{path}"], tmp_path / "file", SHA256)
    assert not list(tmp_path.iterdir())


def test_next_mirror_is_tried(server: str, tmp_path: Path) -> None:
    sources = [f"{server}/missing", f"{server}/wrong", f"{server}/cut", f"{server}/good"]
    download_file(sources, tmp_path / "file", SHA256)
    assert (tmp_path / "file").read_bytes() == CONTENT


def test_earlier_file_survives_a_failed_download(server: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"earlier")
    with pytest.raises(ValueError, match="Could not download"):
        download_file([f"{server}/cut"], tmp_path / "file", SHA256)
    assert (tmp_path / "file").read_bytes() == b"earlier"


def test_no_server_is_said(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="Connection refused.*check the network"):
        download_file(["http://127.0.0.1:9/file"], tmp_path / "file", SHA256)
