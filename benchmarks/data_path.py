"""CIFAR-10's training batches (pad and crop, flip, normalize) from the project and from torchvision with a DataLoader.

python -m benchmarks.data_path [--batches 60] [--rounds 5]
"""

import argparse
import itertools
import time
from collections.abc import Callable, Iterable

import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from benchmarks.side_by_side import measure, report
from benchmarks.synthetic import SyntheticCIFAR10
from datamodules.loader import ImageBatch

BATCH_SIZE = 512


class PeerDataset(Dataset[tuple[Tensor, int]]):
    """What torchvision.datasets.CIFAR10 does for one image, with the transforms of its reference scripts."""

    def __init__(self, images: Tensor, labels: Tensor, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        self.images = images.permute(0, 2, 3, 1).contiguous().numpy()
        self.labels = labels.tolist()
        crop, flip = transforms.RandomCrop(32, padding=4), transforms.RandomHorizontalFlip()
        self.transform = transforms.Compose([crop, flip, transforms.ToTensor(), transforms.Normalize(mean, std)])

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.transform(Image.fromarray(self.images[index])), self.labels[index]


def timed(batches: Callable[[], Iterable[object]], count: int) -> Callable[[], float]:
    """Images per second over `count` batches; the first, which starts the workers, does not count."""

    def run() -> float:
        iterator = iter(itertools.islice(batches(), count + 1))
        next(iterator)
        start = time.perf_counter()
        for _ in iterator:
            pass
        return count * BATCH_SIZE / (time.perf_counter() - start)

    return run


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batches", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()

    data = SyntheticCIFAR10(batch_size=BATCH_SIZE, val_size=0)
    data.setup()
    train, _, _ = data.read()
    dataset = PeerDataset(train.images, train.labels, data.mean, data.std)

    def ours() -> Iterable[ImageBatch]:
        return (data.on_after_batch_transfer(batch, 0) for batch in data.train_dataloader())

    def peer(workers: int) -> Callable[[], Iterable[object]]:
        return lambda: DataLoader(dataset, BATCH_SIZE, shuffle=True, drop_last=True, num_workers=workers)

    name = "torchvision transforms, DataLoader, 2 workers"
    contestants = {
        name: timed(peer(2), arguments.batches),
        "the same, 0 workers": timed(peer(0), max(1, arguments.batches // 4)),
        "this project": timed(ours, arguments.batches),
    }
    speeds = measure(contestants, arguments.rounds)
    print(report(f"CIFAR-10 training batches of {BATCH_SIZE} on the processor", speeds, name))


if __name__ == "__main__":
    torch.manual_seed(0)
    torch.set_num_threads(1)  # as each of the peer's workers has; what is left idle here is the trainer's
    main()
