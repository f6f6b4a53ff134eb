"""Config files as a user gives them: written out if a recipe, read within bounds, and named if one holds a mistake."""

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml

from records.files import LARGEST_YAML, UnreadableError, parse_yaml, read_bytes

LONGEST_NUMBER = 40  # digits of a whole number; no option takes as many
CONFIG_SUFFIXES = (".yaml", ".yml", ".json")
PROJECT = Path(__file__).resolve().parents[1]
RECIPES = PROJECT / "configs" / "recipes"
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def read_config_text(path: Path, name: str | None = None) -> str:
    """The text of a config file, once it is known that its parser can neither hang nor drop a part of it.

    Args:
        path: The file.
        name: How messages name it; as its path if not given.

    Raises:
        ValueError: It is no regular file, no text in UTF-8, holds a key twice, or aliases, levels or numbers beyond all
            measure. What else is wrong with it, its parser says.
    """
    name = name or str(path)
    try:
        text = _decoded(read_bytes(path, LARGEST_YAML), name)
    except UnreadableError as error:
        raise ValueError(f"{name} {str(error).removeprefix(f'{path.name} ')}: name a config in YAML.") from None
    try:
        _check_numbers(parse_yaml(text, name), name)
    except UnreadableError as error:
        mark = getattr(error.__cause__, "problem_mark", None)
        if tab := mark and re.match(r"[^\n]*", _line(text, mark.line)) and "\t" in _line(text, mark.line):
            number = mark.line + 1
            raise ValueError(f"{name}: line {number} is indented with a tab, which YAML forbids: use spaces.") from None
        if mark is None and not tab and not str(error).endswith("is not a mapping"):
            cause = error.__cause__
            why = "" if cause is None else f" ({str(cause).splitlines()[0] or type(cause).__name__})"
            raise ValueError(f"{error}{why}: write out what it means.") from None
        return text
    for key, line, earlier in _repeated_keys(text):
        raise ValueError(
            f"{name}: line {line} has {key} a second time, after line {earlier}, whose content would be lost: put both "
            "together."
        )
    return text


def with_recipes_written_out(words: Sequence[str]) -> list[str]:
    """The command line with the files and options of each recipe in its place.

    A recipe is a config with two keys: `configs`, files relative to the current folder or to the project, and
    `options`, which follow them. A recipe of configs/recipes can be called by its name alone.

    Args:
        words: The command line.

    Raises:
        ValueError: There is no recipe of this name, or it has other keys.
    """
    written: list[str] = []
    following = iter(words)
    for word in following:
        option, equals, value = word.partition("=")
        named = option in ("-c", "--config")
        taken = [word, *([] if equals or not named else [next(following, "")])]
        path = _recipe(value if equals else taken[-1]) if named else None
        written += [one for one in taken if one] if path is None else _content_of_recipe(path)
    return written


def _recipe(value: str) -> Path | None:
    """The recipe that a value of --config names; None if it names another config."""
    path = Path(value)
    if re.fullmatch(r"[\w-]+", value) and not path.exists():
        path = RECIPES / f"{value}.yaml"
        if not path.is_file():
            names = sorted(recipe.stem for recipe in RECIPES.glob("*.yaml"))
            meant = get_close_matches(value, names, n=1)
            hint = f"did you mean {meant[0]}?" if meant else f"choose among {', '.join(names)}."
            raise ValueError(f"There is no config {value}, and no recipe of this name: {hint}")
    with suppress(OSError, ValueError):  # of what cannot be read, the parser says why
        if path.is_file() and re.search(rb"^configs:", read_bytes(path, LARGEST_YAML), re.MULTILINE):
            return path
    return None


def _content_of_recipe(path: Path) -> list[str]:
    """The words that a recipe stands for."""
    tree = parse_yaml(read_config_text(path), path.name)
    configs, options = tree.get("configs"), tree.get("options") or {}
    if set(tree) - {"configs", "options"} or not isinstance(configs, list) or not isinstance(options, dict):
        raise ValueError(
            f"{path}: a recipe holds `configs`, a list of files, and `options`, such as `trainer.max_epochs: 5`, and "
            "nothing else."
        )
    words: list[str] = []
    for name in map(str, configs):
        words += ["--config", name if Path(name).is_file() else str(PROJECT / name)]
    for name, value in options.items():
        words.append(f"--{name}={value if isinstance(value, str) else json.dumps(value)}")
    return words


def check_files_among(words: Sequence[str], directory: Path) -> None:
    """Refuse files that the command line names and that would keep their reader waiting, or hold what it would drop.

    Args:
        words: The command line.
        directory: Where its relative paths begin.

    Raises:
        ValueError: A file is a pipe or a device, or a config that `read_config_text` refuses.
    """
    for name, value in _options(words):
        if re.fullmatch(rf"\d{{{LONGEST_NUMBER},}}", value):
            raise ValueError(f"{name} has a number of {len(value)} digits, more than any option takes.")
        path = directory / value
        try:
            exists = path.exists()
        except (OSError, ValueError):  # a name that no file can have
            continue
        if exists and not path.is_file() and not path.is_dir():
            raise ValueError(f"{name}: {value} is not a regular file: name another.")
        if path.is_file() and (name == "config" or path.suffix in CONFIG_SUFFIXES):
            read_config_text(path, value)


def with_file(sentence: str, words: Sequence[str], directory: Path = Path()) -> str:
    """Put the config that holds the mistake before its sentence.

    The value that the sentence tells of decides, and where several files have it, the last one, which is in force.

    Args:
        sentence: What `explain` returned.
        words: The command line.
        directory: Where its relative paths begin.

    Returns:
        The sentence, with the file if a config and not the command line itself is to blame.
    """
    if sentence.endswith("needs a value"):
        return sentence
    key = re.split(r"[: ]", sentence)[0]
    told = sentence.partition("; did you mean")[0]
    mentions: list[tuple[bool, str]] = []  # whether it has the value of the sentence, and where: "" for the words
    class_of_option, damaged = "", ""
    for name, value in _options(words):
        if name != "config":
            mentions += [(_is_told(value, told), "")] if name == key else []
            continue
        leaves = _leaves_of(directory / value)
        if leaves is not None and not any(option for option, _ in leaves):
            damaged = damaged or value
        for option, setting in leaves or ():
            if option == key:
                mentions.append((_is_told(setting, told), value))
            elif option == key.rpartition(".")[0] and " must be given to " in sentence and _is_told(setting, told):
                class_of_option = value
    if mentions:
        told_or_not = max(is_told for is_told, _ in mentions)
        where = [where for is_told, where in mentions if is_told == told_or_not][-1]
    else:
        where = class_of_option or damaged
    return f"{where}: {sentence}" if where else sentence


def _options(words: Sequence[str]) -> Iterator[tuple[str, str]]:
    """The options of a command line by their names, with the value that stands there."""
    for word, following in zip(words, [*words[1:], ""], strict=False):
        if word.startswith("-"):
            option, equals, value = word.partition("=")
            name = re.sub(r"\.init_args|\.help|\.class_path$|^-+", "", option).rstrip("+")
            yield "config" if option == "-c" else name, value if equals else following


def _is_told(setting: Any, told: str) -> bool:
    """Whether a sentence tells of a value, in one of the forms that it may have there."""
    forms = {str(setting), repr(setting), str(setting).rpartition(".")[2]}
    with suppress(TypeError, ValueError, yaml.YAMLError):
        forms |= {json.dumps(setting), yaml.safe_dump(setting, default_flow_style=True).split("\n")[0]}
    return any(re.search(rf"(?<![\w.-]){re.escape(form)}(?![\w-])(?!\.\w)", told) for form in forms if form)


def _leaves_of(path: Path) -> list[tuple[str, Any]] | None:
    """Options of a config file with their values; none if it is damaged, None if it is no file."""
    if not path.is_file():
        return None
    try:
        return list(_leaves(parse_yaml(_decoded(read_bytes(path, LARGEST_YAML), path.name), path.name)))
    except ValueError:
        return []


def _leaves(tree: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Options of a config as the command line names them, with their values."""
    if isinstance(tree, dict):
        for key, value in tree.items():
            yield from _leaves(value, name if key in ("init_args", "class_path") else f"{name}.{key}".lstrip("."))
    elif isinstance(tree, list):
        for value in tree:
            yield from _leaves(value, name)
    else:
        yield name, tree


def _decoded(content: bytes, name: str) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if content.startswith((b"\xff\xfe", b"\xfe\xff")):
            encoding = "UTF-16"
        elif b"\0" in content or not re.search(rb"^\s*[\w'\"#-]", content):
            raise ValueError(f"{name}: a config holds options, such as `trainer:`") from None
        else:
            encoding = "Latin-1"
        line = content[: error.start].count(b"\n") + 1
        raise ValueError(
            f"{name}: line {line} is not in UTF-8, perhaps in {encoding}: save the file in UTF-8."
        ) from None


def _line(text: str, number: int) -> str:
    lines = text.splitlines()
    return lines[number] if number < len(lines) else ""


def _check_numbers(tree: Any, name: str) -> None:
    for option, value in _leaves(tree):
        if isinstance(value, int) and abs(value) >= 10**LONGEST_NUMBER:
            raise ValueError(f"{name}: {option} is a number of {len(str(value))} digits, more than any option takes.")


def _repeated_keys(text: str) -> Iterator[tuple[str, int, int]]:
    """Keys that one mapping has twice, with the line of the second and of the first, counted from 1."""
    nodes, seen = [yaml.compose(text, Loader=_LOADER)], set()
    while nodes:
        node = nodes.pop()
        if node is None or id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            nodes += node.value
        elif isinstance(node, yaml.MappingNode):
            lines: dict[str, int] = {}
            for key, value in node.value:
                nodes.append(value)
                if not isinstance(key, yaml.ScalarNode) or key.tag == "tag:yaml.org,2002:merge":
                    continue
                line = key.start_mark.line + 1
                if key.value in lines:
                    yield key.value, line, lines[key.value]
                lines[key.value] = line
