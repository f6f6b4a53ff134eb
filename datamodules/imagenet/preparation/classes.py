"""ImageNet's classes: their names and the labels of the validation photographs, from the development kit; subsets.

The kit's labels are the numbers 1 to 1000 of `meta.mat`, in an order of its own. Every framework numbers the classes by
their sorted wnids instead; taking one for the other gives a network that learns and never validates.
"""

import io
import tarfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.io import loadmat

from datamodules.photographs.index import ImageClass

FOLDER = "ILSVRC2012_devkit_t12/data"

NAMED = {
    # fastai's ten easy classes and ten breeds of dogs (github.com/fastai/imagenette). Here they have ImageNet's own
    # split into training and validation, not that of fastai's archives.
    "imagenette": (
        "n01440764", "n02102040", "n02979186", "n03000684", "n03028079",
        "n03394916", "n03417042", "n03425413", "n03445777", "n03888257",
    ),
    "imagewoof": (
        "n02086240", "n02087394", "n02088364", "n02089973", "n02093754",
        "n02096294", "n02099601", "n02105641", "n02111889", "n02115641",
    ),
}  # fmt: skip

ClassChoice = int | tuple[str, ...] | None
"""The first so many, these, or all."""


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


def read_choice(text: str | None) -> ClassChoice:
    """What an argument means: a number, a named list, or a file with a wnid on each line.

    Args:
        text: The argument; None for all classes.

    Raises:
        ValueError: It is none of these.
    """
    if text is None:
        return None
    if text.isdecimal():
        return int(text)
    if text in NAMED:
        return NAMED[text]
    try:
        words = Path(text).expanduser().read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError):
        raise ValueError(
            f"--classes {text} is no number, none of {', '.join(NAMED)}, and no file that can be read: name one."
        ) from None
    wnids = [line.split()[0] for line in words if line.strip()]
    if not wnids or len(set(wnids)) < len(wnids):
        raise ValueError(f"--classes {text} is empty or names a class twice: write each wnid once, on a line each.")
    return tuple(wnids)


def choose(choice: ClassChoice, available: Sequence[str]) -> tuple[str, ...]:
    """The chosen classes, sorted by wnid, as their labels are.

    Args:
        choice: What `read_choice` returned.
        available: Classes of the source.

    Raises:
        ValueError: The source lacks some of them.
    """
    everything = sorted(available)
    if choice is None:
        return tuple(everything)
    if isinstance(choice, int):
        if not 1 <= choice <= len(everything):
            raise ValueError(f"--classes {choice}: the source has {len(everything)} classes, choose 1 to as many.")
        return tuple(everything[:choice])
    missing = sorted(set(choice).difference(everything))
    if missing:
        raise ValueError(
            f"--classes: the source lacks {len(missing)} of the chosen classes, such as {missing[0]}: "
            "choose others, or name the source that has them."
        )
    return tuple(sorted(choice))


def _member(archive: tarfile.TarFile, name: str) -> bytes:
    file = archive.extractfile(name)
    if file is None:
        raise KeyError(name)
    return file.read()
