"""Batches, as every DataModule hands them to every module, dealt out to the ranks of a job."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from datamodules.counter_random import augmentation_keys, random_permutation


class ImageBatch(NamedTuple):
    """Images, labels and what identifies them.

    Attributes:
        images: uint8 as it leaves the loader; augmented, normalized float32 after ``on_after_batch_transfer``.
            Shape (B, C, H, W).
        labels: int64; -1 marks a filler row, which must not be counted. Shape (B,).
        indices: int64 position of each image in its split, by which it is augmented; with repeated augmentation see
            `augmentation_keys`. Shape (B,).
        epoch: The training epoch, which keys the augmentation; None in evaluation, where nothing is augmented.
        targets: Share of each class in each image, where images are mixed; None where the labels say all. Shape
            (B, num_classes).
    """

    images: Tensor
    labels: Tensor
    indices: Tensor
    epoch: int | None
    targets: Tensor | None = None


class ImageSource(Protocol):
    """Labeled images that batches are made of."""

    @property
    def size(self) -> int:
        """Number of images."""

    @property
    def device(self) -> torch.device:
        """Where the indices of a batch are wanted."""

    def batches(self, requests: Iterable[tuple[Tensor, int | None]]) -> Iterator[ImageBatch]:
        """A batch for each request, in their order: indices (B,) and the training epoch, or None in evaluation."""


class TrainingLoader:
    """Shuffled training batches; the same sequence of global batches on any number of ranks.

    Epoch e is the permutation of (seed, e), cut into global batches of `batch_size * world_size`; each rank takes its
    contiguous share of every global batch, and the images that do not fill a last global batch are left out. Where to
    begin is asked of `position` when the first batch is drawn: Lightning creates iterators before it has restored its
    progress counters, and no position is stored here that could disagree with them.

    Args:
        split: Training images.
        batch_size: Images in a batch of this rank.
        seed: The run's seed.
        position: Returns the epoch and the number of its batches already trained on.
        rank: Global rank of this process.
        world_size: Number of processes.
        repetitions: How often an image follows itself in a batch, each time augmented differently (Hoffer et al. 2020,
            Augment your batch). The epoch stays as long, with so many times fewer images; repetition r of image i has
            the index that `augmentation_keys` gives it.

    Raises:
        ValueError: A global batch is larger than the split.
    """

    def __init__(
        self,
        split: ImageSource,
        batch_size: int,
        *,
        seed: int,
        position: Callable[[], tuple[int, int]],
        rank: int = 0,
        world_size: int = 1,
        repetitions: int = 1,
    ) -> None:
        self.split = split
        self.batch_size = batch_size
        self.global_batch_size = batch_size * world_size
        self.seed = seed
        self.position = position
        self.rank = rank
        self.repetitions = repetitions
        if self.global_batch_size > split.size:
            raise ValueError(
                f"A global batch of {batch_size} images on each of {world_size} process(es) is larger than the "
                f"{split.size} training images: lower --data.batch_size to at most {split.size // world_size}."
            )

    def __len__(self) -> int:
        return self.split.size // self.global_batch_size

    def __iter__(self) -> Iterator[ImageBatch]:
        return self.split.batches(self._requests())

    def _requests(self) -> Iterator[tuple[Tensor, int]]:
        epoch, first_batch = self.position()
        order = random_permutation(self.split.size, self.seed, epoch, device=self.split.device)
        if self.repetitions > 1:
            repetitions = torch.arange(self.repetitions, device=order.device)
            order = augmentation_keys(order[:, None], repetitions, self.split.size).flatten()[: self.split.size]
        for batch in range(first_batch, len(self)):
            start = batch * self.global_batch_size + self.rank * self.batch_size
            yield order[start : start + self.batch_size], epoch

    def state_dict(self) -> dict[str, int]:
        """Returns what fixes the order of the batches, for Lightning to save with a checkpoint."""
        return {
            "seed": self.seed,
            "global_batch_size": self.global_batch_size,
            "images": self.split.size,
            "repetitions": self.repetitions,
        }

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """Refuses to go on with batches other than those that the saved run had before it.

        Raises:
            ValueError: The seed, the global batch or the number of images differs.
        """
        current = self.state_dict()
        state = {"repetitions": 1, **state}  # older checkpoints have none
        changed = [f"{name} {state[name]} → {current[name]}" for name in current if state[name] != current[name]]
        if changed:
            raise ValueError(
                f"The checkpoint was trained on other batches ({', '.join(changed)}): resume with the saved values "
                "(--seed_everything; --data.batch_size times the number of processes; --data.val_size; "
                "--data.repetitions)."
            )


class EvaluationLoader:
    """Every image of a split exactly once, over all ranks together.

    Rank r takes images r, r + world_size, … All ranks yield equally many batches of equal sizes, as collective
    operations need; a rank that runs out fills up with image 0 under the label -1, which no metric may count.

    Args:
        split: The images.
        batch_size: Images in a batch of this rank; the last one may have fewer.
        rank: Global rank of this process.
        world_size: Number of processes.
    """

    def __init__(self, split: ImageSource, batch_size: int, *, rank: int = 0, world_size: int = 1) -> None:
        self.split = split
        self.batch_size = batch_size
        self.rank = rank
        self.world_size = world_size

    def __len__(self) -> int:
        return math.ceil(math.ceil(self.split.size / self.world_size) / self.batch_size)

    def __iter__(self) -> Iterator[ImageBatch]:
        rows = math.ceil(self.split.size / self.world_size)
        dealt = (torch.arange(rows, device=self.split.device) * self.world_size + self.rank).split(self.batch_size)
        fillers = [indices >= self.split.size for indices in dealt]
        requests = ((indices.masked_fill(filler, 0), None) for indices, filler in zip(dealt, fillers, strict=True))
        for batch, filler in zip(self.split.batches(requests), fillers, strict=True):
            yield batch._replace(labels=batch.labels.masked_fill(filler, -1))
