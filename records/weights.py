"""Files of tensors, from a run or from elsewhere: the one reader of them all, which runs nothing that they hold."""

import argparse
import pickle
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path, PosixPath
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from records.checkpoints import SUFFIX, digest_path, is_damaged
from records.files import UnreadableError, open_regular

if TYPE_CHECKING:
    from torch import nn

N = TypeVar("N", bound="nn.Module")
KINDS: dict[str, type] = {
    "state_dict": dict,
    "hyper_parameters": dict,
    "epoch": int,
    "global_step": int,
    "loops": dict,
    "callbacks": dict,
    "optimizer_states": list,
    "lr_schedulers": list,
}
"""What parts of a checkpoint are."""
PLAIN_OBJECTS: list[Any] = [argparse.Namespace, PosixPath]
"""What training scripts put beside weights (torchvision's references, timm: `args`), and what holds values alone."""
TO_EVALUATE = ("state_dict",)
TO_REBUILD = ("state_dict", "hyper_parameters")
TO_RESUME = ("state_dict", "epoch", "global_step", "loops", "callbacks", "optimizer_states", "lr_schedulers")


class UnusableWeightsError(UnreadableError):
    """A file of tensors cannot be used.

    Attributes:
        kind: missing; damaged; hostile: it holds more than data; incomplete: it lacks what is needed.
        problem: What is wrong, to stand behind the file's name.
    """

    def __init__(self, path: Path, kind: Literal["missing", "damaged", "hostile", "incomplete"], problem: str) -> None:
        super().__init__(f"{path} {problem}")
        self.kind = kind
        self.problem = problem


def read_weights(path: Path, needs: Iterable[str] = (), map_location: Any = "cpu", mapped: bool = False) -> Any:
    """Read a checkpoint, a state dict or a safetensors file, verified, and without running any code that it may hold.

    With its SHA-256 beside it, the file is compared with that. Without, an archive is compared with the checksums
    inside it, and of a checkpoint a warning says that it has no other.

    Args:
        path: The file.
        needs: Parts that a checkpoint must have, of those in `KINDS`.
        map_location: Device of the tensors, as torch.load takes it.
        mapped: Whether tensors are mapped from the file, as they are needed, where its format allows that.

    Raises:
        UnusableWeightsError: It is missing, no regular file, damaged, holds more than data, or lacks a part.
    """
    archive = _verify(path)
    content = _load(path, archive, map_location, mapped)
    for part in needs:
        kind = KINDS[part]
        if not isinstance(content, dict) or not isinstance(content.get(part), kind):
            raise UnusableWeightsError(path, "incomplete", f"holds no {part}, which is needed")
        if part == "state_dict" and not all(_is_named_tensor(*item) for item in content[part].items()):
            raise UnusableWeightsError(path, "incomplete", "holds something other than tensors in its state_dict")
    return content


def rebuild(network_class: Callable[..., N], content: dict[str, Any], path: Path) -> N:
    """The network of a checkpoint, made of its own arguments, with its weights.

    Args:
        network_class: Whose arguments and state_dict the checkpoint holds.
        content: Of the checkpoint, with the parts of `TO_REBUILD`.
        path: Of the checkpoint, for the error.

    Raises:
        ValueError: The class takes no such arguments or weights.
    """
    arguments = {name: value for name, value in content["hyper_parameters"].items() if not str(name).startswith("_")}
    try:
        network = network_class(**arguments)
        network.load_state_dict(content["state_dict"])
    except (TypeError, ValueError, AttributeError, LookupError, ArithmeticError, RuntimeError):
        name = getattr(network_class, "__name__", "network")
        raise ValueError(
            f"{path} does not fit the {name} of its own arguments: use the version of this project that wrote it."
        ) from None
    return network


def _verify(path: Path) -> bool:
    """Compare what checksums there are. Returns whether the file is an archive, which can be mapped into memory."""
    try:
        with open_regular(path) as file:
            if is_damaged(path):
                raise UnusableWeightsError(path, "damaged", "is damaged (its SHA-256 differs)")
            signed = digest_path(path).exists()
            archive = _is_archive(file)  # what torch.save wrote before version 1.6 is none
            if archive and not signed:
                _compare_checksums_inside(path, file)
    except UnusableWeightsError:
        raise
    except UnreadableError as error:
        kind: Any = "damaged" if path.exists() else "missing"
        raise UnusableWeightsError(path, kind, str(error).removeprefix(f"{path.name} ")) from None
    except OSError as error:
        raise UnusableWeightsError(path, "damaged", f"cannot be read ({error.strerror})") from None
    if path.suffix == SUFFIX and not signed:
        from lightning.fabric.utilities import rank_zero_warn  # noqa: PLC0415  a table of runs must not wait for it

        inside = "only the checksums inside it were compared" if archive else "nothing tells whether it is as it was"
        rank_zero_warn(f"{path} is unsigned, it has no {digest_path(path).name} beside it: {inside}.")
    return archive


def _is_archive(file: Any) -> bool:
    try:
        return zipfile.is_zipfile(file)
    except (zipfile.BadZipFile, ValueError):  # a damaged one
        return True


def _compare_checksums_inside(path: Path, file: Any) -> None:
    try:
        with zipfile.ZipFile(file) as archive:
            if any(part.compress_type != zipfile.ZIP_STORED for part in archive.infolist()):
                raise UnusableWeightsError(path, "damaged", "is a compressed archive, which torch.save does not write")
            damaged = archive.testzip()
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, ValueError) as error:
        if isinstance(error, UnusableWeightsError):
            raise
        damaged = "its directory"
    if damaged is not None:
        raise UnusableWeightsError(path, "damaged", f"is damaged (in {damaged})")


def _load(path: Path, archive: bool, map_location: Any, mapped: bool) -> Any:
    import torch  # noqa: PLC0415  a table of runs must not wait for it
    from safetensors.torch import load_file  # noqa: PLC0415

    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        with torch.serialization.safe_globals(PLAIN_OBJECTS):
            return torch.load(path, map_location=map_location, weights_only=True, mmap=mapped and archive)
    except Exception as error:  # a file that was made up can raise anything
        if isinstance(error, MemoryError | torch.OutOfMemoryError):
            raise
        if archive and isinstance(error, pickle.UnpicklingError):
            raise UnusableWeightsError(path, "hostile", "holds more than tensors and plain values") from None
        raise UnusableWeightsError(path, "damaged", "is damaged, or no weights that can be trusted") from None


def _is_named_tensor(name: Any, value: Any) -> bool:
    import torch  # noqa: PLC0415

    return isinstance(name, str) and isinstance(value, torch.Tensor)
