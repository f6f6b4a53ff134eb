"""Files in the layouts of the official data sets, small and made here."""

import struct
from collections.abc import Callable
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
