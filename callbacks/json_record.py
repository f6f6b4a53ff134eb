"""Records of a run, such as callbacks leave in its directory: JSON files that are there whole or not at all."""

import json
import os
from pathlib import Path
from typing import Any


def write_record(path: Path, record: dict[str, Any], indent: int | None = None) -> None:
    """Write a file in the place of an earlier one; a run that is killed meanwhile keeps the earlier one.

    Args:
        path: The file; its folder is made if need be.
        record: Plain values.
        indent: Spaces of each level; null for one line without any.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.part")
    separators = None if indent else (",", ":")
    partial.write_text(json.dumps(record, indent=indent, separators=separators) + "\n", encoding="utf-8")
    os.replace(partial, path)
