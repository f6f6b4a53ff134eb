"""Where a run keeps what it writes: one directory a run, never shared, never overwritten."""

import re
from datetime import datetime
from pathlib import Path

DEFAULT_ROOT = Path("runs")
SUMMARY = "summary.json"


def new_run_directory(root: Path, data: str, architecture: str, command: str, now: datetime) -> Path:
    """Create `root/data/architecture/date_time`, with the command's name behind it unless that is fit.

    A second run of the same second gets a number. Returns the directory.
    """
    suffix = "" if command == "fit" else f"-{command}"
    name = f"{now:%Y-%m-%d_%H-%M-%S}{suffix}"
    return create_unused(root / slug(data) / slug(architecture) / name)


def create_unused(wanted: Path) -> Path:
    """Take `wanted`, or `wanted-2`, `wanted-3`, … if something is in it. Returns the directory.

    Raises:
        ValueError: The directory cannot be created or written to.
    """
    number = 1
    while True:
        candidate = wanted if number == 1 else wanted.with_name(f"{wanted.name}-{number}")
        try:
            candidate.mkdir(parents=True, exist_ok=True)
            if not any(candidate.iterdir()):
                # The first file takes the directory: of two runs that start at once, only one can create it.
                (candidate / SUMMARY).touch(exist_ok=False)
                return candidate
        except FileExistsError:
            pass
        except OSError as error:
            raise ValueError(f"The run directory {candidate} cannot be written to ({error.strerror}).") from error
        number += 1


def slug(name: str) -> str:
    """`name` as a folder's name: lower case, and a hyphen for whatever is not a letter, digit, dot or underscore."""
    return re.sub(r"[^a-z0-9._]+", "-", name.lower()).strip("-.") or "unnamed"
