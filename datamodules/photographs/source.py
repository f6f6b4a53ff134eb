"""Batches of photographs, decoded by threads that write into them."""

import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from datamodules.counter_random import CounterRandom
from datamodules.loader import ImageBatch
from datamodules.photographs.decoder import BrokenImageError, Pixels, exact_view, fast_view
from datamodules.photographs.reader import PreparedSplit
from datamodules.photographs.views import CentralCrop, TrainingView, Views, WholeImage

Rows = npt.NDArray[np.int64]
PHOTOGRAPHS_PER_TASK = 16  # few enough that threads share a batch, enough not to wait for tasks


@dataclass(frozen=True)
class Decoding:
    """How photographs become images.

    Attributes:
        training_view: Which part of a photograph is trained on.
        training_size: Height and width of a training image in pixels.
        evaluation_view: Which part is evaluated on.
        seed: Key of the training views and of `augment`.
        mirror: Whether training images are mirrored where their view says so.
        exact: Whether training images, too, are decoded and resized as PIL does it.
        broken: error: a photograph that cannot be decoded ends the run; skip: it is left out, with a warning. Where it
            would have been trained on, the next one of the split is.
        augment: What else the threads do to training images (B, 3, H, W), with their random numbers.
    """

    training_view: TrainingView
    training_size: int
    evaluation_view: CentralCrop
    seed: int
    mirror: bool = True
    exact: bool = False
    broken: Literal["error", "skip"] = "error"
    augment: Callable[[Tensor, CounterRandom], Tensor] | None = None


class _Begun(NamedTuple):
    """A batch that is being decoded."""

    batch: ImageBatch
    tasks: list[Future[None]]


class PhotographSource:
    """Photographs of a split as an `ImageSource`.

    Args:
        split: The split of the prepared copy.
        rows: Its photographs that belong to this source, in order; None for all. Shape (N,).
        decoding: How photographs become images.
        executor: Gives the threads.
        ahead: Batches that are being decoded while one is used.
        sides: Returns the shorter sides of the whole images that evaluation asks for; none for central crops.
    """

    def __init__(
        self,
        split: PreparedSplit,
        rows: Rows | None,
        decoding: Decoding,
        executor: Callable[[], Executor],
        *,
        ahead: int = 3,
        sides: Callable[[], Sequence[int]] = tuple,
    ) -> None:
        self.split = split
        self.rows = rows
        self.decoding = decoding
        self.executor = executor
        self.ahead = ahead
        self.sides = sides
        self.size = len(split.records) if rows is None else len(rows)
        self.device = torch.device("cpu")
        self.skipped: set[str] = set()

    def rows_of(self, indices: Tensor) -> Rows:
        """Rows of the split of images by their indices, of whatever repetition. Shape (B,)."""
        positions = indices.numpy() % self.size
        return positions if self.rows is None else self.rows[positions]

    def batches(self, requests: Iterable[tuple[Tensor, int | None]]) -> Iterator[ImageBatch]:
        """A batch for each request, in their order, decoded ahead.

        Raises:
            ValueError: A photograph cannot be decoded, and broken ones are not to be skipped.
        """
        waiting = iter(requests)
        begun: deque[_Begun] = deque()
        try:
            while True:
                # Batches are begun before the first is waited for, so that threads decode while the device trains.
                while len(begun) <= self.ahead and (request := next(waiting, None)) is not None:
                    begun.append(self._begin(*request))
                if not begun:
                    return
                for task in begun[0].tasks:
                    task.result()
                yield begun.popleft().batch
        finally:  # also where the loader is left in mid-epoch
            for batch in begun:
                for task in batch.tasks:
                    task.cancel()

    def _begin(self, indices: Tensor, epoch: int | None) -> _Begun:
        rows = self.rows_of(indices)
        labels = torch.from_numpy(self.split.records["label"][rows].astype(np.int64))
        sides = () if epoch is not None else tuple(self.sides())
        decode: Callable[[slice], None]
        images: Any
        if sides:
            images = {side: [None] * len(rows) for side in sides}
            decode = partial(self._decode_whole, rows, labels, images)
        else:
            size = self.decoding.evaluation_view.size if epoch is None else self.decoding.training_size
            pixels = torch.empty((len(rows), size, size, 3), dtype=torch.uint8, pin_memory=torch.cuda.is_available())
            images = pixels.permute(0, 3, 1, 2)  # in the memory order that decoders write and GPUs like
            views = self._views(rows, indices, epoch)
            decode = partial(self._decode_views, rows, indices, epoch, views, labels, pixels)
        executor = self.executor()
        tasks = [
            executor.submit(decode, slice(start, start + PHOTOGRAPHS_PER_TASK))
            for start in range(0, len(rows), PHOTOGRAPHS_PER_TASK)
        ]
        return _Begun(ImageBatch(images, labels, indices, epoch), tasks)

    def _views(self, rows: Rows, indices: Tensor, epoch: int | None) -> Views:
        widths, heights = self.split.records["width"][rows], self.split.records["height"][rows]
        decoding = self.decoding
        if epoch is None:
            return Views(decoding.evaluation_view.boxes(widths, heights), np.zeros(len(rows), bool))
        random = CounterRandom(decoding.seed, epoch, indices)
        views = decoding.training_view.views(widths, heights, random, decoding.training_size)
        return views if decoding.mirror else views._replace(flips=np.zeros_like(views.flips))

    def _decode_views(
        self, rows: Rows, indices: Tensor, epoch: int | None, views: Views, labels: Tensor, pixels: Tensor, part: slice
    ) -> None:
        for position in range(len(rows))[part]:
            row, image = int(rows[position]), pixels[position].numpy()
            try:
                self._decode_view(row, views.boxes[position].tolist(), bool(views.flips[position]), image, epoch)
            except BrokenImageError as error:
                self._skip_or_raise(row, error)
                # Evaluation leaves it out of every metric; training must have a full batch, so another one comes in.
                labels[position] = -1
                image[:] = 0
                if epoch is not None:
                    labels[position] = self._decode_next(row, image, epoch)
        if epoch is not None and self.decoding.augment is not None:
            images = pixels[part].permute(0, 3, 1, 2)
            images.copy_(self.decoding.augment(images, CounterRandom(self.decoding.seed, epoch, indices[part])))

    def _decode_view(self, row: int, box: Sequence[float], flip: bool, image: Pixels, epoch: int | None) -> None:
        data = self.split.read(row)
        left, top, width, height = box
        if epoch is None or self.decoding.exact:
            view = exact_view(data, (left, top, width, height), image.shape[:2])
            image[:] = view[:, ::-1] if flip else view
        else:
            fast_view(data, (left, top, width, height), image, flip, self._stored_size(row))

    def _decode_next(self, row: int, image: Pixels, epoch: int) -> int:
        """Put the next photograph that can be decoded, as a whole, in the place of a broken one; returns its label."""
        rows = np.arange(len(self.split.records)) if self.rows is None else self.rows
        place = int(np.searchsorted(rows, row))
        for following in map(int, np.roll(rows, -place)[1:]):  # none that is held out
            try:
                self._decode_view(following, (0, 0, *self._stored_size(following)), False, image, epoch)
            except BrokenImageError as error:
                self._skip_or_raise(following, error)
            else:
                return int(self.split.records["label"][following])
        raise ValueError(
            f"None of the {len(rows)} photographs of {self.split.name} can be decoded: prepare them again."
        )

    def _decode_whole(self, rows: Rows, labels: Tensor, images: dict[int, list[Tensor | None]], part: slice) -> None:
        for position in range(len(rows))[part]:
            row = int(rows[position])
            stored = np.array(self._stored_size(row))[:, None]
            try:
                data = self.split.read(row)
                for side, whole in images.items():
                    rule = WholeImage(side)
                    box, size = rule.boxes(*stored)[0].tolist(), rule.sizes(*stored)[0].tolist()
                    view = exact_view(data, tuple(box), tuple(size))
                    whole[position] = torch.from_numpy(view.copy()).permute(2, 0, 1)
            except BrokenImageError as error:
                self._skip_or_raise(row, error)
                labels[position] = -1
                for side, whole in images.items():
                    whole[position] = torch.zeros(3, side, side, dtype=torch.uint8)

    def _stored_size(self, row: int) -> tuple[int, int]:
        record = self.split.records[row]
        return int(record["width"]), int(record["height"])

    def _skip_or_raise(self, row: int, error: BrokenImageError) -> None:
        file = self.split.file(row)
        if self.decoding.broken == "error":
            raise ValueError(
                f"{file} cannot be used: {error}; restore it, or leave such photographs out with --data.broken=skip."
            ) from None
        if file not in self.skipped:
            self.skipped.add(file)
            warnings.warn(f"{file} is left out ({error}); {len(self.skipped)} so far.", stacklevel=2)
