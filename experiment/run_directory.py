"""The directory of a run: one process writes to it, and a command that is refused gives it back."""

import json
import os
import re
import secrets
import shutil
import socket
import threading
import unicodedata
import weakref
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from records.failures import FAILED
from records.files import UnreadableError, read_bytes, read_json
from records.layout import LOCK

DEFAULT_ROOT = Path("runs")
ATTEMPTS = 5  # to take the place of a dead process, if others try so, too
LARGEST_LOCK = 4096  # bytes
BEAT_SECONDS = 20.0  # between two signs of life of the process that writes to a run
SILENT_SECONDS = 180.0  # after which a process of another host counts as dead
LONGEST_SLUG = 100  # bytes


class RunInUseError(ValueError):
    """Another process writes to the run."""


class RunDirectory:
    """A run's directory, and what becomes of it when the process ends.

    Args:
        path: The directory.
        created: Folders that were made for it, outermost first; whatever is in `path` goes, too, if nothing was kept.
        owned: Whether this process writes to it: rank 0 does, and nobody in a trial step.
    """

    def __init__(self, path: Path, created: list[Path] | None = None, owned: bool = False) -> None:
        self.path = path
        self.kept = created is None
        self._created = created or []
        self._owned = owned
        self._ends = threading.Event()
        if owned:
            weakref.finalize(self, self._ends.set)
            threading.Thread(target=_show_life, args=(path / LOCK, self._ends), daemon=True).start()

    @classmethod
    def of_earlier_run(cls, path: Path) -> "RunDirectory":
        """Take the directory of a run that goes on, or a new one of this very name.

        Raises:
            RunInUseError: Another process writes to it.
            ValueError: It cannot be created or written to.
        """
        try:
            created = None if path.is_dir() and _has_content(path) else _make(path)
            _lock(path)
        except OSError as error:
            raise ValueError(f"The run directory {path} cannot be written to ({error.strerror}).") from error
        return cls(path, created, owned=True)

    @classmethod
    def new(cls, wanted: Path) -> "RunDirectory":
        """Take `wanted`, or `wanted-2`, `wanted-3`, … if something is in it; of runs that start at once, one gets it.

        Raises:
            ValueError: The directory cannot be created or written to.
        """
        if wanted.exists() and not wanted.is_dir():
            raise ValueError(f"{wanted} is a file: name a directory with --run_dir.")
        number = 1
        while True:
            candidate = wanted if number == 1 else wanted.with_name(f"{wanted.name}-{number}")
            number += 1
            created: list[Path] = []
            try:
                if candidate.exists() and (not candidate.is_dir() or _has_content(candidate)):
                    continue
                created = _make(candidate)
                _lock(candidate)
            except RunInUseError:
                continue
            except OSError as error:
                _remove_empty(created)
                raise ValueError(f"The run directory {candidate} cannot be written to ({error.strerror}).") from error
            directory = cls(candidate, created, owned=True)
            if not _has_content(candidate):
                return directory
            directory.kept = True  # another process was here between the two looks
            directory.close()

    def keep(self) -> None:
        """Keep what is in the directory: the run has begun."""
        self.kept = True

    def close(self) -> None:
        """Let other processes write to the run; remove what was made for a run that did not begin."""
        if not self._owned:
            return
        self._ends.set()
        if self.kept:
            _unlock(self.path)
            return
        for path in self.path.iterdir() if self.path.is_dir() else ():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
        _remove_empty(self._created)


def new_run_directory(root: Path, data: str, architecture: str, command: str, now: datetime) -> RunDirectory:
    """Take `root/data/architecture/date_time`, with the command's name behind it unless that is fit.

    A second run of the same second gets a number.
    """
    suffix = "" if command == "fit" else f"-{command}"
    return RunDirectory.new(root / slug(data) / slug(architecture) / f"{now:%Y-%m-%d_%H-%M-%S}{suffix}")


def slug(name: str) -> str:
    """`name` as a folder's name: lower case, a hyphen for what is no letter of a script, digit, dot or underscore."""
    letters = re.sub(r"[^\w.]+", "-", unicodedata.normalize("NFC", name).lower())
    return letters.encode()[:LONGEST_SLUG].decode(errors="ignore").strip("-.") or "unnamed"


def _make(path: Path) -> list[Path]:
    """Make a folder. Returns those that were not there, outermost first."""
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    path.mkdir(parents=True, exist_ok=True)
    return missing[::-1]


def _remove_empty(folders: list[Path]) -> None:
    for folder in reversed(folders):
        with suppress(OSError):  # another run may be in it meanwhile
            folder.rmdir()


def _has_content(directory: Path) -> bool:
    return any(not path.name.startswith(LOCK) for path in directory.iterdir())


def _lock(directory: Path) -> None:
    """Put this process's name into the lock of a run, in the place of that of a dead process of this host.

    Raises:
        RunInUseError: A process that lives, or one of another host, holds it.
        OSError: The directory cannot be written to.
    """
    lock, own = directory / LOCK, directory / f"{LOCK}.{secrets.token_hex(4)}"
    own.write_text(json.dumps(_this_process()), encoding="utf-8")
    try:
        holder = _take(lock, own)
    finally:
        own.unlink(missing_ok=True)
    if holder is None:
        return
    host, number = holder.get("host"), holder.get("pid")
    if host is None:
        raise RunInUseError(f"{lock} does not tell which process writes to the run: remove it if none does.")
    remedy = (
        "wait for its end, or end it"
        if host == socket.gethostname()
        else f"if it has ended, or the host is down, remove {lock} and start again, or wait {SILENT_SECONDS:.0f} s"
    )
    raise RunInUseError(f"Process {number} on {host} writes to the run {directory}: {remedy}.")


def _take(lock: Path, own: Path) -> dict[str, Any] | None:
    """Give the file `own` the name `lock`, too. Returns None, or the process that has it.

    A link gives the name: the lock is whole from the first instant, and of several processes, on whatever host, one
    succeeds, on network file systems, too. The name of a dead process is never free for an instant: who holds the lock
    of its succession looks once more, and puts that lock in its place.
    """
    succession = lock.with_name(f"{lock.name}.next")
    holder: dict[str, Any] = {}
    for _ in range(ATTEMPTS):
        with suppress(FileExistsError):
            _give_name(own, lock)
            return None
        found = _content(lock)
        if found is None:  # it has been given back since
            continue
        holder = _holder(lock) or {}
        if holder and not _is_dead(holder) and not _is_silent(holder, lock, own):
            return holder
        if (successor := _take(succession, own)) is not None:
            return successor
        if _content(lock) == found:
            succession.replace(lock)
            return None
        succession.unlink(missing_ok=True)
    return holder


def _give_name(own: Path, lock: Path) -> None:
    try:
        os.link(own, lock)
    except FileExistsError:
        raise
    except OSError:  # a file system without links
        with lock.open("x", encoding="utf-8") as file:
            file.write(own.read_text(encoding="utf-8"))


def _show_life(lock: Path, ends: threading.Event) -> None:
    """Touch the lock of this process every now and then, until `ends` is set.

    A process that was stopped or cut off until another took its place ends: a run has one writer.
    """
    while not ends.wait(BEAT_SECONDS):
        with suppress(OSError):
            holder = _holder(lock)
            if holder == _this_process():
                os.utime(lock)
            elif holder is not None:
                os.write(2, f"error: another process writes to {lock.parent} by now, so this one ends.\n".encode())
                os._exit(FAILED)


def _unlock(directory: Path) -> None:
    if _holder(directory / LOCK) == _this_process():  # not another's, put there after ours was removed by hand
        (directory / LOCK).unlink(missing_ok=True)


def _content(lock: Path) -> bytes | None:
    try:
        return read_bytes(lock, LARGEST_LOCK)
    except UnreadableError:
        return None


def _holder(lock: Path) -> dict[str, Any] | None:
    try:
        return read_json(lock, LARGEST_LOCK)
    except UnreadableError:
        return None


def _this_process() -> dict[str, Any]:
    return {"host": socket.gethostname(), "pid": os.getpid(), "started": _start_of(os.getpid())}


def _is_dead(holder: dict[str, Any]) -> bool:
    """Whether a process of this host has ended; another may have got its number since."""
    number = holder.get("pid")
    if holder.get("host") != socket.gethostname() or not isinstance(number, int) or not 0 < number < 2**31:
        return False
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return True
    except OSError:  # it is another user's
        pass
    return holder.get("started") != _start_of(number)


def _is_silent(holder: dict[str, Any], lock: Path, own: Path) -> bool:
    """Whether a process of another host has shown no sign of life for long, by the clock of the file system alone."""
    with suppress(OSError):
        return holder.get("host") != socket.gethostname() and (
            own.stat().st_mtime - lock.stat().st_mtime > SILENT_SECONDS
        )
    return False


def _start_of(process: int) -> str | None:
    """When a process of this host started, in the kernel's own count; None if it has ended or nothing tells."""
    try:
        fields = Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else fields[19]
