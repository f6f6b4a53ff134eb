"""What a run says of itself, read with distrust: it may be half-written, of another version, or edited by hand."""

import json
import math
import unicodedata
from functools import lru_cache
from pathlib import Path
from typing import Any

SUPPORTED_FORMAT = 1


class Summary:
    """Typed access to a run's summary; a value that is absent or of another kind reads as None.

    Args:
        values: What summary.json holds, or the same from another source.
        name: What to call it where a value is missing.

    Raises:
        ValueError: If it is of a format that this version does not know.
    """

    def __init__(self, values: dict[str, Any], name: str = "summary.json") -> None:
        if values.get("format") != SUPPORTED_FORMAT:
            raise ValueError(f"{name} has format {values.get('format')!r}; this version reads {SUPPORTED_FORMAT}")
        self._values = values
        self.name = name

    @classmethod
    def read(cls, path: Path) -> "Summary":
        """Read and check a summary file.

        Raises:
            ValueError: If it is missing, damaged or of a format that this version does not know.
        """
        if not path.is_file():
            raise ValueError(f"{path.name} is missing")
        try:
            values = json.loads(path.read_bytes())
        except (OSError, ValueError, RecursionError) as error:
            raise ValueError(f"{path.name} is not valid JSON") from error
        if not isinstance(values, dict):
            raise ValueError(f"{path.name} is not a JSON object")
        return cls(values, path.name)

    def has(self, *keys: str) -> bool:
        """Whether there is any value."""
        return self._value(*keys) is not None

    def text(self, *keys: str) -> str | None:
        """A string in one line, without control characters, which could steer a terminal."""
        value = self._value(*keys)
        return printable(value) if isinstance(value, str) else None

    def texts(self, *keys: str) -> dict[str, str]:
        """An object whose values are strings; others are left out."""
        value = self._value(*keys)
        names = value if isinstance(value, dict) else {}
        return {printable(name): text for name in names if (text := self.text(*keys, name)) is not None}

    def flag(self, *keys: str) -> bool | None:
        """True or false."""
        value = self._value(*keys)
        return value if isinstance(value, bool) else None

    def whole(self, *keys: str) -> int | None:
        """A whole number that counts something: not negative."""
        value = self._value(*keys)
        return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None

    def positive(self, *keys: str) -> float | None:
        """A finite number above zero."""
        value = self._number(*keys)
        return value if value is not None and 0.0 < value < math.inf else None

    def fraction(self, *keys: str) -> float | None:
        """A number in [0, 1]."""
        value = self._number(*keys)
        return value if value is not None and 0.0 <= value <= 1.0 else None

    def required_text(self, *keys: str) -> str:
        """Like `text`; ValueError if it is not there."""
        return self._required(self.text(*keys), keys)

    def required_whole(self, *keys: str) -> int:
        """Like `whole`; ValueError if it is not there."""
        return self._required(self.whole(*keys), keys)

    def _number(self, *keys: str) -> float | None:
        value = self._value(*keys)
        if not isinstance(value, int | float) or isinstance(value, bool):
            return None
        try:
            return float(value)
        except OverflowError:  # JSON knows whole numbers of any size
            return None

    def _value(self, *keys: str) -> Any:
        value: Any = self._values
        for key in keys:
            value = value.get(key) if isinstance(value, dict) else None
        return value

    def _required(self, value: Any, keys: tuple[str, ...]) -> Any:
        if value is None:
            raise ValueError(f"{self.name} has no usable {'.'.join(keys)}")
        return value


@lru_cache(4096)  # the names of classes and networks come again in each run
def printable(text: str) -> str:
    """The text in one line, with control and direction-changing characters replaced."""
    return "".join(
        "\N{REPLACEMENT CHARACTER}" if unicodedata.category(c) in ("Cc", "Cf", "Cs") else c
        for c in " ".join(text.split())
    )
