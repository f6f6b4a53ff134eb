"""The chapters of the lecture in their order, and the committed results that they quote."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from case_studies.report import result_of
from case_studies.results import Result
from case_studies.study import Study, studies

HERE = Path(__file__).parent
RESULTS = HERE.parents[1] / "results" / "case_studies"


@dataclass(frozen=True)
class Chapter:
    """A page of the lecture.

    Attributes:
        name: Of its files.
        studies: That it tells of.
        notebook: The one whose runs are fewest, which its notebook trains.
        network: Config of the network that the notebook shows; None where it is none of `configs/model`.
    """

    name: str
    studies: tuple[str, ...]
    notebook: str
    network: str | None


CHAPTERS = (
    Chapter(
        "alexnet",
        ("relu", "response_normalization", "regularization", "views", "columns"),
        "columns",
        "configs/model/alexnet.yaml",
    ),
    Chapter("zfnet", ("fc_layers",), "fc_layers", "configs/model/zfnet.yaml"),
    Chapter("vgg", ("small_kernels", "vgg_depth"), "small_kernels", "configs/model/vgg16.yaml"),
    Chapter(
        "nin-googlenet",
        ("mlpconv", "average_pooling", "inception", "auxiliary_heads"),
        "mlpconv",
        "configs/model/googlenet.yaml",
    ),
    Chapter(
        "resnet",
        ("degradation", "vanishing_gradients", "bn_dropout", "large_batch", "timeline"),
        "degradation",
        "configs/model/resnet20.yaml",
    ),
    Chapter("gan", ("discriminator",), "discriminator", None),
)


@cache
def study(name: str) -> Study:
    """The study of a name."""
    return studies([name])[0]


class Committed(NamedTuple):
    """A result that was committed.

    Attributes:
        result: Of a study at one scale.
        stale: Whether the study's rule has changed since.
    """

    result: Result
    stale: bool


def committed(name: str, folder: Path = RESULTS) -> list[Committed]:
    """The results of a study that were committed, by scale; none if it has not been run.

    Args:
        name: Of the study.
        folder: That `python -m case_studies save` wrote `NAME.json` into, and `NAME.SCALE.json` of other scales.
    """
    files = [file for file in (folder / f"{name}.json", *sorted(folder.glob(f"{name}.*.json"))) if file.exists()]
    records = [json.loads(file.read_text(encoding="utf-8")) for file in files]
    return [Committed(result_of(record, study(name)), _is_stale(record)) for record in records]


def _is_stale(record: Mapping[str, Any]) -> bool:
    one, scale = study(record["study"]), record["scale"]
    return scale not in one.scales or record["fingerprint"] != one.fingerprint(scale)
