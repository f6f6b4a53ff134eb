"""Where the objects of ILSVRC are, by class activation maps: the second of its errors, without training on boxes."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_info
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from torch import Tensor
from torch.utils.hooks import RemovableHandle

from callbacks.evaluation.localization import (
    LABELS,
    LocalizationErrors,
    box_of_map,
    enlarged,
    in_photograph,
    in_view,
    maps_of_classes,
    overlaps,
)
from callbacks.inside.class_activation_maps import overlaid
from callbacks.measured_steps import evaluated_split, image_classifier, log_evaluation
from callbacks.pictures import name_of_class, publish, side_by_side
from datamodules.imagenet.bounding_boxes import Boxes
from datamodules.photographs.data_module import Photograph
from lightning_modules.classifier import ImageClassifier

SIDE = 224
TRUE, PREDICTED, SHADE = "#2ecc71", "#ffffff", "#101010"


@runtime_checkable
class KnowsPhotographs(Protocol):
    """What a DataModule must have for the localization of objects."""

    def photographs(self, indices: Tensor) -> list[Photograph]:
        """What evaluation sees of the photograph at each of the indices (B,) of an evaluation batch."""

    def bounding_boxes(self, path: Path) -> Mapping[str, Boxes]:
        """True boxes from an archive or a folder, by the name of the photograph without its ending."""


class ObjectLocalization(Callback):
    """Finds the box of an object from class activation maps, in validate and test; leaves everything else alone.

    Logs ILSVRC's errors with five labels, each with one box: `test/localization_error`, and
    `test/classification_error`, which is 1 minus acc5 (`val/…` in validate). Draws `pictures/localization.png`: the
    first images, each with the map of the class that the network predicts, its box in white and the true boxes in
    green.

    For networks whose logits come from the averages of their last maps (Zhou et al. 2016, §2): NIN, GoogLeNet, ResNet.

    Args:
        boxes: Path of the true boxes: ILSVRC2012_bbox_val_v3.tgz, or a folder with its files.
        threshold: Share of a map's maximum above which a pixel belongs to the object.
        images: Number of images to draw; 0 for none.

    Raises:
        ValueError: An argument is out of its range; in `setup`: the network or the data set cannot do this; later: a
            photograph has no box.
    """

    def __init__(self, boxes: str, threshold: float = 0.2, images: int = 6) -> None:
        if not 0 <= threshold < 1:
            raise ValueError(f"ObjectLocalization.threshold must be at least 0 and below 1, not {threshold}.")
        if images < 0:
            raise ValueError(f"ObjectLocalization.images must be 0 or more, not {images}.")
        self.boxes = boxes
        self.threshold = threshold
        self.images = images
        self._true_boxes: Mapping[str, Boxes] = {}
        self._errors = LocalizationErrors()
        self._examples: list[tuple[str, Image.Image]] = []  # pictures, each with a line that says what is on it
        self._seat: RemovableHandle | None = None  # in the network

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Read the boxes, and ask the network for its last maps."""
        self.teardown(trainer, pl_module, stage)
        if stage not in ("validate", "test"):
            return
        network = image_classifier(pl_module, "ObjectLocalization")
        if network.map_weights() is None:
            raise ValueError(
                f"{network.architecture} has no maps whose averages give its logits, from which boxes are found: use "
                "NIN (head average), GoogLeNet or ResNet, or leave ObjectLocalization out."
            )
        data: Any = getattr(trainer, "datamodule", None)
        if not isinstance(data, KnowsPhotographs):
            name = "a loader" if data is None else getattr(data, "name", None) or type(data).__name__
            raise ValueError(
                f"ObjectLocalization needs photographs with bounding boxes, which {name} does not have: use ImageNet, "
                "or leave the callback out."
            )
        held_out: Any = getattr(data, "val_size", None)
        if stage == "validate" and held_out:
            raise ValueError(
                f"Validation is on {held_out} training photographs, held out with --data.val_size, but boxes are "
                "found in the official validation photographs: use test, or set data.val_size to 0."
            )
        self._true_boxes = data.bounding_boxes(Path(self.boxes))
        self._seat = network.use_last_maps("ObjectLocalization")

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin to count."""
        self._errors = LocalizationErrors().to(pl_module.device)
        self._examples = []

    on_test_start = on_validation_start

    def on_validation_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, *_: Any, **__: Any
    ) -> None:
        """Find the boxes of a batch."""
        labels = outputs["labels"]
        if self._seat is None or not len(labels):
            return
        photographs: list[Photograph] = trainer.datamodule.photographs(outputs["indices"])  # type: ignore[attr-defined]
        true_boxes = [self._boxes_of(photograph) for photograph in photographs]
        probabilities, maps = outputs["probabilities"], outputs["maps"]
        ranking = probabilities.topk(min(LABELS, probabilities.shape[-1])).indices
        assert isinstance(pl_module, ImageClassifier)
        weights = pl_module.map_weights()
        assert weights is not None

        # No other label's box can count, so none is looked for.
        rows, ranks = (ranking == labels.unsqueeze(1)).nonzero(as_tuple=True)
        found = torch.full((*ranking.shape, 4), torch.nan, dtype=torch.float64)
        size = tuple(batch.images.shape[-2:])
        right_maps = _enlarged_maps(maps[rows], weights, labels[rows], size)
        for row, rank, activation_map in zip(rows.tolist(), ranks.tolist(), right_maps, strict=True):
            box = box_of_map(activation_map, self.threshold)
            found[row, rank] = torch.tensor(in_photograph(box, size, photographs[row].view), dtype=torch.float64)
        self._errors.update(ranking.cpu(), found, labels.cpu(), true_boxes)

        missing = self.images - len(self._examples)
        if missing > 0 and trainer.is_global_zero:
            # Of the few that are drawn, the map is that of the predicted class, right or wrong.
            images, predicted = batch.images[batch.labels >= 0][:missing], ranking[:missing, 0]
            for row, activation_map in enumerate(_enlarged_maps(maps[:missing], weights, predicted, size)):
                box, view = box_of_map(activation_map, self.threshold), photographs[row].view
                found = torch.tensor([in_photograph(box, size, view)], dtype=torch.float64)
                overlap = float(overlaps(found, true_boxes[row]).max())
                shown = [in_view(true_box, size, view) for true_box in true_boxes[row].tolist()]
                picture = localization_picture(images[row], activation_map, shown, box)
                right = "right" if predicted[row] == labels[row] else "wrong"
                self._examples.append(
                    (f"{name_of_class(trainer, int(predicted[row]))} ({right}), {overlap:.0%}", picture)
                )

    on_test_batch_end = on_validation_batch_end

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log the errors and draw."""
        if self._seat is None:
            return
        images, misclassified, mislocalized = self._errors.compute().tolist()
        if not images:
            return
        prefix, values = evaluated_split(trainer), {"classification_error": misclassified / images}
        log_evaluation(trainer, pl_module, values | {"localization_error": mislocalized / images})
        rank_zero_info(
            f"Localization by class activation maps ({images:,} images): {prefix}/localization_error "
            f"{mislocalized / images:.2%}, {prefix}/classification_error {misclassified / images:.2%}."
        )
        if self._examples:
            publish(trainer, "localization", side_by_side(self._examples))

    on_test_epoch_end = on_validation_epoch_end

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Leave the network as it was."""
        self.teardown(trainer, pl_module, "")

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Leave the network as it was."""
        if self._seat is not None:
            self._seat.remove()
            self._seat = None

    def _boxes_of(self, photograph: Photograph) -> Tensor:
        name = photograph.name.rsplit(".", 1)[0]
        try:
            boxes = self._true_boxes[name]
        except KeyError:
            raise ValueError(
                f"{self.boxes} has no box of {name}: name the boxes of the photographs that are evaluated, "
                "ILSVRC2012_bbox_val_v3.tgz."
            ) from None
        return torch.from_numpy(boxes.scaled_to(photograph.width, photograph.height))


def _enlarged_maps(
    maps: Tensor, weights: Tensor, classes: Tensor, size: tuple[int, ...]
) -> Iterator[NDArray[np.float32]]:
    """Class activation maps at the size (height, width) of the images, of maps (N, K, h, w) and a class for each."""
    height, width = size
    for activation_map in maps_of_classes(maps, weights, classes).cpu().numpy():
        yield enlarged(activation_map, height, width)


def localization_picture(
    image: Tensor,
    activation_map: NDArray[np.float32],
    true_boxes: Iterable[Sequence[float]],
    predicted_box: Sequence[float],
) -> Image.Image:
    """Draw the true boxes in green and the predicted one in white.

    Args:
        image: Of any range, gray or color. Shape (C, H, W).
        activation_map: Drawn by its maximum; nothing where it is negative. Shape (H, W).
        true_boxes: Left, top, right and bottom edge, in pixels of the image.
        predicted_box: Likewise.
    """
    scale = max(1, round(SIDE / image.shape[-1]))
    size = (scale * image.shape[-1], scale * image.shape[-2])
    picture = overlaid(image, torch.from_numpy(activation_map), size)
    draw = ImageDraw.Draw(picture)
    for box in true_boxes:
        _outline(draw, [scale * edge for edge in box], TRUE, width=4)
    _outline(draw, [scale * edge for edge in predicted_box], PREDICTED, width=2)  # a true one beneath stays visible
    return picture


def _outline(draw: ImageDraw.ImageDraw, box: Sequence[float], color: str, width: int) -> None:
    """The outline of a box, within its edges, with a dark line inside so that it shows on any ground."""
    left, top, right, bottom = (round(edge) for edge in box)
    corners = [left, top, max(left, right - 1), max(top, bottom - 1)]
    draw.rectangle(corners, outline=SHADE, width=width + 1)
    draw.rectangle(corners, outline=color, width=width)
