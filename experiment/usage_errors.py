"""A command line that answers a mistake with one line, and keeps to itself what no user of it needs to know."""

import logging
import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import chdir, contextmanager
from pathlib import Path
from traceback import walk_tb
from typing import Any, NoReturn

from jsonargparse import ArgumentError, Namespace
from lightning.fabric.utilities.exceptions import MisconfigurationException

from experiment.config_files import check_files_among, read_config_text, with_file
from experiment.explanations import MARK, explain, faults
from experiment.failures import failure_of
from experiment.short_help import ShortHelpParser
from records.failures import MISTAKE, Failure, chain, print_whatever_the_encoding

ROOT = Path(__file__).resolve().parent.parent
UNHELPFUL_WARNINGS = (
    r".*treespec, LeafSpec.*",  # Lightning 2.6.6 calls what torch 2.15 deprecates
    r".*does not have many workers.*",  # batches come from memory
    r".*Checkpoint directory .* exists and is not empty.*",  # that is what resuming means
    r".*The dirpath has changed from .*",  # an evaluation writes to a directory of its own
)


class ExperimentArgumentParser(ShortHelpParser):
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
        check_files_among(self._words, self._directory)
        return super().parse_args(args, *more, **kwargs)

    def parse_path(self, path: str | os.PathLike[str], *more: Any, **kwargs: Any) -> Namespace:
        """Parse a config file, which is in UTF-8 whatever the locale, as its words relative to its folder."""
        file = Path(path).absolute()
        text = read_config_text(file, str(path))
        with chdir(file.parent):
            return self.parse_string(text, file.name, *more, **kwargs)

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
    """Print an error that has a sentence as one line; exit with code 2 for a mistake, with 1 for a run that failed.

    Those are the errors that this project or Lightning raised for the user, and those of other libraries that the table
    of `experiment.failures` knows. What else torch or another library raises is a bug of ours, and keeps its traceback.
    """
    print_whatever_the_encoding()
    try:
        yield
    except Exception as error:
        failure = failure_of(error)
        if failure is None and any(_is_for_the_user(link) for link in chain(error, contexts=False)):
            failure = Failure(one_line(error), MISTAKE)
        if failure is None:
            raise
        if failure.code != MISTAKE:
            raise SystemExit(f"error: {failure.sentence}") from error
        sys.stderr.write(f"error: {failure.sentence}\n")
        raise SystemExit(MISTAKE) from error


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


def _is_for_the_user(error: BaseException) -> bool:
    if not isinstance(error, ValueError | OSError | MisconfigurationException):
        return False
    frames = [frame for frame, _ in walk_tb(error.__traceback__)]
    if not frames:  # a cause that was never raised
        return False
    frame = frames[-1]
    file = Path(frame.f_code.co_filename)
    package = frame.f_globals["__name__"].partition(".")[0]
    return package == "lightning" or (file.is_relative_to(ROOT) and "site-packages" not in file.parts)
