"""One line for every mistake on the command line or in a config, with what was probably meant."""

import inspect
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, NoReturn, Union, get_args, get_origin

import yaml
from jsonargparse import ArgumentError, Namespace
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import LightningDataModule, LightningModule
from lightning.pytorch.cli import LightningArgumentParser

# The options of a class are checked by a parser of their own, whose error jsonargparse buries among those of the
# parsers around it: the marks let them find its sentence again.
MARK = "\x1f"
WORDS = {int: "an integer", float: "a number", str: "a string", NoneType: "null"}
SCALARS = {int, float, str, "true"}


class ExperimentArgumentParser(LightningArgumentParser):
    """A parser that answers a mistake with one line and exit code 2, without the usage."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{"allow_abbrev": False, **kwargs})
        self._words: Sequence[str] = ()
        self._directory = Path()
        self._owner: type | None = None

    def parse_args(self, args: Sequence[str] | None = None, *more: Any, **kwargs: Any) -> Namespace:  # type: ignore[override]
        """Parse, and remember the words in order to name the config that holds a mistake."""
        self._words = list(sys.argv[1:] if args is None else args)
        self._directory = Path.cwd()  # that of a config while the config is read
        return super().parse_args(args, *more, **kwargs)

    def add_class_arguments(
        self, theclass: type, nested_key: str | None = None, *more: Any, **kwargs: Any
    ) -> list[str]:
        """Add the options of a class, and remember the class if the parser is all its own."""
        if nested_key is None:
            self._owner = theclass
        return super().add_class_arguments(theclass, nested_key, *more, **kwargs)

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Print the explained message and exit."""
        parser = getattr(ex, "subcommand_parser", None) or self
        options = {action.dest: getattr(action, "_typehint", None) for action in parser._actions}
        sentence = explain(message, options, self._owner)
        if not self.exit_on_error:
            raise ArgumentError(None, f"{MARK}{sentence}{MARK}") from ex
        self.exit(2, f"error: {with_file(sentence, self._words, self._directory)}\n")


@contextmanager
def one_line_for_usage_errors() -> Iterator[None]:
    """Answer an error that names the user's remedy with one line and exit code 2; leave a bug its traceback."""
    try:
        yield
    except (ValueError, OSError, MisconfigurationException) as error:
        cause: BaseException = error
        while cause.__cause__ is not None:
            cause = cause.__cause__
        if not isinstance(cause, ValueError | OSError | MisconfigurationException):
            raise
        sys.stderr.write(f"error: {one_line(error)}\n")
        raise SystemExit(2) from error


def one_line(exception: BaseException) -> str:
    """The sentence of an exception, without what jsonargparse wraps around it when it instantiates a class.

    Args:
        exception: What was raised.

    Returns:
        One line.
    """
    return _innermost(str(exception)) or type(exception).__name__


def explain(message: str, options: Mapping[str, Any], owner: type | None = None) -> str:
    """Say in one line what is wrong and what was probably meant.

    Args:
        message: The message of jsonargparse.
        options: Type hint by name, of the options of the parser that complains.
        owner: The class whose options they are, if the parser is that of one class.

    Returns:
        One line, which begins with the name of the option if one is to blame.
    """
    if MARK in message:
        key = re.search(r'Parser key "([^"]+)"', message)
        return (f"{key[1]}." if key else "") + message.split(MARK)[1]
    for pattern, explained in (
        (r"unrecognized arguments: (?P<word>\S+)", lambda m: _unknown_word(m["word"], options)),
        (r"does not accept option '(?P<key>.+)'", lambda m: _unknown_option(m["key"], options, owner)),
        (r"Option '(?P<key>.+)' is not accepted", lambda m: _unknown_option(m["key"], options, owner)),
        (r"arguments are required: (?P<keys>.+)", lambda m: _missing(m["keys"].split(", "), owner)),
        (r"invalid choice: '(?P<word>.*)' \(choose from (?P<names>.+)\)", lambda m: _unknown_command(**m.groupdict())),
        (r"one of \{(.+)\}, but it was not", lambda m: f"no command is given: {_either(m[1].split(','))}"),
        (r"argument --(?P<key>\S+): expected", lambda m: f"{m['key']} needs a value"),
        (r"File does not exist: '(?P<path>.+)'", lambda m: _missing_file(Path(m["path"]))),
        (r"(?s)Problems parsing config: .*?(?P<problem>[^\n]+)\n\s+in [^\n]*(?P<place>line \d+, column \d+)\s*$",
         lambda m: f"{m['place']}: {m['problem']}"),
        (r"Unexpected config: ", lambda m: "a config holds options, such as `trainer:`"),
        (r'Parser key "(?P<key>[^"]+)"', lambda m: _wrong_value(m["key"], message, options.get(m["key"]))),
    ):  # fmt: skip
        if match := re.search(pattern, message):
            return explained(match)
    return _innermost(message)


def with_file(sentence: str, words: Sequence[str], directory: Path = Path()) -> str:
    """Put the config that holds the mistake before its sentence.

    Args:
        sentence: What `explain` returned.
        words: The command line.
        directory: Where its relative paths begin.

    Returns:
        The sentence, with the file if a config and not the command line itself is to blame.
    """
    key = re.split(r"[: ]", sentence)[0]
    quoted = re.split(r"[ :,;]+", sentence.partition("; did you mean")[0])
    if any(re.sub(r"\.init_args|\+?=.*|^--", "", word).rstrip("+") == key for word in words if word.startswith("--")):
        return sentence
    holders = []
    for option, value in zip(words, [*words[1:], ""], strict=False):
        path = value if option in ("--config", "-c") else option.removeprefix("--config=")
        if path == option or not (directory / path).is_file():
            continue
        try:
            tree = yaml.safe_load((directory / path).read_text())
        except yaml.YAMLError:
            return f"{path}: {sentence}"
        if not isinstance(tree, dict):
            return f"{path}: {sentence}"
        holders += [(str(value) in quoted, path) for name, value in _leaves(tree) if name == key]
    return f"{max(holders, key=lambda holder: holder[0])[1]}: {sentence}" if holders else sentence


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


def _unknown_word(word: str, options: Iterable[str]) -> str:
    if not word.startswith("-"):
        return f"{word} is not expected: an option is --name value"
    return _unknown_option(word.lstrip("-").split("=")[0], options, None)


def _unknown_option(key: str, options: Iterable[str], owner: type | None) -> str:
    if key == "class_path":
        return "class_path stands beside other keys: put those under init_args"
    if owner in (LightningModule, LightningDataModule):
        return f"{key} is an option of no class yet: name the class before its options"
    by_tail = {option.rsplit(".", 1)[-1]: option for option in options}
    meant = _closest(key, options) or by_tail.get(_closest(key.rsplit(".", 1)[-1], by_tail) or "")
    return f"{key} is not an option{f' of {owner.__name__}' if owner else ''}{_did_you_mean(meant)}"


def _missing(keys: list[str], owner: type | None) -> str:
    if owner is not None:
        return f"{_either(keys, 'and')} must be given to {owner.__name__}"
    names = [key.rsplit(".", 1)[-1] for key in keys]
    flags = _either([f"--{name}" for name in names], "and")
    return f"{_either(names, 'and')} must be given: with {flags}, or in a config"


def _unknown_command(word: str, names: str) -> str:
    commands = re.findall(r"\w+", names)
    return f"{word} is not a command{_did_you_mean(_closest(word, commands)) or f': {_either(commands)}'}"


def _missing_file(path: Path) -> str:
    path = path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
    known = [str(file) for folder in (path.parent, *Path("configs").rglob("")) for file in folder.glob("*.y*ml")]
    by_name = {Path(file).name: file for file in known}
    meant = _closest(str(path), known) or by_name.get(_closest(path.name, by_name) or "")
    return f"{path} does not exist{_did_you_mean(meant)}"


def _wrong_value(key: str, message: str, hint: Any) -> str:
    """Say which values the type hint of an option admits, or which class was meant."""
    value = (re.findall(r"(?:Given|Got) value: (.*)", message) or [""])[-1]
    if nested := re.match(r"NestedArg\(key='(\w+)'", value):
        return f"{key}.{nested[1]} is an option of no class yet: name the class before its options"
    class_path = re.search(r"dot import path string: (\S+)|given class_path '(.+?)'|class_path=?'?:? ?'(.+?)'", message)
    name = next(group for group in class_path.groups() if group) if class_path else value
    if hint is None or not name:
        return f"{key}: {_innermost(message)}"
    bases = list(_classes(hint))
    if bases and "does not correspond to a subclass" in message:
        return f"{key} must be {_either([f'a {base.__name__}' for base in bases])}, which {name} is not"
    known = sorted({cls.__name__ for base in bases for cls in _subclasses(base)})
    meant = _closest(name.rsplit(".", 1)[-1], known)
    alternatives = list(dict.fromkeys(_alternatives(hint)))
    if meant or (known and name.replace(".", "").isidentifier() and not SCALARS.intersection(alternatives)):
        return f"{key}: {name} is not a known class{_did_you_mean(meant)}"
    words = list(dict.fromkeys(_word(alternative) for alternative in alternatives))
    meant = _closest(value, [word for word in words if " " not in word])
    return f"{key} must be {_either(words)}, not {value}{_did_you_mean(meant)}"


def _alternatives(hint: Any) -> Iterator[Any]:
    """The types and literal values of a union."""
    if get_origin(hint) is Literal:
        yield from get_args(hint)
    elif get_origin(hint) in (Union, UnionType):
        for argument in get_args(hint):
            yield from _alternatives(argument)
    elif hint is bool:
        yield from ("true", "false")
    else:
        yield hint


def _classes(hint: Any) -> Iterator[type]:
    """The classes of which an option takes a subclass."""
    if get_origin(hint) is Callable:
        yield from _classes(get_args(hint)[-1])
    elif get_args(hint) and get_origin(hint) is not Literal:
        for argument in get_args(hint):
            yield from _classes(argument)
    elif inspect.isclass(hint) and hint.__module__ != "builtins":
        yield hint


def _subclasses(base: type) -> Iterator[type]:
    for cls in base.__subclasses__():
        yield cls
        yield from _subclasses(cls)


def _word(alternative: Any) -> str:
    if inspect.isclass(alternative):
        return WORDS.get(alternative, f"a {alternative.__name__}")
    names = [cls.__name__ for cls in _classes(alternative)]
    return f"a list of {_either(names)}" if names else str(alternative)


def _either(words: Sequence[str], last: str = "or") -> str:
    return f" {last} ".join(filter(None, [", ".join(words[:-1]), words[-1]]))


def _closest(word: str, candidates: Iterable[str]) -> str | None:
    by_lower_case = {candidate.lower(): candidate for candidate in candidates}
    return next((by_lower_case[match] for match in get_close_matches(word.lower(), by_lower_case, n=1)), None)


def _did_you_mean(meant: str | None) -> str:
    return f"; did you mean {meant}?" if meant else ""


def _innermost(message: str) -> str:
    """The line of a nested message that says what is wrong, not what else would have been right."""
    lines = [line.strip().removeprefix("- ") for line in message.splitlines()]
    boilerplate = r"Expected a|Does not validate|Subtypes: |Errors:|Given value|Not a valid|Parser key|Problem with|$"
    return next((line for line in lines if not re.match(boilerplate, line)), lines[0] if lines else "")
