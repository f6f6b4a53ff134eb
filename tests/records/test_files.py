"""A file is whole or absent whatever happens, and no file can hang or exhaust its reader."""

import errno
import multiprocessing
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from records import files
from records.files import (
    UnreadableError,
    parse_yaml,
    read_bytes,
    read_json,
    read_text,
    read_yaml,
    remove_parts,
    whole_file,
    write_json,
    write_whole,
)

ROOT = Path(__file__).parents[2]


def test_bytes_text_and_what_a_function_writes(tmp_path: Path) -> None:
    write_whole(tmp_path / "new" / "bytes", b"\x00\xff")
    write_whole(tmp_path / "text", "naïve\n")
    with whole_file(tmp_path / "function") as file:
        file.write(b"12345")
        file.seek(0)
        assert file.read(2) == b"12"
    assert (tmp_path / "new" / "bytes").read_bytes() == b"\x00\xff"
    assert (tmp_path / "text").read_text(encoding="utf-8") == "naïve\n"
    assert (tmp_path / "function").read_bytes() == b"12345"
    assert not list(tmp_path.rglob("*.part"))


def test_json_is_one_line_or_indented(tmp_path: Path) -> None:
    write_json(tmp_path / "line.json", {"a": [1, 2.5], "b": None})
    write_json(tmp_path / "lines.json", {"a": 1}, indent=2)
    assert (tmp_path / "line.json").read_text() == '{"a":[1,2.5],"b":null}\n'
    assert (tmp_path / "lines.json").read_text() == '{\n  "a": 1\n}\n'


@pytest.mark.parametrize("failing", ["write", "flush", "rename"])
def test_an_error_leaves_what_was_there(failing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "record"
    write_whole(path, "old")

    def fail(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    if failing != "write":
        monkeypatch.setattr(os, {"flush": "fsync", "rename": "replace"}[failing], fail)
    with pytest.raises(OSError, match="No space left"), whole_file(path) as file:  # noqa: PT012
        file.write(b"new")
        if failing == "write":
            fail()
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["record"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_a_full_disk_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_whole(tmp_path / "record", "old")
    monkeypatch.setattr(files, "PART", ".part")
    (tmp_path / "record.part").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left"):
        write_whole(tmp_path / "record", "new" * 100_000)
    assert (tmp_path / "record").read_text() == "old"


def test_a_file_beyond_the_limit_of_the_process_is_an_error(tmp_path: Path) -> None:
    program = (
        "import resource, signal, sys; from pathlib import Path; from records.files import write_whole\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "write_whole(Path(sys.argv[1]), 'old'); write_whole(Path(sys.argv[1]), 'new' * 1000)"
    )
    assert resource.RLIMIT_FSIZE is not None
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "record")], cwd=ROOT, capture_output=True, check=False
    )
    assert b"File too large" in done.stderr
    assert [(entry.name, entry.read_text()) for entry in tmp_path.iterdir()] == [("record", "old")]


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is read-only for root")
def test_a_folder_that_is_read_only_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir(mode=0o500)
    with pytest.raises(PermissionError):
        write_whole(tmp_path / "folder" / "record", "new")


def test_a_device_is_not_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="not a regular file"):
        write_whole(tmp_path / "pipe", "new")
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError, match="not a regular file"):
        write_whole(tmp_path / "folder", "new")
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["folder", "pipe"]


def write_without_end(path: Path) -> None:
    for number in range(1_000_000):
        write_whole(path, str(number) * 5_000)


@pytest.mark.slow(1)
def test_a_kill_at_any_instant_leaves_a_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "record"
    for instant in range(6):
        process = multiprocessing.get_context("fork").Process(target=write_without_end, args=(path,))
        process.start()
        while not path.exists():
            time.sleep(0.001)
        time.sleep(0.0037 * instant)
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        content = path.read_text()
        assert content == content[: len(content) // 5_000] * 5_000
    remove_parts(tmp_path)
    assert list(tmp_path.iterdir()) == [path]


def write_shared(path: Path, digit: str) -> None:
    for _ in range(20):
        write_whole(path, digit * 100_000, shared=True)


@pytest.mark.slow(1)
def test_several_processes_may_write_one_file(tmp_path: Path) -> None:
    path = tmp_path / "cache"
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=write_shared, args=(path, str(digit))) for digit in range(3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0
    assert path.read_text() in [str(digit) * 100_000 for digit in range(3)]
    assert list(tmp_path.iterdir()) == [path]


def pipe(path: Path) -> None:
    os.mkfifo(path)


def device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def hollow(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(2**40)  # a terabyte without a block on the disk


@pytest.mark.timeout(10)
@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda path: None, "record is missing"),
        (lambda path: path.symlink_to("nowhere"), "record is missing"),
        (Path.mkdir, "record is not a regular file"),
        (pipe, "record is not a regular file"),
        (device, "record is not a regular file"),
        (hollow, "record is larger than 1 MiB"),
        (lambda path: path.write_bytes(bytes(2**20 + 1)), "record is larger than 1 MiB"),
    ],
)
def test_what_is_no_file_of_a_run_is_refused_at_once(tmp_path: Path, make: Callable[[Path], Any], problem: str) -> None:
    make(tmp_path / "record")
    with pytest.raises(UnreadableError, match=problem):
        read_bytes(tmp_path / "record", 2**20)


def test_a_link_to_a_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "target").write_text("text")
    (tmp_path / "record").symlink_to("target")
    assert read_text(tmp_path / "record", 4) == "text"


@pytest.mark.parametrize("content", [b"\xff\xfe", "naïve".encode("latin-1"), b"\x80"])
def test_text_is_utf_8(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "record").write_bytes(content)
    with pytest.raises(UnreadableError, match="record cannot be read"):
        read_text(tmp_path / "record", 100)


def test_a_byte_order_mark_does_no_harm(tmp_path: Path) -> None:
    (tmp_path / "record").write_bytes(b'\xef\xbb\xbf{"a": 1}')
    assert read_json(tmp_path / "record") == {"a": 1}
    assert read_text(tmp_path / "record", 100) == '{"a": 1}'


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "is not valid JSON"),
        (b'{"a": 1', "is not valid JSON"),
        (b"\x00\xff" * 40, "is not valid JSON"),
        (b"[" * 100_000, "is not valid JSON"),
        (b'{"a":' * 100_000, "is not valid JSON"),
        (b"[]", "is not a JSON object"),
        (b"7", "is not a JSON object"),
        (b'{"a": ' + b"[" * 64 + b"]" * 64 + b"}", "nests more than 64 levels"),
        (b'{"a": ' + b'{"a": ' * 64 + b"1" + b"}" * 64 + b"}", "nests more than 64 levels"),
        (b'{"a": ' + b"1" * 1_001 + b"}", "holds a number of more than 1,000 digits"),
        (b'{"a": 0.' + b"1" * 1_001 + b"}", "holds a number of more than 1,000 digits"),
        (b'{"a": ' + b"1" * 10_000_000 + b"}", "is not valid JSON"),
    ],
)
def test_json_is_bounded(tmp_path: Path, content: bytes, problem: str) -> None:
    (tmp_path / "record.json").write_bytes(content)
    with pytest.raises(UnreadableError, match=f"record.json {problem}"):
        read_json(tmp_path / "record.json")


@pytest.mark.parametrize(
    ("content", "value"),
    [
        ('{"a": 1, "a": 2}', 2),
        ('{"a": Infinity}', float("inf")),
        ('{"a": ' + "9" * 400 + "}", int("9" * 400)),
        ('{"a": "\\ud800 \\u001b"}', "\ud800 \x1b"),
        ('{"a": "' + "[{" * 1_000 + '\\"[\\\\"}', "[{" * 1_000 + '"[\\'),
        ('{"a": ' + "[" * 63 + "]" * 63 + "}", None),
        ('{"a": [' + "[[], {}], " * 1_000 + "{}]}", None),
    ],
)
def test_json_of_any_sense_is_read(tmp_path: Path, content: str, value: Any) -> None:
    (tmp_path / "record.json").write_text(content)
    found = read_json(tmp_path / "record.json")["a"]
    assert value is None or found == value


def doubling(first: str, line: str) -> str:
    """Nine lines, each of which names the one before ten times."""
    names = "abcdefghij"
    return "\n".join([f"a: &a {first}", *(line.format(new=names[i + 1], old=names[i]) for i in range(9))])


BOMB = doubling("[1]", "{new}: &{new} [*{old}, *{old}, *{old}, *{old}, *{old}, *{old}, *{old}, *{old}, *{old}, *{old}]")
MERGES = doubling("{k: 1}", "{new}: &{new} {{<<: [*{old}, *{old}, *{old}, *{old}, *{old}, *{old}, *{old}, *{old}]}}")
CHAIN = "\n".join(["a0: &a0 [1]", *(f"a{i + 1}: &a{i + 1} [*a{i}]" for i in range(100))])


@pytest.mark.timeout(10)
@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "is not a mapping"),
        ("- 1", "is not a mapping"),
        ("a: [1", "is not valid YAML"),
        ("a: 1\n---\nb: 1", "is not valid YAML"),
        ("a: !!python/object/apply:os.getcwd []", "is not valid YAML"),
        ("a: !!int ''", "is not valid YAML"),
        ("a: !!bool x", "is not valid YAML"),
        ("a: !!timestamp x", "is not valid YAML"),
        ("a: " + "1" * 5_000, "is not valid YAML"),
        ("a: &again [*again]", "is not valid YAML"),
        ("a: &again {b: {c: *again}}", "is not valid YAML"),
        ("[" * 100_000, "is not valid YAML"),
        ("- " * 100_000, "is not valid YAML"),
        ("a: " + "[" * 100 + "]" * 100, "nests more than 64 levels"),
        (CHAIN, "nests more than 64 levels"),
        (BOMB, "stands for more than 100,000 values"),
        (MERGES, "stands for more than 100,000 values"),
    ],
)
def test_yaml_is_bounded(text: str, problem: str) -> None:
    with pytest.raises(UnreadableError, match=f"config.yaml {problem}"):
        parse_yaml(text, "config.yaml")


def test_aliases_and_merges_of_any_sense_are_read(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("a: &a {x: 1}\nb: {<<: *a, y: 2}\nc: [*a, *a]\n")
    config = read_yaml(tmp_path / "config.yaml")
    assert config == {"a": {"x": 1}, "b": {"x": 1, "y": 2}, "c": [{"x": 1}, {"x": 1}]}


def test_a_config_is_not_read_beyond_all_measure(tmp_path: Path) -> None:
    hollow(tmp_path / "config.yaml")
    with pytest.raises(UnreadableError, match="config.yaml is larger than 4 MiB"):
        read_yaml(tmp_path / "config.yaml")
