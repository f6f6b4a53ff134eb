"""A command line that answers a mistake with one line, and keeps to itself what no user of it needs to know."""

import logging
import re
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from traceback import walk_tb
from typing import Any, NoReturn

import yaml
from jsonargparse import ArgumentError, Namespace
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.cli import LightningArgumentParser

from experiment.explanations import MARK, explain, faults

ROOT = Path(__file__).resolve().parent.parent
UNHELPFUL_WARNINGS = (
    r".*treespec, LeafSpec.*",  # Lightning 2.6.6 calls what torch 2.15 deprecates
    r".*does not have many workers.*",  # batches come from memory
    r".*Checkpoint directory .* exists and is not empty.*",  # that is what resuming means
    r".*The dirpath has changed from .*",  # an evaluation writes to a directory of its own
)


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
        try:
            return super().parse_args(args, *more, **kwargs)
        except UnicodeDecodeError as error:
            self.error("Unexpected config: not a text", error)

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
    """Print an error that this project or Lightning raised for the user as one line, and exit with code 2.

    So is a file that may not be read or written. What else torch or another library raises is a bug of ours, and keeps
    its traceback.
    """
    try:
        yield
    except PermissionError as error:
        if error.filename is None:
            raise
        sys.stderr.write(
            f"error: {error.filename} may not be read or written: change its permissions, or name another.\n"
        )
        raise SystemExit(2) from error
    except (ValueError, OSError, MisconfigurationException) as error:
        if not any(_is_for_the_user(link) for link in _chain(error)):
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
    return next(iter(faults(str(exception)) or str(exception).splitlines()), type(exception).__name__)


def silence_unhelpful_messages() -> None:
    """Keep messages of libraries that tell a user nothing from the terminal; all others stay."""
    for message in UNHELPFUL_WARNINGS:
        warnings.filterwarnings("ignore", message=message)
    logging.getLogger("lightning.pytorch.utilities.rank_zero").addFilter(_is_no_advertisement)


def _is_no_advertisement(record: logging.LogRecord) -> bool:
    return "💡 Tip" not in record.getMessage()


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error and its causes: jsonargparse wraps errors of ours, and ours may be raised from another library's."""
    while error is not None:
        yield error
        error = error.__cause__


def _is_for_the_user(error: BaseException) -> bool:
    if not isinstance(error, ValueError | OSError | MisconfigurationException):
        return False
    *_, (frame, _) = walk_tb(error.__traceback__)
    file = Path(frame.f_code.co_filename)
    package = frame.f_globals["__name__"].partition(".")[0]
    return package == "lightning" or (file.is_relative_to(ROOT) and "site-packages" not in file.parts)


def with_file(sentence: str, words: Sequence[str], directory: Path = Path()) -> str:
    """Put the config that holds the mistake before its sentence.

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
    quoted = re.split(r"[ :,;]+", sentence.partition("; did you mean")[0])
    if any(
        re.sub(r"\.init_args|\.help|\+?=.*|^--", "", word).rstrip("+") == key for word in words if word.startswith("--")
    ):
        return sentence
    holders, unreadable = [], []
    for option, value in zip(words, [*words[1:], ""], strict=False):
        path = value if option in ("--config", "-c") else option.removeprefix("--config=")
        if path == option or not (directory / path).is_file():
            continue
        try:
            leaves = list(_leaves(yaml.safe_load((directory / path).read_text())))
        except (yaml.YAMLError, UnicodeDecodeError):
            leaves = []
        if not any(name for name, _ in leaves):
            unreadable.append(path)
        holders += [(str(setting) in quoted, path) for name, setting in leaves if name == key]
    if holders:
        return f"{max(holders, key=lambda holder: holder[0])[1]}: {sentence}"
    return f"{unreadable[0]}: {sentence}" if unreadable else sentence


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
