"""Files that are whole or absent, and a reader that a damaged or hostile file can neither hang nor exhaust."""

import errno
import json
import os
import re
import secrets
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from io import BufferedRandom, BufferedReader
from pathlib import Path
from typing import Any

import yaml

PART = ".part"
LARGEST_JSON = 64 * 2**20
LARGEST_YAML = 4 * 2**20
DEEPEST = 64  # levels of JSON or YAML; a record has six
LONGEST_NUMBER = 1_000  # digits
MOST_NODES = 100_000  # of YAML, once its aliases are written out

_ONE_KIND = bytes.maketrans(b"{}", b"[]")
_NO_BRACKETS = bytes(set(range(256)) - set(b'[]{}"'))
# PyYAML's own converters of !!int, !!bool and !!timestamp fail in many ways.
_YAML_ERRORS = (yaml.YAMLError, ValueError, ArithmeticError, LookupError, TypeError, AttributeError, RecursionError)


class UnreadableError(ValueError):
    """A file of a run cannot be read; the message begins with its name and says what is wrong."""


@contextmanager
def whole_file(path: Path, shared: bool = False) -> Iterator[BufferedRandom]:
    """Write a file so that its name stands for the old or the new content at every instant, even of a power failure.

    It is written under another name in its own folder, flushed to the disk and renamed; then the folder is flushed.
    After an error the old content is still there, and nothing else.

    Args:
        path: The file; its folder is made if need be.
        shared: Whether several processes may write it at once: each to a part of its own, and the last one wins.
            Otherwise a part that a killed process left behind is written over.

    Yields:
        The file to write to, opened for reading, too; its `name` is that of the part.

    Raises:
        OSError: It cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() and not path.is_file():  # to replace a device or a pipe would break it for everybody
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    part = path.with_name(f"{path.name}.{secrets.token_hex(4)}{PART}" if shared else f"{path.name}{PART}")
    try:
        with part.open("w+b") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except BaseException as error:
        for link in (error, error.__context__):  # torch.save raises an error of its own while it handles the disk's
            if isinstance(link, OSError) and link.errno is not None and link.filename is None:
                link.filename = str(path)
        part.unlink(missing_ok=True)
        raise
    _flush_folder(path.parent)


def write_whole(path: Path, content: bytes | str, shared: bool = False) -> None:
    """Write bytes, or text in UTF-8, as `whole_file` does."""
    with whole_file(path, shared) as file:
        file.write(content.encode() if isinstance(content, str) else content)


def write_json(path: Path, record: Mapping[str, Any], indent: int | None = None) -> None:
    """Write plain values, in one line without spaces, or with `indent` spaces for each level."""
    separators = None if indent else (",", ":")
    write_whole(path, json.dumps(record, indent=indent, separators=separators) + "\n")


def remove_parts(folder: Path) -> None:
    """Remove what killed processes were writing to a folder."""
    for path in folder.glob(f"*{PART}"):
        path.unlink(missing_ok=True)


@contextmanager
def open_regular(path: Path) -> Iterator[BufferedReader]:
    """Open a regular file for reading; one that is no regular file, such as a pipe, is not even waited for.

    Raises:
        UnreadableError: It is missing, no regular file, or not to be read.
    """
    try:
        # A pipe that nobody writes to would else be waited for.
        file = open(path, "rb", opener=lambda name, flags: os.open(name, flags | getattr(os, "O_NONBLOCK", 0)))  # noqa: SIM115
    except (FileNotFoundError, NotADirectoryError) as error:
        raise UnreadableError(f"{path.name} is missing") from error
    except IsADirectoryError as error:
        raise UnreadableError(f"{path.name} is not a regular file") from error
    except (OSError, ValueError) as error:  # a name with a zero byte
        raise UnreadableError(f"{path.name} cannot be read ({getattr(error, 'strerror', error)})") from error
    with file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise UnreadableError(f"{path.name} is not a regular file")
        yield file


def read_bytes(path: Path, largest: int) -> bytes:
    """The content of a regular file of at most `largest` bytes; see `open_regular`.

    Raises:
        UnreadableError: It is missing, no regular file, larger, or not to be read.
    """
    with open_regular(path) as file:
        try:
            content = file.read(min(os.fstat(file.fileno()).st_size + 2**20, largest) + 1)  # it may grow meanwhile
        except OSError as error:
            raise UnreadableError(f"{path.name} cannot be read ({error.strerror})") from error
    if len(content) > largest:
        raise UnreadableError(f"{path.name} is larger than {largest / 2**20:,.0f} MiB")
    return content


def read_text(path: Path, largest: int) -> str:
    """The content of a regular file as text in UTF-8; see `read_bytes`.

    Raises:
        UnreadableError: It cannot be read, or is no such text.
    """
    return text_of(read_bytes(path, largest), path.name)


def text_of(content: bytes, name: str) -> str:
    """The text in UTF-8 that bytes hold; they are called `name` where they are damaged.

    Raises:
        UnreadableError: They are no such text.
    """
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UnreadableError(f"{name} cannot be read (it is not a text in UTF-8)") from error


def read_json(path: Path, largest: int = LARGEST_JSON) -> dict[str, Any]:
    """The object that a JSON file holds; of a key that stands twice, the last value; NaN and infinities are numbers.

    Raises:
        UnreadableError: It cannot be read, is no object, or nests too deeply or holds too long a number.
    """
    content = read_bytes(path, largest)
    try:
        values = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise UnreadableError(f"{path.name} is not valid JSON") from error
    if not isinstance(values, dict):
        raise UnreadableError(f"{path.name} is not a JSON object")
    if _is_deeper(content, DEEPEST):
        raise UnreadableError(f"{path.name} nests more than {DEEPEST} levels")
    if re.search(rb"\d{%d}" % (LONGEST_NUMBER + 1), content):
        raise UnreadableError(f"{path.name} holds a number of more than {LONGEST_NUMBER:,} digits")
    return values


def parse_yaml(text: str, name: str) -> dict[str, Any]:
    """The mapping that a YAML text holds, plain values only; it is called `name` where it is damaged.

    Raises:
        UnreadableError: It is no mapping or not valid, or its aliases lead back to themselves or multiply.
    """
    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)(text)
    try:
        node = loader.get_single_node()
        if node is None:
            raise UnreadableError("is not a mapping")
        _extent(node, {})  # before anything is made of the nodes: merge keys, too, would be written out there
        tree = loader.construct_document(node)
    except UnreadableError as error:
        raise UnreadableError(f"{name} {error}") from None
    except _YAML_ERRORS as error:
        raise UnreadableError(f"{name} is not valid YAML") from error
    finally:
        loader.dispose()
    if not isinstance(tree, dict):
        raise UnreadableError(f"{name} is not a mapping")
    return tree


def read_yaml(path: Path, largest: int = LARGEST_YAML) -> dict[str, Any]:
    """The mapping that a YAML file holds; see `parse_yaml`.

    Raises:
        UnreadableError: It cannot be read, or is not such a file.
    """
    return parse_yaml(read_text(path, largest), path.name)


def _flush_folder(folder: Path) -> None:
    """Make a rename last through a power failure; Windows and some network file systems have no such call."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(descriptor)


def _is_deeper(content: bytes, levels: int) -> bool:
    """Whether valid JSON nests deeper. Its brackets tell, so that no value is looked at: innermost pairs go first."""
    brackets = content.replace(rb"\\", b"").replace(rb"\"", b"").translate(_ONE_KIND, _NO_BRACKETS)
    brackets = re.sub(rb'"[^"]*"', b"", brackets)
    for _ in range(levels):
        brackets = brackets.replace(b"[]", b"")
        if not brackets:
            return False
    return True


def _extent(node: Any, known: dict[int, tuple[int, int] | None]) -> tuple[int, int]:
    """Nodes and levels below a node once its aliases are written out, refused if there are too many.

    None in `known` is a node that is being measured.
    """
    if isinstance(node, yaml.ScalarNode):
        return 1, 1
    if id(node) in known:
        if (extent := known[id(node)]) is None:
            raise yaml.YAMLError("an alias leads back to itself")
        return extent
    known[id(node)] = None
    children = node.value if isinstance(node, yaml.SequenceNode) else [child for pair in node.value for child in pair]
    extents = [_extent(child, known) for child in children]
    nodes = 1 + sum(nodes for nodes, _ in extents)
    levels = 1 + max((levels for _, levels in extents), default=0)
    if nodes > MOST_NODES:
        raise UnreadableError(f"stands for more than {MOST_NODES:,} values")
    if levels > DEEPEST:
        raise UnreadableError(f"nests more than {DEEPEST} levels")
    known[id(node)] = nodes, levels
    return nodes, levels
