"""Reading the pickles of the official CIFAR archives without running anything that they contain.

NumPy's own reconstruction is no safe target for a hostile file (a pickled dtype may claim that bytes are object
pointers), so the few names that the official files use are bound to inert records, and the array is built here.
"""

import pickle
from pathlib import Path
from typing import Any

import numpy as np


class _PickledDtype:
    """Stands for numpy.dtype."""

    def __init__(self, code: object, *_: object) -> None:
        self.code = code

    def __setstate__(self, state: object) -> None:
        """Ignores byte order and the like, which a one-byte type does not have."""


class _PickledArray:
    """Stands for numpy.ndarray."""

    state: object = None

    def __init__(self, *_: object) -> None:
        """Takes the type, shape and type code of the placeholder that the state then fills."""

    def __setstate__(self, state: object) -> None:
        self.state = state


# Python 2 and NumPy 1 wrote the official files; copies made by Python 3 and NumPy 2 use the last two names. A pickle
# can change none of the values, as it could the attributes of a Python function.
_ALLOWED = {
    ("numpy", "dtype"): _PickledDtype,
    ("numpy", "ndarray"): _PickledArray,
    ("numpy.core.multiarray", "_reconstruct"): _PickledArray,
    ("numpy._core.multiarray", "_reconstruct"): _PickledArray,
    ("_codecs", "encode"): str.encode,
}


class _RestrictedUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        try:
            return _ALLOWED[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"it refers to {module}.{name}") from None


def read_pickle(path: Path) -> dict[str, Any]:
    """Reads a pickled dict of plain values and uint8 matrices.

    Args:
        path: A file such as `data_batch_1` of CIFAR-10.

    Returns:
        The dict, its arrays as uint8 matrices.

    Raises:
        ValueError: The file is damaged, or holds anything else; nothing of it was run.
    """
    try:
        with path.open("rb") as file:
            content = _RestrictedUnpickler(file, encoding="latin1").load()
        if not isinstance(content, dict):
            raise TypeError(f"it holds a {type(content).__name__}, not a dict")
        return {key: _matrix(value) if isinstance(value, _PickledArray) else value for key, value in content.items()}
    except OSError:
        raise
    except Exception as error:  # what a hostile or damaged pickle raises has no bound
        raise ValueError(
            f"{path} is not a CIFAR file ({error}): replace it with the one of the official archive."
        ) from None


def _matrix(array: _PickledArray) -> np.ndarray[Any, Any]:
    match array.state:
        case (_, (int(rows), int(columns)), _PickledDtype(code="u1"), int(column_major), str() | bytes() as content):
            raw = content.encode("latin1") if isinstance(content, str) else content
            matrix = np.frombuffer(raw, np.uint8).reshape(rows, columns, order="F" if column_major else "C")
            return np.array(matrix, order="C")  # a copy: torch needs memory that it may write to
        case _:
            raise TypeError("it holds an array other than a uint8 matrix")
