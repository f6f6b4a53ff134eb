"""What is in a picture? `python -m experiment.classify NETWORK FILE… FOLDER… [--top 5] [--csv FILE] [--picture]`."""

import argparse
import csv
import json
import os
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms.functional import to_pil_image

from callbacks.evaluation.localization import enlarged
from callbacks.inside.class_activation_maps import class_activation_maps, overlaid
from callbacks.pictures import side_by_side
from datamodules.augmentation import normalize
from datamodules.photographs.decoder import BrokenImageError, exact_view, read_header, with_eight_bits
from datamodules.photographs.folder import read_folder, shown
from datamodules.photographs.views import CentralCrop
from experiment.export import read_run
from experiment.pretrained import PretrainedClassifier
from experiment.start_weights import load_weights
from experiment.usage_errors import one_line_for_usage_errors
from experiment.weight_files import TORCHVISION_NAME
from lightning_modules.evaluation import one_view
from records.files import UnreadableError, open_regular, whole_file, write_whole

BATCH = 32
WEIGHTS = "model.safetensors"
PICTURES = "class_activation_maps"
LONGEST_SIDE = 640  # of a photograph as it is drawn, in pixels


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
        if options.picture and options.picture.is_file():
            raise ValueError(f"--picture {options.picture} is a file: name a folder, or put --picture last.")
        network = read_network(options.network)
        unreadable: list[str] = []
        answers = list(classify(network, _files(options.pictures), options.top, unreadable))
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
        if options.picture:
            _write_pictures(options.picture, answers, network)
            print(f"The class activation maps are in {options.picture}.")
    return 1 if unreadable else 0


def read_network(source: str) -> PretrainedClassifier:
    """The network of a run, of a checkpoint in one, of an exported folder, or of torchvision's weights of that name.

    Raises:
        ValueError: There is none.
    """
    path = Path(source)
    if not path.exists() and re.fullmatch(TORCHVISION_NAME, source):
        return published_network(source)
    network = PretrainedClassifier.from_pretrained(path) if (path / WEIGHTS).is_file() else read_run(path)
    if not network.mean or not network.std:
        raise ValueError(
            f"The normalization of images for {source} is not recorded: evaluate its run once with `test`."
        )
    return network.eval()


def published_network(name: str) -> PretrainedClassifier:
    """A network with torchvision's weights, which are downloaded if need be, and what torchvision says of them.

    Raises:
        ValueError: torchvision has no such weights, or this project has no such network.
    """
    from torchvision import models  # noqa: PLC0415  its import takes a second, and few commands need it

    family = name.partition("_Weights.")[0]
    of_vgg, of_resnet = re.fullmatch(r"VGG(1[1369])(_BN)?", family), re.fullmatch(r"ResNet(\d+)", family)
    if of_vgg:
        variant = {"11": "A", "13": "B", "16": "D", "19": "E"}[of_vgg[1]]
        network, arguments = "VGG", {"variant": variant, "batch_norm": bool(of_vgg[2])}
    elif of_resnet:
        depth = int(of_resnet[1])
        network, arguments = "ResNet", {"depth": depth, "variant": "v1.5" if depth >= 50 else "original"}
    elif family == "AlexNet":
        network, arguments = "AlexNet", {"variant": "torchvision"}
    elif family == "GoogLeNet":
        network, arguments = "GoogLeNet", {"variant": "torchvision", "transform_input": True}
    else:
        raise ValueError(f"There is no network for {name} here: name weights of AlexNet, VGG, GoogLeNet or ResNet.")
    trained = PretrainedClassifier(network, arguments)
    load_weights(trained.network, name, whole=True)
    weights = models.get_weight(name)
    preset = weights.transforms()
    trained.class_names, trained.mean, trained.std = weights.meta["categories"], preset.mean, preset.std
    trained.crop_side = preset.resize_size[0]
    return trained


@torch.inference_mode()
def classify(
    network: PretrainedClassifier, files: Sequence[Path], top: int, unreadable: list[str], batch: int = BATCH
) -> Iterator[Answer]:
    """Answer for each file that can be read; a line about each other one is added to `unreadable`."""
    names = network.class_names or [str(label) for label in range(network.network.num_classes)]
    waiting: list[tuple[Path, Tensor]] = []
    for file in [*files, None]:
        if file is not None:
            try:
                waiting.append((file, seen(file, network)))
            except (BrokenImageError, UnreadableError, OSError) as error:
                unreadable.append(f"{shown(str(file))} is left out: {error}")
        if not waiting or (file is not None and len(waiting) < batch):
            continue
        pixels = torch.stack([image for _, image in waiting])
        probabilities = one_view(network, normalize(pixels, network.mean or (), network.std or ()))
        best = probabilities.topk(min(top, probabilities.shape[1]))
        for (path, _), values, labels in zip(waiting, best.values.tolist(), best.indices.tolist(), strict=True):
            yield Answer(str(path), tuple(names[label] for label in labels), tuple(values))
        waiting.clear()


def seen(file: Path, network: PretrainedClassifier) -> Tensor:
    """What the network sees of a picture, as in `test`, not normalized yet. Shape (in_channels, size, size).

    Raises:
        BrokenImageError: It cannot be decoded.
        UnreadableError: It cannot be read.
    """
    data, width, height = _read(file)
    size = network.network.image_size
    pixels = exact_view(data, _box(network, width, height), (size, size))
    image = torch.from_numpy(pixels.copy()).permute(2, 0, 1)
    if network.network.in_channels == 1:
        image = image.float().mean(0, keepdim=True).round().to(torch.uint8)
    return image


def explained(answer: Answer, network: PretrainedClassifier) -> Image.Image:
    """A photograph beside the map of where its most probable class was found; what the network did not see is dark."""
    file = Path(answer.file)
    data, width, height = _read(file)
    image = normalize(seen(file, network).unsqueeze(0), network.mean or (), network.std or ())
    (activation_map,), _ = class_activation_maps(network, image)
    scale = min(1, LONGEST_SIDE / max(width, height))
    size = max(1, round(height * scale)), max(1, round(width * scale))
    photograph = torch.from_numpy(exact_view(data, (0, 0, width, height), size).copy()).permute(2, 0, 1)
    left, top, box_width, box_height = (round(length * scale) for length in _box(network, width, height))
    part = torch.from_numpy(enlarged(activation_map.numpy(), max(1, box_height), max(1, box_width)))
    whole = torch.zeros(size)
    whole[top : top + box_height, left : left + box_width] = part[: size[0] - top, : size[1] - left]
    title = f"{answer.classes[0]}, {answer.probabilities[0]:.1%}"
    pictures = [(file.name, to_pil_image(photograph)), (title, overlaid(photograph, whole, size[::-1]))]
    return side_by_side([(shown(text), picture) for text, picture in pictures])


def _read(file: Path) -> tuple[bytes, int, int]:
    """The bytes of a picture, of 8 bits a channel, its width and its height."""
    with open_regular(file) as content:
        data = content.read()
    width, height, sixteen_bits = read_header(data)
    if not width:
        raise BrokenImageError(
            "it is empty" if not data else "it is no image of a kind that is read here, or too large"
        )
    return with_eight_bits(data) if sixteen_bits else data, width, height


def _box(network: PretrainedClassifier, width: int, height: int) -> tuple[float, float, float, float]:
    """Left, top, width and height of what `test` shows of a picture; small images in memory have no border to cut."""
    view = CentralCrop(network.crop_side, network.network.image_size)
    left, top, box_width, box_height = view.boxes(np.array([width]), np.array([height]))[0].tolist()
    return left, top, box_width, box_height


def _write_pictures(folder: Path, answers: Sequence[Answer], network: PretrainedClassifier) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    taken: set[str] = set()
    for answer in answers:
        stem, number = Path(answer.file).stem, 1
        while (name := f"{stem}{f'-{number}' if number > 1 else ''}.png") in taken:
            number += 1
        taken.add(name)
        with whole_file(folder / name) as file:
            explained(answer, network).save(file, "PNG")


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
    parser.add_argument(
        "network",
        help="a run's directory, a checkpoint in one, an exported folder, or torchvision's name of weights such as "
        "ResNet50_Weights.IMAGENET1K_V2",
    )
    parser.add_argument("pictures", type=Path, nargs="+", help="files, or folders of them")
    parser.add_argument("--top", type=int, default=5, help="number of classes for each picture; default: 5")
    parser.add_argument("--csv", type=Path, help="file for a table of the answers")
    parser.add_argument("--json", type=Path, help="file for the same as JSON")
    parser.add_argument(
        "--picture",
        type=Path,
        nargs="?",
        const=Path(PICTURES),
        metavar="FOLDER",
        help=f"draw each picture beside the class activation map of its first class; default folder: {PICTURES}",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
