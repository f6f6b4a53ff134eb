"""What errors of the system mean, one sentence with a remedy each, and how a command ends that meets one."""

import errno
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

MISTAKE, FAILED, INTERRUPTED = 2, 1, 130
ROOT = Path(__file__).resolve().parents[1]


class Failure(NamedTuple):
    """How a command ends.

    Attributes:
        sentence: What is wrong, and what to do about it.
        code: Exit code: 2 for a mistake, which another command avoids; 1 for a run that failed by itself.
    """

    sentence: str
    code: int


def exit_status(command: Callable[[], None], on_interrupt: str = "Stopped.") -> int:
    """Run a command that only reads and prints, and turn what ends it into an exit status.

    Args:
        command: Prints its result; raises a ValueError where the user must change something.
        on_interrupt: What to say after Ctrl+C.

    Returns:
        0; 2 after a mistake, 1 after a failure, each printed as one sentence; 130 after Ctrl+C.
    """
    print_whatever_the_encoding()
    try:
        command()
        sys.stdout.flush()
        return 0
    except KeyboardInterrupt:
        print(f"\n{on_interrupt}", file=sys.stderr)
        return INTERRUPTED
    except Exception as error:
        _forget_output()
        if isinstance(error, BrokenPipeError):  # of `… | head`, which has read enough
            return 0
        failure = _failure_of(error)
        if failure is None:
            raise
        print(f"error: {failure.sentence}", file=sys.stderr)
        return failure.code


def print_whatever_the_encoding() -> None:
    """Have a terminal without ± or – show a question mark instead of a traceback."""
    for stream in (sys.stdout, sys.stderr):
        getattr(stream, "reconfigure", lambda **_: None)(errors="replace")


def _forget_output() -> None:
    """Let what could not be printed go, of which Python would complain at its end."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except ValueError:  # it is closed
        pass


def _failure_of(error: Exception) -> Failure | None:
    if isinstance(error, ValueError) and not isinstance(error, UnicodeError):
        return Failure(str(error), MISTAKE)
    for rule in (disk, memory, package, home, encoding, number):
        if (failure := rule(error)) is not None:
            return failure
    if isinstance(error, FileNotFoundError) and error.filename is not None:
        return Failure(f"{os.fsdecode(error.filename)} is not there: name another.", MISTAKE)
    return None


def chain(error: BaseException | None, contexts: bool = True) -> Iterator[BaseException]:
    """An error, what it was raised from, and, with `contexts`, what was being handled when it was raised."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or (error.__context__ if contexts and not error.__suppress_context__ else None)


def one_sentence(error: BaseException, remedy: str = "") -> str:
    """The first line of a message without its full stop, and a remedy."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return f"{lines[0].strip().rstrip('.:')}{f': {remedy}' if remedy else ''}."


FULL = (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC))
OF_FILES = {
    errno.EROFS: ("is on a file system that is read-only: make it writable, or name another place", MISTAKE),
    errno.EACCES: ("may not be read or written: change its permissions, or name another", MISTAKE),
    errno.EPERM: ("may not be read or written: change its permissions, or name another", MISTAKE),
    errno.EISDIR: ("is a directory: name a file", MISTAKE),
    errno.ENOTDIR: ("cannot be there, for a part of its path is a file: name another", MISTAKE),
    errno.EEXIST: ("exists: name another", MISTAKE),
    errno.EINVAL: ("is no place for a file: name another", MISTAKE),
    errno.ENAMETOOLONG: ("has too long a name: name another", MISTAKE),
    errno.EIO: ("is on a disk that reports an error (EIO): look at the disk, then start again", FAILED),
}


def disk(error: BaseException) -> Failure | None:
    """A file that cannot be read or written, with the place that is left where it is full."""
    if not isinstance(error, OSError):
        return None
    named = isinstance(error.filename, str | bytes | os.PathLike)
    path = os.fsdecode(error.filename) if named else None
    if error.errno in FULL:
        free = _free(Path(path or "."))
        return Failure(f"{path or 'A file'} is on a full disk ({free} are free): make room, or name another.", FAILED)
    if error.errno == errno.EMFILE:
        return Failure("Too many files are open: raise the limit with ulimit -n, or lower data.num_workers.", FAILED)
    if error.errno == errno.ENOMEM:
        return memory(MemoryError())
    if error.errno in OF_FILES and (path or error.errno in (errno.EROFS, errno.EIO)):
        problem, code = OF_FILES[error.errno]
        return Failure(f"{path or 'A file'} {problem}.", code)
    return None


def _free(path: Path) -> str:
    for folder in (path.absolute(), *path.absolute().parents):
        with suppress(OSError):
            return f"{shutil.disk_usage(folder).free:,} bytes"
    return "no bytes"


def memory(error: BaseException) -> Failure | None:
    """Too little memory of a GPU or of the machine, also where it shows by a process that is gone."""
    text = str(error)
    if type(error).__name__ == "OutOfMemoryError" or "CUDA out of memory" in text:  # torch's, which is not imported
        wanted = re.search(r"Tried to allocate ([\d.]+ \w+)", text)
        return Failure(
            f"The GPU has not enough memory{f' for {wanted[1]} more' if wanted else ''}: lower data.batch_size and "
            "raise trainer.accumulate_grad_batches, or use --trainer.precision bf16-mixed.",
            FAILED,
        )
    worker = re.search(r"DataLoader worker \(pid\(?s?\)? ?([\d, ]+)\).*(killed|exited|bus error)", text, re.I | re.S)
    if worker:
        return Failure(
            f"The process {worker[1].strip()} that read data was ended from outside, most likely for want of memory: "
            "lower data.num_workers or data.batch_size, or give /dev/shm more room.",
            FAILED,
        )
    wanted = re.search(r"you tried to allocate (\d+) bytes|allocate memory: .*?(\d+) bytes", text)
    if isinstance(error, MemoryError) or "DefaultCPUAllocator" in text or "not enough memory" in text:
        size = next((f" for {int(group):,} bytes more" for group in (wanted.groups() if wanted else ()) if group), "")
        return Failure(
            f"This machine has not enough memory{size}: lower data.batch_size or data.num_workers, or end other "
            "programs.",
            FAILED,
        )
    return None


def package(error: BaseException) -> Failure | None:
    """A package that is not installed."""
    if not isinstance(error, ImportError):
        return None
    name = (error.name or "").partition(".")[0]
    hint = re.search(r"pip install (?:-U )?[`'\"]?([\w.\[\]-]+)", str(error))
    wanted = name or (hint[1] if hint else "") or (re.findall(r"[`']([\w.-]+)[`' ]", str(error)) or [""])[0]
    wanted = wanted.removesuffix("X") if wanted == "tensorboardX" else wanted  # Lightning takes either
    if not wanted or (ROOT / wanted).exists():
        return None
    return Failure(f"{wanted} is not installed: pip install {wanted}, or leave out what needs it.", MISTAKE)


def home(error: BaseException) -> Failure | None:
    """A user who has no home directory."""
    if isinstance(error, RuntimeError | KeyError) and re.search(r"home directory|getpwuid", str(error)):
        return Failure("This user has no home directory: set the environment variable HOME to a folder.", MISTAKE)
    return None


def encoding(error: BaseException) -> Failure | None:
    """Letters that are no letters in the encoding that is in force."""
    if not isinstance(error, UnicodeError):
        return None
    return Failure(
        f"A file or a name has letters that this locale does not know ({one_sentence(error).rstrip('.')}): save the "
        "file in UTF-8 and set the environment variable PYTHONUTF8=1.",
        MISTAKE,
    )


def number(error: BaseException) -> Failure | None:
    """A number beyond what can be computed with."""
    if isinstance(error, OverflowError):
        return Failure(f"A number is too large ({one_sentence(error).rstrip('.')}): give a smaller one.", MISTAKE)
    return None
