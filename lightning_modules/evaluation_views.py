"""What an evaluation sees of its images: one view of each, or what a guest asks for."""

from collections import OrderedDict
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils.hooks import RemovableHandle

TestViews = Callable[[Callable[[Tensor], Tensor], Any], Tensor]
"""From a network that gives logits, and images as the DataModule hands them out, to class probabilities."""


def one_view(network: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
    """Class probabilities (B, num_classes) of images (B, C, H, W) as they are."""
    logits = network(images)
    return logits.to(torch.promote_types(logits.dtype, torch.float32)).softmax(-1)


def negative_log_likelihood(probabilities: Tensor, labels: Tensor) -> Tensor:
    """Loss (B,) of class probabilities (B, num_classes), which may be averages and so have no logits."""
    return -probabilities.gather(1, labels.unsqueeze(1)).squeeze(1).clamp_min(torch.finfo(torch.float32).tiny).log()


class Guest(NamedTuple):
    """Who decides what an evaluation sees of its images; `maps`: evaluation steps also return the last maps."""

    name: str
    views: TestViews
    maps: bool


class Seat:
    """A network's place for one guest, the one seam for test-time augmentation."""

    def __init__(self) -> None:
        self._guests: OrderedDict[int, Guest] = OrderedDict()  # none or one

    @property
    def views(self) -> TestViews:
        """From a network and images to class probabilities: one view of each image, or what the guest asked for."""
        return next((guest.views for guest in self._guests.values()), one_view)

    @property
    def maps(self) -> bool:
        """Whether the guest asked for the last maps."""
        return any(guest.maps for guest in self._guests.values())

    def take(self, views: TestViews, guest: str, maps: bool) -> RemovableHandle:
        """Let a guest decide, until the returned handle is removed.

        It is given the images as the DataModule hands them out. The papers average probabilities, not logits (AlexNet
        §4.1, VGG §3.2, GoogLeNet §7).

        Args:
            views: What to evaluate with.
            guest: Name of the callback that asks, for error messages.
            maps: Whether evaluation steps also return the `last_maps` of the one view that they look at.

        Raises:
            ValueError: Another guest has asked already.
        """
        for other, *_ in self._guests.values():
            if other == guest:
                raise ValueError(f"{guest} is among the callbacks twice: leave one of them out.")
            raise ValueError(
                f"{other} and {guest} both decide which views of an image are evaluated: leave {other} out or leave "
                f"{guest} out."
            )
        handle = RemovableHandle(self._guests)
        self._guests[handle.id] = Guest(guest, views, maps)
        return handle
