"""Where a run keeps what it writes: one directory a run, never shared, never overwritten."""

import re
from datetime import datetime
from pathlib import Path

DEFAULT_ROOT = Path("runs")


def new_run_directory(root: Path, data: str, architecture: str, command: str, now: datetime) -> Path:
    """Create `root/data/architecture/date_time`, with the command's name behind it unless that is fit.

    A second run of the same second gets a number. Returns the directory.
    """
    suffix = "" if command == "fit" else f"-{command}"
    name = f"{now:%Y-%m-%d_%H-%M-%S}{suffix}"
    return create_unused(root / slug(data) / slug(architecture) / name)


def create_unused(wanted: Path) -> Path:
    """Create `wanted`, or `wanted-2`, `wanted-3`, … if something is there. Returns the directory that was created.

    Raises:
        ValueError: The directory cannot be created.
    """
    number = 1
    while True:
        candidate = wanted if number == 1 else wanted.with_name(f"{wanted.name}-{number}")
        try:
            candidate.mkdir(parents=True)  # atomic: of two runs that start at once, one goes on to the next number
        except FileExistsError:
            if number == 1 and candidate.is_dir() and not any(candidate.iterdir()):
                return candidate
            number += 1
        except OSError as error:
            raise ValueError(f"The run directory {candidate} cannot be created ({error.strerror}).") from error
        else:
            return candidate


def slug(name: str) -> str:
    """`name` as a folder's name: lower case, and a hyphen for whatever is not a letter, digit, dot or underscore."""
    return re.sub(r"[^a-z0-9._]+", "-", name.lower()).strip("-.") or "unnamed"
