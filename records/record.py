"""What records have in common: a format number, and values that are none where they are of another kind than expected.

A run's files are read with distrust: they may be half-written, of another version, or edited by hand. What a reader can
do without is None where it is not there or makes no sense; what it cannot do without, it asks for by `required`.
"""

import unicodedata
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from records.files import UnreadableError, read_json, write_json


class Part(BaseModel):
    """A part of a record; unknown values beside the known ones are kept, so that what is written anew loses none."""

    model_config = ConfigDict(extra="allow", frozen=True, populate_by_name=True, protected_namespaces=())


class Record(Part):
    """What a JSON file of a run holds.

    A subclass names the `FILE` and defaults `format` to the version that it reads and writes.
    """

    FILE: ClassVar[str]
    INDENT: ClassVar[int | None] = None
    format: Any = None

    @classmethod
    def of(cls, values: Mapping[str, Any], name: str) -> Self:
        """The record of plain values, from a file or another source; they are called `name` where they are damaged.

        Raises:
            UnreadableError: They are of another format, or lack what the record cannot do without.
        """
        known = cls.model_fields["format"].default
        if values.get("format") != known:
            raise UnreadableError(f"{name} has format {values.get('format')!r}; this version reads {known}")
        try:
            return cls.model_validate(values)
        except (ValidationError, RecursionError) as error:
            raise UnreadableError(f"{name} is damaged{_place_of(error)}") from error

    @classmethod
    def read(cls, directory: Path) -> Self:
        """The record of a run.

        Raises:
            UnreadableError: It is missing, damaged or of a format that this version does not know.
        """
        return cls.of(read_json(directory / cls.FILE), cls.FILE)

    @classmethod
    def read_if_any(cls, directory: Path) -> Self | None:
        """The record of a run, as of `read`; None if it has none."""
        return cls.read(directory) if (directory / cls.FILE).exists() else None

    def write(self, directory: Path) -> None:
        """Write the record of a run in the place of an earlier one."""
        write_json(directory / self.FILE, self.plain(), self.INDENT)

    def plain(self) -> dict[str, Any]:
        """Plain values as the file holds them: those that were given, under the names of the file."""
        return {"format": self.format} | self.model_dump(by_alias=True, exclude_unset=True)


@lru_cache(4096)  # the names of classes and networks come again in each run
def printable(text: str) -> str:
    """The text in one line, with control and direction-changing characters replaced, which could steer a terminal."""
    return "".join(
        "\N{REPLACEMENT CHARACTER}" if unicodedata.category(c) in ("Cc", "Cf", "Cs") else c
        for c in " ".join(text.split())
    )


def _texts(value: Any) -> dict[str, str]:
    pairs = value.items() if isinstance(value, Mapping) else ()
    return {printable(name): printable(text) for name, text in pairs if isinstance(name, str) and isinstance(text, str)}


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63 else None


def _number(value: Any) -> float | None:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    try:
        return float(value)
    except OverflowError:  # JSON knows whole numbers of any size
        return None


def _positive(value: Any) -> float | None:
    number = _number(value)
    return number if number is not None and is_measurable(number) and number > 0.0 else None


def numbers_of(value: Any) -> dict[str, float]:
    """Those values of an object that are numbers."""
    pairs = value.items() if isinstance(value, Mapping) else ()
    return {name: number for name, of in pairs if (number := _number(of)) is not None}


def is_measurable(number: float) -> bool:
    """Whether a number can be one that was measured: figures of any size must not exceed those that can be drawn."""
    return number == 0.0 or 1e-100 < abs(number) < 1e100


def fraction(value: float | None) -> float | None:
    """The number if it lies in [0, 1]."""
    return value if value is not None and 0.0 <= value <= 1.0 else None


Name = Annotated[str, BeforeValidator(lambda value: printable(str(value)))]
"""Any value, as a string in one line without control characters."""
Text = Annotated[str | None, BeforeValidator(lambda value: printable(value) if isinstance(value, str) else None)]
"""A string in one line without control characters."""
Texts = Annotated[dict[str, str], BeforeValidator(_texts)]
"""Those values of an object that are strings."""
Flag = Annotated[bool | None, BeforeValidator(lambda value: value if isinstance(value, bool) else None)]
Count = Annotated[int, Field(strict=True, ge=0, lt=2**63)]
"""A whole number that a record cannot do without."""
Whole = Annotated[int | None, BeforeValidator(_whole)]
"""A whole number that counts something: not negative, of 63 bits at most."""
Number = Annotated[float | None, BeforeValidator(_number)]
"""A number, NaN and infinities included."""
Positive = Annotated[float | None, BeforeValidator(_positive)]
"""A number above zero, neither infinite nor beyond all measure."""
Numbers = Annotated[dict[str, float], BeforeValidator(numbers_of)]
"""Those values of an object that are numbers."""
OrEmpty = BeforeValidator(lambda value: value if isinstance(value, Mapping | BaseModel) else {})
"""For a part of a record: without any values where it is none."""

Value = TypeVar("Value")


def required(value: Value | None, place: str, name: str) -> Value:
    """A value that a reader cannot do without, at a `place` such as data.name of a record called `name`.

    Raises:
        UnreadableError: It is None.
    """
    if value is None:
        raise UnreadableError(f"{name} has no usable {place}")
    return value


def _place_of(error: Exception) -> str:
    if not isinstance(error, ValidationError):
        return ""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    place = ".".join(printable(str(step)) for step in first["loc"])
    return f" ({place}: {printable(first['msg']).lower()})" if place else f" ({printable(first['msg'])})"
