"""What is in a picture? `python -m experiment.classify RUN FILE… FOLDER… [--top 5] [--csv FILE] [--json FILE]`."""

import argparse
import csv
import json
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from datamodules.augmentation import normalize
from datamodules.photographs.decoder import BrokenImageError, exact_view, read_header, with_eight_bits
from datamodules.photographs.folder import read_folder, shown
from datamodules.photographs.views import CentralCrop
from experiment.export import read_run
from experiment.pretrained import PretrainedClassifier
from experiment.usage_errors import one_line_for_usage_errors
from lightning_modules.evaluation_views import one_view
from records.checkpoints import run_of
from records.config import arguments_of, read_config
from records.files import UnreadableError, open_regular, write_whole
from records.layout import CONFIG

BATCH = 32


@dataclass(frozen=True)
class Answer:
    """The most probable classes of a picture, and their probabilities."""

    file: str
    classes: tuple[str, ...]
    probabilities: tuple[float, ...]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; exit code 1 if some pictures could not be read, 2 for a mistake."""
    options = _parser().parse_args(arguments)
    with one_line_for_usage_errors():
        if options.top < 1:
            raise ValueError(f"--top {options.top}: ask for at least 1 class.")
        network, view = read_network(options.network)
        unreadable: list[str] = []
        answers = list(classify(network, view, _files(options.pictures), options.top, unreadable))
        for answer in answers:
            print(shown(answer.file))
            for name, probability in zip(answer.classes, answer.probabilities, strict=True):
                print(f"  {probability:7.2%}  {name}")
        for line in unreadable:
            print(f"error: {line}", file=sys.stderr)
        if options.csv:
            _write_csv(options.csv, answers, options.top)
        if options.json:
            write_whole(options.json, json.dumps([vars(answer) for answer in answers], indent=1) + "\n")
    return 1 if unreadable else 0


def read_network(source: Path) -> tuple[PretrainedClassifier, CentralCrop]:
    """The network of a run, of a checkpoint in one, or of an exported folder, and what it sees of a picture.

    Raises:
        ValueError: There is none.
    """
    if (source / "model.safetensors").is_file():
        network, options = PretrainedClassifier.from_pretrained(source), {}
    else:
        network = read_run(source)
        directory = source if source.is_dir() else run_of(source)
        try:
            options = arguments_of(read_config(directory).get("data") or {})
        except UnreadableError:
            raise ValueError(f"{directory / CONFIG} does not name its data: name another run.") from None
    if not network.mean or not network.std:
        raise ValueError(
            f"The normalization of images for {source} is not recorded: evaluate its run once with `test`."
        )
    size = network.network.image_size
    # As the data set of the run does; one in memory has images of one size, and no border to cut off.
    return network.eval(), CentralCrop(int(options.get("crop_side") or size), size)


@torch.inference_mode()
def classify(
    network: PretrainedClassifier, view: CentralCrop, files: Sequence[Path], top: int, unreadable: list[str]
) -> Iterator[Answer]:
    """Answer for each file that can be read; a line about each other one is added to `unreadable`."""
    names = network.class_names or [str(label) for label in range(network.network.num_classes)]
    waiting: list[tuple[Path, Tensor]] = []
    for file in [*files, None]:
        if file is not None:
            try:
                waiting.append((file, seen(file, view, network)))
            except (BrokenImageError, UnreadableError, OSError) as error:
                unreadable.append(f"{shown(str(file))} is left out: {error}")
        if not waiting or (file is not None and len(waiting) < BATCH):
            continue
        pixels = torch.stack([image for _, image in waiting])
        probabilities = one_view(network, normalize(pixels, network.mean or (), network.std or ()))
        best = probabilities.topk(min(top, probabilities.shape[1]))
        for (path, _), values, labels in zip(waiting, best.values.tolist(), best.indices.tolist(), strict=True):
            yield Answer(str(path), tuple(names[label] for label in labels), tuple(values))
        waiting.clear()


def seen(file: Path, view: CentralCrop, network: PretrainedClassifier) -> Tensor:
    """What the network sees of a picture, as in `test`, not normalized yet. Shape (in_channels, size, size).

    Raises:
        BrokenImageError: It cannot be decoded.
        UnreadableError: It cannot be read.
    """
    with open_regular(file) as content:
        data = content.read()
    width, height, sixteen_bits = read_header(data)
    if not width:
        raise BrokenImageError(
            "it is empty" if not data else "it is no image of a kind that is read here, or too large"
        )
    data = with_eight_bits(data) if sixteen_bits else data
    box = view.boxes(np.array([width]), np.array([height]))[0].tolist()
    pixels = exact_view(data, tuple(box), (view.size, view.size))
    image = torch.from_numpy(pixels.copy()).permute(2, 0, 1)
    if network.network.in_channels == 1:
        image = image.float().mean(0, keepdim=True).round().to(torch.uint8)
    return image


def _files(paths: Sequence[Path]) -> list[Path]:
    """The files, and those below the folders, by the rules of the data set ImageFolder."""
    found: list[Path] = []
    for path in paths:
        if not path.is_dir():
            found.append(path)
            continue
        folder = read_folder(path)
        for split, classes in folder.splits.items():
            for name, files in classes.items():
                found += [folder.path(split) / os.fsdecode(name) / os.fsdecode(file) for file in files.names]
    return found


def _write_csv(path: Path, answers: Sequence[Answer], top: int) -> None:
    with path.open("w", newline="", encoding="utf-8", errors="replace") as file:
        writer = csv.writer(file, lineterminator="\n")
        heads: list[Any] = [name for place in range(1, top + 1) for name in (f"class{place}", f"probability{place}")]
        writer.writerow(["file", *heads])
        for answer in answers:
            pairs = zip(answer.classes, answer.probabilities, strict=True)
            writer.writerow([answer.file, *(value for pair in pairs for value in pair)])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m experiment.classify",
        description="Say what a trained network sees in pictures.",
        allow_abbrev=False,
    )
    parser.add_argument("network", type=Path, help="a run's directory, a checkpoint in one, or an exported folder")
    parser.add_argument("pictures", type=Path, nargs="+", help="files, or folders of them")
    parser.add_argument("--top", type=int, default=5, help="number of classes for each picture; default: 5")
    parser.add_argument("--csv", type=Path, help="file for a table of the answers")
    parser.add_argument("--json", type=Path, help="file for the same as JSON")
    return parser


if __name__ == "__main__":
    sys.exit(main())
