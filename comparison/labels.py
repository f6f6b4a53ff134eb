"""What tells configurations apart, in the few words that a label has room for."""

import re
from collections.abc import Mapping, Sequence

from comparison.summary import printable

DIFFERENCES_IN_A_LABEL = 2


def distinguish(
    configurations: Sequence[Mapping[str, str]], most_telling: Sequence[str], self_evident: Sequence[str] = ()
) -> list[str]:
    """In what each configuration differs from the others, such as `objective hinge, lr 0.1, …`; empty if in nothing.

    No more differences are named than tell the configurations apart, and two at most; `…` stands for others.

    Args:
        configurations: As `path: value`.
        most_telling: Paths, or beginnings of paths, from what tells most; others come behind.
        self_evident: Paths whose values need no name.
    """
    paths = {path for configuration in configurations for path in configuration}
    differing = [path for path in paths if len({configuration.get(path) for configuration in configurations}) > 1]
    # What one of them does not know comes from another version of the code more often than from the experiment.
    differing.sort(key=lambda path: (any(path not in c for c in configurations), _rank(path, most_telling), path))
    shown = differing[: _enough(configurations, differing)]
    more = ["…"] * (len(differing) > len(shown))
    return [
        ", ".join([_in_words(path, c.get(path, "absent"), path in self_evident) for path in shown] + more)
        for c in configurations
    ]


def _enough(configurations: Sequence[Mapping[str, str]], differing: Sequence[str]) -> int:
    """How many of the differences tell the configurations apart as well as all do, within what a label has room for."""

    def kinds(paths: Sequence[str]) -> int:
        return len({tuple(configuration.get(path) for path in paths) for configuration in configurations})

    counts = range(min(DIFFERENCES_IN_A_LABEL, len(differing)))
    return next((n for n in counts if kinds(differing[:n]) == kinds(differing)), DIFFERENCES_IN_A_LABEL)


def _rank(path: str, most_telling: Sequence[str]) -> int:
    found = [rank for rank, section in enumerate(most_telling) if f"{path}.".startswith(f"{section}.")]
    return min(found, default=len(most_telling))


def _in_words(path: str, value: str, self_evident: bool) -> str:
    if self_evident:
        return _short_value(value).replace("_", " ")
    return f"{_short_key(path)} {_short_value(value)}"


def _short_key(path: str) -> str:
    """The last name in a path: `lr` of `model.init_args.optimizer.init_args.lr`."""
    names = [name for name in path.split(".") if not name.isdigit() and name not in ("class_path", "init_args")]
    return printable(names[-1] if names else path)


def _short_value(value: str) -> str:
    if re.fullmatch(r"-?\d+\.\d+(e-?\d+)?", value):
        return f"{float(value):.6g}"
    if re.fullmatch(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+", value):
        value = value.rpartition(".")[2]
    value = printable(value)
    return value if len(value) <= 24 else f"{value[:23]}…"
