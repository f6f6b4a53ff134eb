"""Small files in the layouts of the official data sets, and a server to fetch them from."""

import struct
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest


def python2_pickle(value: Any) -> bytes:
    """Pickle as Python 2 and NumPy 1 wrote the official CIFAR files: protocol 2, byte strings, numpy.core."""

    def emit(value: Any) -> bytes:
        if isinstance(value, dict):
            return b"}(" + b"".join(emit(key) + emit(item) for key, item in value.items()) + b"u"
        if isinstance(value, list):
            return b"](" + b"".join(map(emit, value)) + b"e"
        if isinstance(value, int):
            return b"J" + struct.pack("<i", value)
        if isinstance(value, str | bytes):
            raw = value.encode() if isinstance(value, str) else value
            return b"T" + struct.pack("<i", len(raw)) + raw
        rows, columns = value.shape
        dtype = b"cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
        empty = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
        shape = emit(rows) + emit(columns) + b"\x86"
        return empty + b"(K\x01" + shape + dtype + b"\x89" + emit(value.tobytes()) + b"tb"

    return b"\x80\x02" + emit(value) + b"."


@pytest.fixture
def make_cifar10() -> Callable[..., Path]:
    """Write `cifar-10-batches-py` with 20 images a file into a folder; returns the folder."""
    from datamodules import CIFAR10

    def make(root: Path, pickler: Callable[[Any], bytes] = python2_pickle) -> Path:
        folder = root / "cifar-10-batches-py"
        folder.mkdir(parents=True)
        random = np.random.default_rng(0)
        for number, name in enumerate([*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]):
            data = random.integers(0, 256, (20, 3072), dtype=np.uint8)
            data[:, 0] = number
            labels = [index % 10 for index in range(20)]
            content = {"batch_label": name, "labels": labels, "data": data, "filenames": ["x.png"] * 20}
            (folder / name).write_bytes(pickler(content))
        meta = {"num_cases_per_batch": 20, "label_names": list(CIFAR10.class_names), "num_vis": 3072}
        (folder / "batches.meta").write_bytes(pickler(meta))
        return root

    return make


@pytest.fixture
def serve() -> Iterator[Callable[..., str]]:
    """Serve bytes under a name on this machine; returns the address. Other names are answered with 404.

    `sent` bytes of them are sent before the connection ends or, with `stall`, falls silent.
    """
    files: dict[str, tuple[bytes, int, bool]] = {}
    end = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path not in files:
                self.send_error(404)
                return
            content, sent, stall = files[self.path]
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content[:sent])
            if stall:
                end.wait()

        def log_message(self, *_: object) -> None:
            """Keep the tests' output clean."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

        def add(name: str, content: bytes, *, sent: int | None = None, stall: bool = False) -> str:
            files[f"/{name}"] = content, len(content) if sent is None else sent, stall
            return f"http://127.0.0.1:{server.server_port}/{name}"

        yield add
        end.set()
        server.shutdown()
