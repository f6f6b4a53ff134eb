"""Files of trained weights: this project's checkpoints and exports, plain state dicts, torchvision's by name.

Nothing that a file holds is executed.
"""

import re
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from http.client import HTTPException
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock
from huggingface_hub import hf_hub_download
from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError
from lightning.pytorch.utilities import rank_zero_info
from torch import Tensor

from lightning_modules import ImageClassifier
from records import weights
from records.checkpoints import best_checkpoints, sha256_of
from records.files import read_json

STATES = ("state_dict", "model_state_dict", "model_state", "model", "network", "net", "weights")
AVERAGED = ("model_ema", "state_dict_ema", "ema_state_dict", "ema_model", "ema", "swa_state_dict", "swa_model")
WRAPPERS = ("module.", "model.", "network.", "net.", "backbone.")  # attributes under which others keep a network
WITHIN = ("_orig_mod", "module")  # what torch.compile and DataParallel put into names, of the whole or of a part
TORCHVISION_NAME = r"\w+Weights\.\w+"
HUB = "hf://"
WEIGHTS_OF_HUB = "model.safetensors"
OTHERWISE = "current_model_state"  # beside an average called state_dict, as Lightning's WeightAveraging saves it


@dataclass(frozen=True)
class Weights:
    """What a source holds.

    Attributes:
        source: Its name in messages.
        state: Tensors by name.
        architecture: Name of the network that they were trained in, if known.
        arguments: Arguments of that network, as far as known.
        averaged: What the file calls its averaged weights, if these were taken in the place of others that it has.
    """

    source: str
    state: dict[str, Tensor]
    architecture: str | None = None
    arguments: dict[str, Any] = field(default_factory=dict)
    averaged: str | None = None


def read_weights(network: ImageClassifier, source: str) -> Weights:
    """Read the weights at `source`, see `load_weights`.

    Args:
        network: Network that they are meant for; it is asked for its name and torchvision's names only.
        source: A file, an exported folder, a run, of which the best checkpoint is read, the name of torchvision's
            weights, or hf://OWNER/NAME of the Hugging Face Hub.

    Returns:
        Tensors on the host, some mapped from the file.

    Raises:
        ValueError: There are none of that name, or they are damaged or not to be trusted.
    """
    if "://" in source and not source.startswith(HUB):
        raise ValueError(f"Weights are read from files, not from {source}: download it first, and give the file.")
    path = _hub_path(source) if source.startswith(HUB) else Path(source)
    if path.is_dir() and not (path / WEIGHTS_OF_HUB).is_file() and len(best := best_checkpoints(path)) == 1:
        path = best[0]
        rank_zero_info(f"Weights: the best checkpoint of the run, {path}")
    if path.is_dir():
        return _read_folder(path, source)
    if not path.exists() and re.fullmatch(TORCHVISION_NAME, source):
        path = _torchvision_file(network, source)
    elif not path.is_file():
        raise ValueError(
            f"There are no weights {source}: give a file (.ckpt, .pth, .safetensors), a run, an exported folder, "
            "a name of torchvision's such as ResNet50_Weights.IMAGENET1K_V1, or hf://OWNER/NAME."
        )
    content = _read_file(path)
    architecture, arguments = content.get("architecture"), content.get("hyper_parameters")
    state, averaged = _state_dict(content, source)
    return Weights(
        source,
        state,
        architecture if isinstance(architecture, str) else None,
        arguments if isinstance(arguments, dict) else {},
        averaged,
    )


def _read_folder(folder: Path, source: str) -> Weights:
    """Read what `python -m experiment.export` has written."""
    file = folder / WEIGHTS_OF_HUB
    if not file.is_file():
        checkpoints = best_checkpoints(folder)
        if checkpoints:
            raise ValueError(f"The run {source} has several best checkpoints: name one, such as {checkpoints[0]}.")
        raise ValueError(f"The folder {source} holds no model.safetensors: give a file, a run or an exported folder.")
    state, _ = _state_dict(_read_file(file), source)
    try:
        config = read_json(folder / "config.json")
        return Weights(source, state, str(config["architecture"]), dict(config["arguments"]))
    except (ValueError, TypeError, KeyError):
        return Weights(source, state)  # another library's folder, or weights without a config


def _read_file(path: Path) -> dict[str, Any]:
    """What a file holds; {} if that is no dictionary."""
    try:
        content = weights.read_weights(path, mapped=True)
    except weights.UnusableWeightsError as error:
        if error.kind == "hostile":
            raise ValueError(
                f"{error}, so it cannot be trusted: save it anew from network.state_dict() alone."
            ) from None
        raise ValueError(f"{error}: use another copy.") from None
    return content if isinstance(content, dict) else {}


def _state_dict(content: dict[str, Any], source: str) -> tuple[dict[str, Tensor], str | None]:
    """The tensors of a file without what wrappers put into their names, and what they are called if averaged."""
    averaged = next((key for key in AVERAGED if _tensors(content.get(key))), None)
    state = _tensors(content[averaged] if averaged else content)
    if state is None:
        raise ValueError(f"{source} holds no state dict: save it anew from network.state_dict() alone.")
    if averaged is None and OTHERWISE in content:
        averaged = OTHERWISE
    state = {".".join(part for part in name.split(".") if part not in WITHIN): one for name, one in state.items()}
    for key in () if averaged else AVERAGED:  # a second network of another's LightningModule
        if of_key := {name: tensor for name, tensor in state.items() if name.startswith(f"{key}.")}:
            averaged, state = key, _without(f"{key}.", of_key)
            break
    state.pop("n_averaged", None)  # of torch's AveragedModel
    # Parts beside the network, such as another head, keep their names, by which they are refused if they do not fit.
    while wrapper := next((one for one in WRAPPERS if 2 * _count(one, state) > len(state)), None):
        if len(unwrapped := _without(wrapper, state)) < len(state):
            break
        state = unwrapped
    return state, averaged


def _tensors(content: Any) -> dict[str, Tensor] | None:
    """Tensors by name, directly or under one of the usual keys; None if there is nothing of the kind."""
    while isinstance(content, dict) and (
        key := next((one for one in STATES if isinstance(content.get(one), dict)), "")
    ):
        content = content[key]
    if not isinstance(content, dict) or not content or not all(isinstance(one, Tensor) for one in content.values()):
        return None
    return {str(name): tensor for name, tensor in content.items()}


def _count(prefix: str, state: dict[str, Tensor]) -> int:
    return sum(name.startswith(prefix) for name in state)


def _without(prefix: str, state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in state.items()}


def other_evaluation(source: str, data: Any) -> list[str]:
    """In what the evaluation of a data set differs from the one that torchvision's weights were published with."""
    if not re.fullmatch(TORCHVISION_NAME, source):
        return []
    from torchvision import models  # noqa: PLC0415  its import takes a second, and few runs need it

    preset = models.get_weight(source).transforms()
    published = {"image_size": preset.crop_size[0], "crop_side": preset.resize_size[0]}
    lines = [
        f"{source} was published with data.{name} {value}, and this evaluation has {getattr(data, name)}."
        for name, value in published.items()
        if getattr(data, name, value) != value
    ]
    if getattr(data, "normalization", "standard") != "standard" or tuple(data.mean) != tuple(preset.mean):
        lines.append(f"{source} was published with images normalized by mean {preset.mean} and std {preset.std}.")
    return lines


def _hub_path(source: str) -> Path:
    """The folder of a repository on the Hugging Face Hub, or the file that hf://OWNER/NAME[@REVISION]/FILE names.

    It is downloaded if it is not yet in the Hub's cache on this host. Server, token and cache are those of
    huggingface_hub (HF_ENDPOINT, HF_TOKEN, HF_HOME).
    """
    owner, _, rest = source.removeprefix(HUB).partition("/")
    name, _, file = rest.partition("/")
    name, _, revision = name.partition("@")
    if not (owner and name):
        raise ValueError(f"{source} names no repository: give hf://OWNER/NAME, such as hf://timm/resnet50.tv_in1k.")
    fetch = partial(hf_hub_download, f"{owner}/{name}", revision=revision or None)
    try:
        path = Path(fetch(file or WEIGHTS_OF_HUB))
        if not file:
            with suppress(EntryNotFoundError):  # another library's weights may come without
                fetch("config.json")
    except (EntryNotFoundError, OSError, ValueError) as error:
        wanted = file or WEIGHTS_OF_HUB
        if isinstance(error, EntryNotFoundError) and not isinstance(error, LocalEntryNotFoundError):
            raise ValueError(
                f"{source} holds no {wanted}: name a file that it has, as hf://{owner}/{name}/FILE."
            ) from None
        reason = str(error).strip().splitlines()[0].rstrip(".")
        raise ValueError(
            f"{source} could not be downloaded ({reason}): check the name and the network, or download {wanted} "
            "elsewhere and give the file."
        ) from None
    return path if file else path.parent


def _torchvision_file(network: ImageClassifier, name: str) -> Path:
    """The file of torchvision's weights `name`, downloaded if it is not yet there."""
    from torchvision import models  # noqa: PLC0415  its import takes a second, and few runs need it

    if not network.torchvision_names:
        raise ValueError(
            f"torchvision has no weights for {network.architecture}: choose a variant that it has, or give a file."
        )
    families = [models.get_model_weights(model) for model in models.list_models(module=models)]
    known = {f"{family.__name__}.{key}": weights for family in families for key, weights in family.__members__.items()}
    if name not in known:
        family = name.partition(".")[0]
        own = type(network).__name__.lower()
        similar = [other for other in known if other.startswith(f"{family}.")]
        similar = similar or [other for other in known if other.lower().startswith(own)]
        similar = [other for other in similar if not other.endswith(".DEFAULT")]  # another name of the newest
        raise ValueError(f"torchvision has no weights {name}: choose one of {', '.join(similar)}, or give a file.")
    url = known[name].url
    path = Path(torch.hub.get_dir(), "checkpoints", url.rpartition("/")[2])
    digest = path.stem.rpartition("-")[2]  # torchvision's files carry the beginning of their SHA-256 in their name
    if not path.exists():
        try:
            _download(url, path, digest)
        except (OSError, RuntimeError, HTTPException) as error:
            raise ValueError(
                f"{name} could not be downloaded ({error}): download {url} elsewhere, and give the file."
            ) from None
    if not sha256_of(path).startswith(digest):
        raise ValueError(f"{path} is damaged (its SHA-256 differs): delete it, and it will be downloaded anew.")
    return path


def _download(url: str, path: Path, digest: str) -> None:
    """Download a file once for all processes of a host."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(f"{path}.lock")
    # Safe without the lock too, as on file systems that know none: each process writes a file of its own, which takes
    # its name when it is whole and verified.
    with suppress(NotImplementedError):
        lock.acquire()
    try:
        if not path.exists():
            torch.hub.download_url_to_file(url, str(path), hash_prefix=digest)
    finally:
        lock.release()
