"""Predictions averaged over views: cutting them out, and passing them through a network in batches that fit."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
import torch.nn.functional as F
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor
from torchvision.transforms.v2.functional import pad

from callbacks.test_time.views import View

Images = Tensor | Mapping[int, Sequence[Tensor]]
"""A batch as it is (B, C, H, W), or by shorter side: B whole images (C, H, W), each of its own longer side."""


def cut(images: Tensor, view: View, black: Sequence[float] | None = None) -> Tensor:
    """Cut a view out of images of one size.

    Args:
        images: Shape (N, C, H, W).
        view: The view; `side` is that of the images.
        black: What stands outside of the image, by channel; None for the image reflected.

    Returns:
        Shape (N, C, h, w).
    """
    top, left, height, width = view.window(*images.shape[-2:])
    border = max(map(abs, view.shift))
    if border:
        images = pad(images, [border], padding_mode="reflect") if black is None else pad(images, [border], list(black))
    windows = images[..., top + border : top + border + height, left + border : left + border + width]
    if view.resized:
        size = [view.size, view.size]
        smaller = F.interpolate(windows.float(), size=size, mode="bilinear", antialias=True)  # type: ignore[arg-type]
        windows = smaller.to(images.dtype)
    return windows.flip(-1) if view.flip else windows


@dataclass(frozen=True)
class Part:
    """One view of some images of a batch.

    Attributes:
        view: Which view.
        single: Whether it shows what an ordinary evaluation sees.
        rows: Indices of the images in the batch. Shape (n,).
        windows: What was cut out of them. Shape (n, C, h, w).
    """

    view: View
    single: bool
    rows: Tensor
    windows: Tensor


class ViewAverage:
    """Class probabilities averaged over views, for a classifier's `use_test_views`, and those of a single view.

    Args:
        views: The views, whose weights add up to 1.
        single: The view of an ordinary evaluation; it costs nothing more if it is one of `views`.
        size: Height and width in pixels for which `max_images` holds.
        average: Whether probabilities or logits are averaged.
        max_images: Views in one forward pass; larger ones count by their pixels. None: as many as the batch has images.
        black: See `cut`.
    """

    def __init__(
        self,
        views: Sequence[View],
        single: View,
        size: int,
        average: Literal["probabilities", "logits"] = "probabilities",
        max_images: int | None = None,
        black: Sequence[float] | None = None,
    ) -> None:
        self.single = replace(single, weight=0.0)
        self.views = [self.single, *views]
        self.size = size
        self.average = average
        self.black = black
        self.max_pixels = None if max_images is None else max_images * size**2
        self.single_probabilities = torch.empty(0)

    def __call__(self, network: Callable[[Tensor], Tensor], images: Any) -> Tensor:
        """Averaged class probabilities (B, num_classes); those of the single view are kept beside them."""
        first: Any = images if isinstance(images, Tensor) else next(iter(images.values()))
        if self.max_pixels is None:
            self.max_pixels = len(first) * self.size**2
        total = single = torch.empty(0)
        for parts in self._batches(self._parts(images)):
            logits = self._forward(network, torch.cat([part.windows for part in parts])).float()
            if not len(total):
                total, single = logits.new_zeros(2, len(first), logits.shape[-1])
            for part, own in zip(parts, logits.split([len(part.rows) for part in parts]), strict=True):
                scores = own.softmax(-1) if self.average == "probabilities" else own
                total[part.rows] += part.view.weight * scores
                if part.single:
                    single[part.rows] = own.softmax(-1)
        self.single_probabilities = single
        return total if self.average == "probabilities" else total.softmax(-1)

    def _is_single(self, view: View, height: int, width: int) -> bool:
        """Whether a view shows the same of such an image as the single one."""
        shown, single = ((it.side, it.flip, it.resized, it.window(height, width)) for it in (view, self.single))
        return shown == single

    def _parts(self, images: Images) -> Iterator[Part]:
        """Views of images of the same size together, so that they are cut out with one operation."""
        groups: dict[int | None, list[tuple[Tensor, Tensor]]] = {}
        for view in self.views:
            if view.side not in groups:
                groups[view.side] = _by_size(images if isinstance(images, Tensor) else images[view.side])  # type: ignore[index]
            for rows, stacked in groups[view.side]:
                shape = stacked.shape[-2:]
                if view.weight or not any(self._is_single(other, *shape) for other in self.views[1:]):
                    yield Part(view, self._is_single(view, *shape), rows, cut(stacked, view, self.black))

    def _batches(self, parts: Iterator[Part]) -> Iterator[list[Part]]:
        """Parts of one size, as many as go into one forward pass."""
        waiting: dict[torch.Size, list[Part]] = {}
        for whole in parts:
            shape = whole.windows.shape[1:]
            limit = self._limit(shape)
            for rows, windows in zip(whole.rows.split(limit), whole.windows.split(limit), strict=True):
                queue = waiting.setdefault(shape, [])
                if queue and sum(len(part.rows) for part in queue) + len(rows) > limit:
                    yield waiting.pop(shape)
                waiting.setdefault(shape, []).append(Part(whole.view, whole.single, rows, windows))
        yield from waiting.values()

    def _limit(self, shape: torch.Size) -> int:
        assert self.max_pixels is not None
        return max(1, self.max_pixels // (shape[-2] * shape[-1]))

    def _forward(self, network: Callable[[Tensor], Tensor], windows: Tensor) -> Tensor:
        """Logits, in as many forward passes as the device's memory asks for, now and from now on."""
        height, width = windows.shape[-2:]
        while True:
            count = min(len(windows), self._limit(windows.shape))
            try:
                return torch.cat([network(part) for part in windows.split(count)])
            except torch.OutOfMemoryError as error:
                if count == 1:
                    raise ValueError(
                        f"A single view of {height}x{width} pixels does not fit into the device's memory: "
                        "give shorter sides, or use trainer.precision bf16-mixed."
                    ) from error
            # After the handler, whose traceback would keep the tensors of the failed pass alive.
            self.max_pixels = count // 2 * height * width
            torch.cuda.empty_cache()
            rank_zero_warn(f"Out of memory: going on with {count // 2} views of {height}x{width} in a forward pass.")


def _by_size(images: Tensor | Sequence[Tensor]) -> list[tuple[Tensor, Tensor]]:
    """Rows (n,) and images (n, C, H, W) of each size in a batch."""
    if isinstance(images, Tensor):
        return [(torch.arange(len(images), device=images.device), images)]
    rows: dict[torch.Size, list[int]] = {}
    for row, image in enumerate(images):
        rows.setdefault(image.shape, []).append(row)
    return [
        (torch.tensor(same, device=images[0].device), torch.stack([images[row] for row in same]))
        for same in rows.values()
    ]
