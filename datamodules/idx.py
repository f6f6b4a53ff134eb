"""Reading IDX files, the format of MNIST."""

import gzip
import math
import zlib
from pathlib import Path

import torch
from torch import Tensor

_MAGIC_UINT8 = b"\x00\x00\x08"


def read_idx(path: Path) -> Tensor:
    """Reads a uint8 array.

    Layout: two zero bytes, the type code 8, the number of dimensions as a byte, each size as a big-endian 32-bit
    integer, the values row by row.

    Args:
        path: The file, compressed if its name ends in `.gz`.

    Raises:
        ValueError: The file is damaged or not of this format.
    """
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(f"{path} is damaged ({error}): delete it to have it fetched again.") from None
    header = 4 + 4 * content[3] if len(content) > 3 else 4
    shape = [int.from_bytes(content[start : start + 4]) for start in range(4, header, 4)]
    if content[:3] != _MAGIC_UINT8 or not shape or not 0 < math.prod(shape) == len(content) - header:
        raise ValueError(f"{path} is not a whole IDX file of uint8 values: delete it to have it fetched again.")
    # A copy, because torch needs memory that it may write to.
    return torch.frombuffer(bytearray(content[header:]), dtype=torch.uint8).view(shape)
