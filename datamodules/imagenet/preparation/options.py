"""How a copy is prepared."""

import os
from dataclasses import dataclass, field
from typing import Any

from datamodules.imagenet.preparation.class_lists import ClassChoice
from datamodules.imagenet.preparation.conversion import Encoding

LAYOUTS = ("shards", "tree")


def all_cores() -> int:
    """Number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass(frozen=True)
class Options:
    """How a copy is prepared.

    Attributes:
        layout: shards or tree.
        encoding: What is done to ordinary images.
        shard_megabytes: About how large a shard may be.
        classes: Which classes.
        verify: Whether archives must have their published MD5.
        skip_broken: Whether a broken image is left out instead of ending the preparation.
        workers: Number of processes.

    Raises:
        ValueError: An option is out of its range.
    """

    layout: str = "shards"
    encoding: Encoding = field(default_factory=Encoding)
    shard_megabytes: float = 256
    classes: ClassChoice = None
    verify: bool = True
    skip_broken: bool = False
    workers: int = field(default_factory=all_cores)

    def __post_init__(self) -> None:
        if self.layout not in LAYOUTS:
            raise ValueError(f"--layout {self.layout}: choose {' or '.join(LAYOUTS)}.")
        side = self.encoding.shorter_side
        if side is not None and side < 1:
            raise ValueError(f"--shorter_side {side}: choose at least 1, or original.")
        if not 1 <= self.encoding.quality <= 100:
            raise ValueError(f"--quality {self.encoding.quality}: choose 1 to 100.")
        if not self.shard_megabytes > 0:
            raise ValueError(f"--shard_megabytes {self.shard_megabytes}: choose more than 0.")
        if self.workers < 1:
            raise ValueError(f"--workers {self.workers}: choose at least 1.")

    def identity(self) -> dict[str, Any]:
        """What must stay the same when a preparation goes on."""
        classes = list(self.classes) if isinstance(self.classes, tuple) else self.classes
        kept = {"layout": self.layout, **self.encoding.in_manifest(), "classes": classes}
        return kept | ({"shard_megabytes": self.shard_megabytes} if self.layout == "shards" else {})
