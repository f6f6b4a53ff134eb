"""Images in the shape of CIFAR-10 and of random content, on which the speed of handling does not depend."""

import torch

from datamodules.cifar import CIFAR10
from datamodules.in_memory import Split


class SyntheticCIFAR10(CIFAR10):
    """CIFAR-10's sizes, augmentation and code path, without its files."""

    def prepare_data(self) -> None:
        """Nothing to download."""

    def read(self) -> tuple[Split, Split, bool]:
        """50,000 training and 10,000 test images."""
        generator = torch.Generator().manual_seed(0)
        train, test = (
            Split(
                torch.randint(256, (size, 3, 32, 32), dtype=torch.uint8, generator=generator),
                torch.randint(10, (size,), generator=generator),
            )
            for size in (50_000, 10_000)
        )
        return train, test, False
