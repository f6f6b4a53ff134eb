"""Some 300 hostile files: no code of theirs runs, none is waited for, and each is refused with one line or left out."""

import io
import json
import os
import pickle
import socket
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from datamodules.photographs.decoder import BrokenImageError, decode
from experiment.checkpoints import DamagedCheckpointError, load_verified
from experiment.config_files import read_config_text, with_file
from experiment.weight_files import read_weights
from human_test.answers import DamagedAnswersError, read_one
from lightning_modules import ResNet
from records.checkpoints import digest_path, sha256_of
from records.weights import TO_RESUME

pytestmark = [
    pytest.mark.faults,
    pytest.mark.timeout(60),
    pytest.mark.filterwarnings("ignore"),
]


class Payload:
    """Makes a file when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch executed",)


@pytest.fixture(autouse=True)
def nothing_ran(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.chdir(tmp_path)
    yield
    assert not list(tmp_path.rglob("executed"))
    assert not list(tmp_path.parent.glob("outside*"))


def no_files(folder: Path) -> list[Path]:
    """A pipe, a socket, a folder, a device, a link to nothing, one to itself, and nothing."""
    made = [folder / f"{name}.ckpt" for name in ("pipe", "socket", "folder", "device", "dangling", "loop", "nothing")]
    os.mkfifo(made[0])
    with socket.socket(socket.AF_UNIX) as server:
        os.chdir(folder)  # the name of a socket may not be long
        server.bind(made[1].name)
    made[2].mkdir()
    made[3].symlink_to("/dev/zero")
    made[4].symlink_to(folder / "nowhere")
    made[5].symlink_to(made[5])
    return made


def bomb(levels: int) -> str:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    return "\n".join(lines + [f"a{n + 1}: &a{n + 1} [{', '.join([f'*a{n}'] * 9)}]" for n in range(levels)])


TAGS = ("object/apply:os.system", "object/new:os.system", "name:os.system", "module:os", "object:os.system")
CONFIGS: list[bytes] = [
    *(f"trainer: !!python/{tag} ['touch executed']".encode() for tag in TAGS),
    *(f"trainer: {opening * depth}".encode() for opening in "[{" for depth in (10, 100, 5_000, 100_000)),
    *(f"trainer: {'[' * depth}{']' * depth}".encode() for depth in (70, 500, 5_000)),
    *(bomb(levels).encode() for levels in (6, 9, 30)),
    *(
        text.encode()
        for text in ("a: &a [*a]", "a: &a {b: *a}", "a: &a\n  b: &b {c: *a, d: *b}", "&a [*a]", "a: *none")
    ),
    *(f"trainer: {{max_epochs: {'9' * digits}}}".encode() for digits in (41, 400, 4_299, 4_301, 100_000)),
    *(f"a: {sign}{'1' * 400}".encode() for sign in "+-"),
    *(text.encode(code) for text in ("a: 1", "a: ü") for code in ("utf-16", "utf-32", "utf-16-be")),
    *(
        b"# f\xfcr\na: 1",
        b"\xff\xfe",
        b"\x00" * 100,
        b"\x1f\x8b\x08\x00",
        b"\x89PNG\r\n\x1a\n",
        b"%PDF-1.4",
        b"PK\x03\x04",
    ),
    *(b"a: 1\na: 2", b"a:\n  b: 1\n  b: 2", b"a: {b: 1, b: 2}", b"- a: 1\n  a: 2", b"\ta: 1", b"a:\n\tb: 1"),
    *(
        b"a: 'b",
        b"a: [",
        b"a: }",
        b"? [a, b]\n: c",
        b"? {a: b}\n: c",
        b"a: !!int x",
        b"a: !!timestamp x",
        b"a: !!binary x",
    ),
    *(b"<<: *a", b"<<: [1, 2]", b"a: 1\n---\nb: 2", b"%YAML 9.9\n---\na: 1", b"a: \x07", b"a: \xed\xa0\x80"),
    *(b"x" * size for size in (5 * 2**20,)),
]


@pytest.mark.parametrize("number", range(len(CONFIGS)))
def test_configs(number: int, tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_bytes(CONFIGS[number])
    said = ""
    try:
        assert len(read_config_text(file, "config.yaml")) < 2**20  # what is wrong with it, its parser says
    except ValueError as error:
        said = str(error)
    assert not said or (said.startswith("config.yaml") and "\n" not in said)
    with_file("trainer.max_epochs must be an integer", ["fit", "--config", str(file)])


def test_what_is_no_file_is_no_config(tmp_path: Path) -> None:
    for path in no_files(tmp_path):
        with pytest.raises(ValueError, match=f"{path.name} .*: name a config in YAML"):
            read_config_text(path)


def saved(content: Any, **options: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer, **options)
    return buffer.getvalue()


def archive(files: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as file:
        for name, content in files.items():
            file.writestr(name, content)
    return buffer.getvalue()


def tar(names: list[str]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as file:
        for name in names:
            entry = tarfile.TarInfo(name)
            entry.size = 1
            file.addfile(entry, io.BytesIO(b"x"))
    return buffer.getvalue()


OUTSIDE = ("../outside", "/tmp/outside", "../../outside/data.pkl", "archive/../../outside")
WHOLE = saved({"state_dict": {"weight": torch.ones(3)}, "epoch": 1, "global_step": 2})
CHECKPOINTS: list[bytes] = [
    *(WHOLE[:length] for length in range(0, len(WHOLE), max(1, len(WHOLE) // 40))),
    *(WHOLE[:at] + bytes([WHOLE[at] ^ 255]) + WHOLE[at + 1 :] for at in range(60, len(WHOLE), len(WHOLE) // 40)),
    *(pickle.dumps(Payload(), protocol) for protocol in range(6)),
    *(pickle.dumps({"state_dict": Payload()}, protocol) for protocol in range(6)),
    *(saved(content) for content in (Payload(), {"state_dict": Payload()}, [Payload()], {"epoch": {"a": [Payload()]}})),
    *(saved({"state_dict": Payload()}, _use_new_zipfile_serialization=False) for _ in range(1)),
    *(archive({name: pickle.dumps(Payload())}) for name in OUTSIDE),
    *(archive({"archive/data.pkl": pickle.dumps(Payload()), name: b"x"}) for name in OUTSIDE),
    *(tar([name]) for name in OUTSIDE),
    archive({"archive/data.pkl": bytes(2**24)}, zipfile.ZIP_DEFLATED),
    *(saved(content) for content in (None, 1, "text", [1], {}, {1: 2}, {"state_dict": 1}, {"state_dict": {"a": 1}})),
    *(saved({"state_dict": {}, "epoch": value, "global_step": 1}) for value in ("1", None, [1], {})),
    *(saved({"state_dict": {1: torch.ones(1)}}), saved({"state_dict": [torch.ones(1)]}), saved(torch.ones(2))),
    *(
        content
        for content in (b"", b"\0" * 5_000, b"GIF89a", b"#!/bin/sh\ntouch executed\n", b"version https://git-lfs")
    ),
    *(b"\x80" + bytes([protocol]) + b"." for protocol in range(6)),
]


@pytest.mark.parametrize("signed", [False, True], ids=["unsigned", "signed"])
@pytest.mark.parametrize("number", range(len(CHECKPOINTS)))
def test_checkpoints(number: int, signed: bool, tmp_path: Path) -> None:
    file = tmp_path / "last.ckpt"
    file.write_bytes(CHECKPOINTS[number])
    if signed:
        digest_path(file).write_text(f"{sha256_of(file)}  last.ckpt\n")
    with pytest.raises(DamagedCheckpointError, match="last.ckpt") as refused:
        load_verified(file, needs=TO_RESUME)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("digest", [b"", b"\xff" * 9, b"0" * 64, b"x" * 10**6, b"\0", b"../outside", None])
def test_digests(digest: bytes | None, tmp_path: Path) -> None:
    file = tmp_path / "last.ckpt"
    file.write_bytes(WHOLE)
    digest_path(file).write_bytes(digest) if digest is not None else os.mkfifo(digest_path(file))
    with pytest.raises(DamagedCheckpointError, match="its SHA-256 differs"):
        load_verified(file)


def test_what_is_no_file_holds_no_weights(tmp_path: Path) -> None:
    network = ResNet(8, "cifar")
    for path in no_files(tmp_path):
        with pytest.raises(DamagedCheckpointError, match=path.name):
            load_verified(path)
        with pytest.raises(ValueError, match=path.stem):
            read_weights(network, str(path))


VOTES: list[bytes] = [
    *(opening * depth for opening in (b"[", b'{"a":') for depth in (10, 1_000, 200_000)),
    *(json.dumps({"format": value}).encode() for value in (None, "1", [], {}, -1, 10**30)),
    *(b'{"format": %s}' % (b"9" * digits) for digits in (400, 5_000)),
    *(b'{"votes": [{"image": %s}]}' % (b"1" * digits) for digits in (400, 5_000)),
    *(
        b"",
        b"\xff\xfe",
        b"null",
        b"[]",
        b"1e999",
        b"NaN",
        b'{"format": NaN}',
        b'"\\ud800"',
        b"{}" * 10_000,
        b"\0" * 100,
    ),
]


@pytest.mark.parametrize("number", range(len(VOTES)))
def test_votes(number: int, tmp_path: Path) -> None:
    (tmp_path / "votes.json").write_bytes(VOTES[number])
    with pytest.raises(DamagedAnswersError) as refused:
        read_one(tmp_path / "votes.json")
    assert "\n" not in str(refused.value)


def test_what_is_no_file_is_no_vote(tmp_path: Path) -> None:
    for path in no_files(tmp_path):
        with pytest.raises(DamagedAnswersError):
            read_one(path)


def png(width: int, height: int, depth: int = 8, kind: int = 2) -> bytes:
    """A picture that says it has so many pixels, and has none."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    header = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0)
    data = zlib.compress(b"\0" * 100)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


PICTURES: list[bytes] = [
    *(png(*size) for size in ((60_000, 60_000), (2**31 - 1, 1), (1, 2**31 - 1), (0, 5), (20_000, 20_000), (10, 10))),
    *(png(8, 8, depth, kind) for depth in (0, 3, 16, 32) for kind in (0, 2, 3, 7)),
    *(
        b"\xff\xd8\xff" + tail
        for tail in (b"", b"\xe0", b"\xe0\xff\xff", b"\xc0\0\x11\x08\xff\xff\xff\xff\3", b"\0" * 999)
    ),
    *(b"", b"GIF89a", b"BM" + b"\xff" * 60, b"RIFF\xff\xff\xff\xffWEBP", b"%!PS-Adobe\n", b"<svg/>", b"\0" * 4_096),
]


@pytest.mark.parametrize("number", range(len(PICTURES)))
def test_pictures(number: int) -> None:
    with pytest.raises(BrokenImageError) as refused:
        decode(PICTURES[number])
    assert "\n" not in str(refused.value)


def test_there_are_three_hundred() -> None:
    kinds: list[list[Any]] = [CONFIGS, CHECKPOINTS, CHECKPOINTS, VOTES, PICTURES]
    assert sum(map(len, kinds)) + 4 * 7 >= 300


def test_nothing_of_an_archive_is_written(tmp_path: Path) -> None:
    make: list[Callable[[list[str]], bytes]] = [tar, lambda names: archive(dict.fromkeys(names, b"x"))]
    for number, content in enumerate(one(list(OUTSIDE)) for one in make):
        file = tmp_path / f"{number}.ckpt"
        file.write_bytes(content)
        with pytest.raises(DamagedCheckpointError):
            load_verified(file)
    assert {path.name for path in tmp_path.iterdir()} == {"0.ckpt", "1.ckpt"}
