"""Official pickles are read; hostile and damaged ones are refused, and nothing of them runs."""

import builtins
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from datamodules.pickles import _ALLOWED, read_pickle

MATRIX = np.arange(12, dtype=np.uint8).reshape(3, 4)


class Calls:
    """Pickles as a call."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


def test_python_3_pickles_are_read(tmp_path: Path) -> None:
    for protocol in (2, 3, 4):
        (tmp_path / "file").write_bytes(pickle.dumps({"data": MATRIX, "labels": [1, 2, 3]}, protocol))
        content = read_pickle(tmp_path / "file")
        assert np.array_equal(content["data"], MATRIX)
        assert content["data"].flags.writeable
        assert content["labels"] == [1, 2, 3]


@pytest.mark.parametrize(
    "hostile",
    [
        Calls(os.system, "touch executed"),
        Calls(builtins.eval, "open('executed', 'w')"),
        Calls(builtins.exec, "open('executed', 'w')"),
        Calls(builtins.getattr, "x", "upper"),
        Calls(builtins.__import__, "antigravity"),
        Calls(builtins.open, "executed", "w"),
        Calls(np.load, "executed"),
        Calls(pickle.loads, b"cos\nsystem\n(S'touch executed'\ntR."),
        Calls(Path, "executed"),
        np.array([Calls(os.system, "touch executed")], dtype=object),
        np.float64(1),
    ],
    ids=["system", "eval", "exec", "getattr", "import", "open", "load", "loads", "path", "objects", "float64"],
)
def test_hostile_pickles_do_not_run(hostile: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for content in ({"data": hostile}, hostile):
        Path("file").write_bytes(pickle.dumps(content, 2))
        with pytest.raises(
            ValueError, match="^file is not a CIFAR file .*replace it with the one of the official archive"
        ):
            read_pickle(Path("file"))
    assert not Path("executed").exists()


@pytest.mark.parametrize("name", _ALLOWED, ids=".".join)
def test_hostile_pickles_cannot_change_what_is_allowed(name: tuple[str, str], tmp_path: Path) -> None:
    module, attribute = (word.encode() for word in name)
    for state in (b"}U\x07__doc__U\x07changeds", b"N}U\x07__doc__U\x07changeds\x86"):  # in __dict__, as attributes
        (tmp_path / "file").write_bytes(b"\x80\x02c" + module + b"\n" + attribute + b"\n" + state + b"b.")
        with pytest.raises(ValueError, match="is not a CIFAR file"):
            read_pickle(tmp_path / "file")
    assert _ALLOWED[name].__doc__ != "changed"


@pytest.mark.parametrize("content", [MATRIX.astype(float), MATRIX[0], np.zeros((1, 2, 3), np.uint8)])
def test_arrays_other_than_uint8_matrices_are_refused(content: Any, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(pickle.dumps({"data": content}, 4))
    with pytest.raises(ValueError, match="array other than a uint8 matrix"):
        read_pickle(tmp_path / "file")


def test_every_truncation_is_refused(tmp_path: Path) -> None:
    content = pickle.dumps({"data": MATRIX, "labels": [1, 2, 3]}, 2)
    for length in range(len(content)):
        (tmp_path / "file").write_bytes(content[:length])
        with pytest.raises(ValueError, match="is not a CIFAR file"):
            read_pickle(tmp_path / "file")


def test_official_layout(tmp_path: Path, make_cifar10: Callable[..., Path]) -> None:
    content = read_pickle(make_cifar10(tmp_path) / "cifar-10-batches-py" / "data_batch_3")
    assert content["data"].shape == (20, 3072)
    assert (content["data"][:, 0] == 2).all()
    assert content["labels"][:4] == [0, 1, 2, 3]
