"""The file `measures.json` in a run's directory: every number with the protocol that it was taken by."""

import json
from pathlib import Path
from typing import Any

from callbacks.json_record import write_record

FILE = "measures.json"
FORMAT = 1
IDENTITY = ("split", "step", "real_split", "features")


def add_measurement(directory: Path, measurement: dict[str, Any]) -> None:
    """Add a measurement; one of the same step and protocol, as a resumed run repeats it, is replaced.

    A file that cannot be read is begun anew.
    """
    file = directory / FILE
    earlier = [other for other in _read(file) if _identity(other) != _identity(measurement)]
    write_record(file, {"format": FORMAT, "measurements": [*earlier, measurement]}, indent=2)


def _read(file: Path) -> list[dict[str, Any]]:
    try:
        measurements = json.loads(file.read_bytes())["measurements"]
    except (OSError, ValueError, TypeError, KeyError):
        return []
    return [entry for entry in measurements if isinstance(entry, dict)] if isinstance(measurements, list) else []


def _identity(measurement: dict[str, Any]) -> list[Any]:
    return [measurement.get(name) for name in IDENTITY]
