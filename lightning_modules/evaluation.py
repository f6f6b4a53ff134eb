"""How a classifier is evaluated: on one view of each image, or on what a guest asks for."""

from collections import OrderedDict
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle
from torchmetrics import MeanMetric

from lightning_modules.batches import Batch

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


class EvaluatedClassifier(LightningModule):
    """The part of an `ImageClassifier` that validates, tests and predicts."""

    architecture: str
    """Name in tables and charts, such as "ResNet-20"; set by each architecture."""

    num_classes: int
    """Number of classes."""

    channels_last: bool
    """Whether images and weights are in NHWC memory order."""

    def __init__(self) -> None:
        super().__init__()
        self._seat = Seat()
        # Means over images: a sum of zeros and ones is exact in any order, so accuracy is, on any number of ranks.
        self.evaluation = nn.ModuleDict()
        for stage in ("val", "test"):  # NaN stays in a mean, and so is seen
            self.evaluation[stage] = nn.ModuleDict(
                {name: MeanMetric(nan_strategy="disable") for name in ("loss", "acc1", "acc5")}
            )

    def last_maps(self, images: Tensor) -> Tensor:
        """Maps (B, K, h, w) of whose averages over all positions the logits are a linear function, if there are any."""
        raise NotImplementedError

    def logits_of_maps(self, maps: Tensor) -> Tensor:
        """Logits (B, num_classes) of the last maps; `forward` of a network that has such maps is the two in turn."""
        raise NotImplementedError

    def map_weights(self) -> Tensor | None:
        """Weights (num_classes, K) of these averages in the logits; None where a network has no such maps.

        The sum of a class's weights times the maps is its class activation map (Zhou et al. 2016, §2).
        """
        return None

    def arranged(self, images: Tensor) -> Tensor:
        """Images (B, C, H, W) in the memory order of the weights."""
        return images.contiguous(memory_format=torch.channels_last) if self.channels_last else images

    @property
    def test_views(self) -> TestViews:
        """From this network and images to class probabilities: one view of each image, or what a guest asked for."""
        return self._seat.views

    def use_test_views(self, views: TestViews, guest: str, maps: bool = False) -> RemovableHandle:
        """Evaluate with other views of the images, until the returned handle is removed; see `Seat.take`."""
        return self._seat.take(views, guest, maps)

    def use_last_maps(self, guest: str) -> RemovableHandle:
        """Have evaluation steps, which then look at one view of each image, also return the last maps.

        As `use_test_views`, until the returned handle is removed. Nothing is computed twice, compiled or not.

        Raises:
            ValueError: The network has no such maps, or another guest decides what is evaluated.
        """
        if self.map_weights() is None:
            raise ValueError(f"{self.architecture} has no maps whose averages give its logits: leave {guest} out.")
        return self.use_test_views(one_view, guest, maps=True)

    def class_probabilities(self, images: Any) -> Tensor:
        """Class probabilities (B, num_classes) of what the DataModule hands out as images of an evaluation batch."""
        return self.test_views(lambda view: self(self.arranged(view)), images)

    def validation_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:
        """Count one batch of the validation split, and hand what was computed to the callbacks; see `evaluated`."""
        return self._evaluation_step("val", batch)

    def test_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:
        """Count one batch of the test split, and hand what was computed to the callbacks; see `evaluated`."""
        return self._evaluation_step("test", batch)

    def predict_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:
        """Class probabilities (B, num_classes) and, where the batch has them, indices of images in the split (B,)."""
        return {name: value for name, value in self.evaluated(batch).items() if name in ("indices", "probabilities")}

    def evaluated(self, batch: Batch) -> dict[str, Tensor]:
        """What an evaluation finds out about the n images of a batch that count, fillers being left out.

        Their `labels` (n,), class `probabilities` (n, num_classes), `indices` in their split (n,) where the batch has
        them, and, where a callback asked for them with `use_last_maps`, the last `maps` (n, K, h, w).
        """
        outputs = {"labels": batch.labels} | ({} if batch.indices is None else {"indices": batch.indices})
        if self._seat.maps:
            outputs["maps"] = self.last_maps(self.arranged(batch.images))
            outputs["probabilities"] = one_view(self.logits_of_maps, outputs["maps"])
        else:
            outputs["probabilities"] = self.class_probabilities(batch.images)
        counted = batch.labels >= 0
        return {name: values[counted] for name, values in outputs.items()}

    def _evaluation_step(self, stage: str, batch: Batch) -> dict[str, Tensor]:
        outputs = self.evaluated(batch)
        probabilities, labels = outputs["probabilities"], outputs["labels"]
        hits = probabilities.topk(min(5, self.num_classes)).indices == labels.unsqueeze(1)
        values = {"loss": negative_log_likelihood(probabilities, labels)}
        values |= {"acc1": hits[:, 0].float(), "acc5": hits.any(1).float()}
        metrics: Any = self.evaluation[stage]
        for name, value in values.items():
            metrics[name].update(value)
            # Logged as an object: torchmetrics adds up the counts of all ranks once, at the end of the epoch.
            self.log(f"{stage}/{name}", metrics[name], on_step=False, on_epoch=True, prog_bar=name == "acc1")
        return outputs
