"""The development kit of ILSVRC2012: the classes' names, and the labels of the validation photographs.

Its labels are the numbers 1 to 1000 of `meta.mat`, in an order of its own. Every framework numbers the classes by their
sorted wnids instead; taking one for the other gives a network that learns and never validates.
"""

import io
import tarfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.io import loadmat  # type: ignore[import-untyped]

from datamodules.photographs.index import ImageClass

FOLDER = "ILSVRC2012_devkit_t12/data"


@dataclass(frozen=True)
class Devkit:
    """What the kit says.

    Attributes:
        classes: Those that have photographs, sorted by wnid.
        val_wnids: Class of each validation photograph, in the order of their names.
    """

    classes: tuple[ImageClass, ...]
    val_wnids: tuple[str, ...]


def read_devkit(path: Path) -> Devkit:
    """Read the kit from its archive; nothing is unpacked.

    Args:
        path: ILSVRC2012_devkit_t12.tar.gz.

    Raises:
        ValueError: It is not the kit, or damaged.
    """
    try:
        with tarfile.open(path, "r:gz") as archive:
            meta = _member(archive, f"{FOLDER}/meta.mat")
            ground_truth = _member(archive, f"{FOLDER}/ILSVRC2012_validation_ground_truth.txt")
        # squeezed as in torchvision; a .mat file holds data only
        synsets = np.atleast_1d(loadmat(io.BytesIO(meta), squeeze_me=True)["synsets"])
        leaves = synsets[synsets["num_children"].astype(int) == 0]  # the others are their ancestors in WordNet
        wnid_of = {int(leaf["ILSVRC2012_ID"]): str(leaf["WNID"]) for leaf in leaves}
        classes = (ImageClass(str(leaf["WNID"]), tuple(str(leaf["words"]).split(", "))) for leaf in leaves)
        val_wnids = tuple(wnid_of[int(line)] for line in ground_truth.split())
        return Devkit(tuple(sorted(classes, key=lambda entry: entry.wnid)), val_wnids)
    except (OSError, EOFError, tarfile.TarError, zlib.error, KeyError, IndexError, ValueError, TypeError) as error:
        raise ValueError(
            f"{path} cannot be read as the development kit ({error!r}): name ILSVRC2012_devkit_t12.tar.gz, "
            "downloaded completely."
        ) from None


def _member(archive: tarfile.TarFile, name: str) -> bytes:
    file = archive.extractfile(name)
    if file is None:
        raise KeyError(name)
    return file.read()
