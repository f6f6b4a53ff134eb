"""ImageNet's training and evaluation batches from the project, and from what people use instead, on the same files.

python -m benchmarks.imagenet_data_path PHOTOGRAPHS [--rounds 5] [--batches 3]

PHOTOGRAPHS is a folder with train/ and val/ as ImageFolder reads it; a few hundred photographs suffice. They are
measured as they are, and prepared: resized to a shorter side of 256 and packed into shards. DALI is measured too where
it is installed (nvidia-dali-cuda130).

The first two tables count the time of all processors (images per CPU-second, one thread), the last the clock.
"""

import argparse
import itertools
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import simplejpeg
import torch
from torch.utils.data import DataLoader
from torchvision import transforms
from torchvision.datasets import ImageFolder

from benchmarks.side_by_side import measure, report
from datamodules import ImageNet
from datamodules.imagenet.preparation.conversion import Encoding
from datamodules.imagenet.preparation.prepare import prepare
from datamodules.imagenet.preparation.tree import Tree
from datamodules.imagenet.preparation.units import Options, all_cores
from datamodules.photographs.reader import PreparedCopy

PEER = "torchvision ImageFolder, PIL, original files"
BATCH_SIZE = 64
NORMALIZE = [transforms.ToTensor(), transforms.Normalize(ImageNet.mean, ImageNet.std)]
TRAINING = transforms.Compose([transforms.RandomResizedCrop(224), transforms.RandomHorizontalFlip(), *NORMALIZE])
EVALUATION = transforms.Compose([transforms.Resize(256), transforms.CenterCrop(224), *NORMALIZE])

Batches = Callable[[], Iterable[Any]]


def by(clock: Callable[[], float], batches: Batches, count: int) -> Callable[[], float]:
    """Images per second of a clock over `count` batches; one more before, which starts threads, does not count."""

    def run() -> float:
        iterator = iter(itertools.islice(repeated(batches), count + 1))
        next(iterator)
        start = clock()
        for _ in iterator:
            pass
        return count * BATCH_SIZE / (clock() - start)

    return run


def repeated(batches: Batches) -> Iterator[Any]:
    """Epoch after epoch."""
    while True:
        yield from batches()


def torchvision(folder: Path, training: bool, workers: int = 0) -> Batches:
    """ImageFolder with the transforms of torchvision's reference scripts."""
    images: Any = ImageFolder(folder, TRAINING if training else EVALUATION)
    return lambda: DataLoader(images, BATCH_SIZE, shuffle=training, drop_last=True, num_workers=workers)


def project(root: Path, training: bool, threads: int = 1) -> Batches:
    """The project's loader, until the batch is on the device: normalization is measured elsewhere."""
    data = ImageNet(root=str(root), batch_size=BATCH_SIZE, eval_batch_size=BATCH_SIZE, threads=threads)
    data.setup()
    loader = data.train_dataloader if training else data.val_dataloader
    return lambda: (batch for batch in loader() if len(batch.labels) == BATCH_SIZE)


def decoded(root: Path) -> Batches:
    """What decoding whole photographs costs by itself, nothing cut, resized or written into a batch."""
    split = PreparedCopy(str(root)).split("train")
    files = [split.read(row) for row in range(len(split.records))]
    starts = range(0, len(files) - BATCH_SIZE + 1, BATCH_SIZE)
    return lambda: (
        [simplejpeg.decode_jpeg(data, fastupsample=True) for data in files[start : start + BATCH_SIZE]]
        for start in starts
    )


def dali(folder: Path, threads: int) -> Batches:
    """NVIDIA DALI's pipeline of its ImageNet examples, on the processor."""
    from nvidia.dali import fn, pipeline_def, types  # noqa: PLC0415  may not be installed

    @pipeline_def(batch_size=BATCH_SIZE, num_threads=threads, device_id=None)
    def training() -> Any:
        files, labels = fn.readers.file(file_root=str(folder), random_shuffle=True)
        images = fn.decoders.image_random_crop(files, random_aspect_ratio=[3 / 4, 4 / 3], random_area=[0.08, 1.0])
        images = fn.resize(images, size=[224, 224], interp_type=types.INTERP_LINEAR, antialias=False)
        return fn.flip(images, horizontal=fn.random.coin_flip()), labels

    pipeline = training()
    pipeline.build()

    def batches() -> Iterator[Any]:
        while True:
            yield [output.as_tensor() for output in pipeline.run()]

    return batches


def unpacked(root: Path, folder: Path) -> Path:
    """The photographs of a prepared copy as a folder tree, for those who read no shards."""
    for split in ("train", "val"):
        photographs = PreparedCopy(str(root)).split(split)
        for row in range(len(photographs.records)):
            path = folder / photographs.file(row)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(photographs.read(row))
    return folder


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photographs", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batches", type=int, default=6)
    arguments = parser.parse_args()
    count, cores = arguments.batches, all_cores()

    with tempfile.TemporaryDirectory() as scratch:
        originals, shards = Path(scratch) / "originals", Path(scratch) / "shards"
        originals.symlink_to(arguments.photographs.resolve())
        options = Options(encoding=Encoding(shorter_side=256, quality=90), verify=False)
        prepare(shards, Tree(arguments.photographs), options)
        files = unpacked(shards, Path(scratch) / "files")

        def each_second_of_the_processor(training: bool) -> dict[str, Callable[[], float]]:
            split = "train" if training else "val"
            return {
                PEER: by(time.process_time, torchvision(originals / split, training), count),
                "the same, prepared files": by(time.process_time, torchvision(files / split, training), count),
                "this project, original files": by(time.process_time, project(originals, training), count),
                "this project, prepared shards": by(time.process_time, project(shards, training), count),
                "whole prepared files decoded, nothing else": by(time.process_time, decoded(shards), count),
            }

        speeds = measure(each_second_of_the_processor(training=True), arguments.rounds)
        print(report("ImageNet training batches, images per CPU-second", speeds, PEER), end="\n\n")
        speeds = measure(each_second_of_the_processor(training=False), arguments.rounds)
        print(report("ImageNet evaluation batches, images per CPU-second", speeds, PEER), end="\n\n")

        contestants = {
            PEER: by(time.perf_counter, torchvision(originals / "train", training=True, workers=cores), count),
            "the same, prepared files": by(
                time.perf_counter, torchvision(files / "train", training=True, workers=cores), count
            ),
            "this project, original files": by(time.perf_counter, project(originals, True, cores), count),
            "this project, prepared shards": by(time.perf_counter, project(shards, True, cores), count),
        }
        if find_spec("nvidia") and find_spec("nvidia.dali"):
            contestants["DALI, original files"] = by(time.perf_counter, dali(originals / "train", cores), count)
            contestants["DALI, prepared files"] = by(time.perf_counter, dali(files / "train", cores), count)
        speeds = measure(contestants, arguments.rounds)
        print(report(f"ImageNet training batches on {cores} cores, images per second", speeds, PEER))


if __name__ == "__main__":
    torch.manual_seed(0)
    torch.set_num_threads(1)
    main()
