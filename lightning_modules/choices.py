"""Options that are one of a few words, checked where a network is made in Python; the command line checks its own."""

from collections.abc import Callable, Mapping
from types import NoneType
from typing import Any, Literal, get_args, get_origin


def require_choices(function: Callable[..., Any], given: Mapping[str, Any]) -> None:
    """Check the arguments `given` to a function that are annotated as one of a few words (`Literal`), or as None too.

    Raises:
        ValueError: One has another value.
    """
    for name, value in given.items():
        choices = _choices(function.__annotations__.get(name))
        if choices and value not in choices:
            raise ValueError(f"{name} must be one of {', '.join(map(str, choices))}, not {value}.")


def _choices(hint: Any) -> tuple[Any, ...]:
    """The values that a hint names, if it names values alone."""
    if get_origin(hint) is Literal:
        return get_args(hint)
    parts = get_args(hint)
    literal = tuple(value for part in parts if get_origin(part) is Literal for value in get_args(part))
    only_none_besides = all(get_origin(part) is Literal or part is NoneType for part in parts)
    return (*literal, None) if literal and only_none_besides else ()
