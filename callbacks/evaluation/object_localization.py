"""Where the objects of ILSVRC are, by class activation maps: the second of its errors, without training on boxes."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_info
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from callbacks.evaluation.boxes_of_maps import box_of_map, enlarged, in_photograph, in_view, maps_of_classes
from callbacks.evaluation.evaluation_watch import EvaluationWatch
from callbacks.evaluation.localization_error import LABELS, LocalizationErrors, overlaps
from callbacks.evaluation.localization_picture import localization_picture
from callbacks.measured_steps import image_classifier
from callbacks.pictures import publish, side_by_side

METRIC_PREFIXES = {"validate": "val", "test": "test"}


class Photograph(Protocol):
    """What evaluation sees of a stored photograph.

    Attributes:
        name: Name of the published file, such as ILSVRC2012_val_00000001.JPEG.
        width: Pixels of the photograph as it is stored.
        height: Likewise.
        view: Left, top, width and height, in these pixels, of the part that the network sees.
    """

    @property
    def name(self) -> str: ...  # noqa: D102

    @property
    def width(self) -> int: ...  # noqa: D102

    @property
    def height(self) -> int: ...  # noqa: D102

    @property
    def view(self) -> tuple[float, float, float, float]: ...  # noqa: D102


class Boxes(Protocol):
    """The true boxes of a photograph."""

    def scaled_to(self, width: int, height: int) -> NDArray[np.float64]:
        """Left, top, right and bottom pixel of each in a photograph of this size. Shape (M, 4)."""


@runtime_checkable
class KnowsPhotographs(Protocol):
    """What a DataModule must have for the localization of objects."""

    def photographs(self, indices: Tensor) -> list[Any]:
        """A `Photograph` for each of the indices (B,) of an evaluation batch."""

    def bounding_boxes(self, path: Path) -> Mapping[str, Boxes]:
        """True boxes from an archive or a folder, by the name of the photograph without its ending."""


@dataclass(frozen=True)
class Example:
    """One photograph of the picture.

    Attributes:
        predicted: Class with the highest probability.
        label: Class of the photograph.
        overlap: Largest overlap of the predicted box with a true one.
        picture: See `localization_picture`.
    """

    predicted: int
    label: int
    overlap: float
    picture: Image.Image

    def titled(self, names: Sequence[str] | None) -> tuple[str, Image.Image]:
        """The picture, with a line that says what is on it."""
        name = names[self.predicted] if names else str(self.predicted)
        return f"{name} ({'right' if self.predicted == self.label else 'wrong'}), {self.overlap:.0%}", self.picture


class ObjectLocalization(Callback):
    """Finds the box of an object from class activation maps, in validate and test; leaves everything else alone.

    Logs ILSVRC's errors with five labels, each with one box: `test/localization_error`, and
    `test/classification_error`, which is 1 minus acc5 (`val/…` in validate). Draws `pictures/localization.png`: the
    first images, each with the map of the class that the network predicts, its box in white and the true boxes in
    green.

    For networks whose logits come from the averages of their last maps (Zhou et al. 2016, §2): NIN, GoogLeNet, ResNet.

    Args:
        boxes: True boxes: ILSVRC2012_bbox_val_v3.tgz, or a folder with its files.
        threshold: Share of a map's maximum above which a pixel belongs to the object.
        images: How many images are drawn; 0 for none.

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
        self._examples: list[Example] = []
        self._watch: EvaluationWatch | None = None

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Read the boxes, and watch the network.

        Raises:
            ValueError: The network or the data set cannot do this.
        """
        self._let_go()
        if stage not in METRIC_PREFIXES:
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
        self._watch = EvaluationWatch(network)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin to count; refuses another callback's views."""
        self._begin(pl_module)

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin to count; refuses another callback's views."""
        self._begin(pl_module)

    def on_validation_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, *_: int
    ) -> None:
        """Find the boxes of a batch."""
        self._localize(trainer, batch)

    def on_test_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, *_: int
    ) -> None:
        """Find the boxes of a batch."""
        self._localize(trainer, batch)

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log the errors and draw."""
        self._report(trainer, pl_module, "val")

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log the errors and draw."""
        self._report(trainer, pl_module, "test")

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Leave the network as it was."""
        self._let_go()

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Leave the network as it was."""
        self._let_go()

    def _begin(self, pl_module: LightningModule) -> None:
        if self._watch is not None:
            self._watch.check_views()
            self._errors = LocalizationErrors().to(pl_module.device)
            self._examples = []

    def _let_go(self) -> None:
        if self._watch is not None:
            self._watch.let_go()
            self._watch = None

    def _localize(self, trainer: Trainer, batch: Any) -> None:
        counted = batch.labels >= 0
        if self._watch is None or not counted.any():
            return
        places_in_batch = counted.nonzero().squeeze(1)
        labels, maps = batch.labels[counted], self._watch.maps
        photographs: list[Photograph] = trainer.datamodule.photographs(batch.indices[counted])  # type: ignore[attr-defined]
        true_boxes = [self._boxes_of(photograph) for photograph in photographs]
        probabilities = self._watch.probabilities[counted]
        ranking = probabilities.topk(min(LABELS, probabilities.shape[-1])).indices

        # No other label's box can count, so none is looked for.
        rows, places = (ranking == labels.unsqueeze(1)).nonzero(as_tuple=True)
        found = torch.full((*ranking.shape, 4), torch.nan, dtype=torch.float64)
        size = tuple(batch.images.shape[-2:])
        right_maps = self._maps_of(maps[places_in_batch[rows]], labels[rows], size)
        for row, place, activation_map in zip(rows.tolist(), places.tolist(), right_maps, strict=True):
            box = box_of_map(activation_map, self.threshold)
            found[row, place] = torch.tensor(in_photograph(box, size, photographs[row].view), dtype=torch.float64)
        self._errors.update(ranking.cpu(), found, labels.cpu(), true_boxes)

        missing = self.images - len(self._examples)
        if missing > 0 and trainer.is_global_zero:
            first = slice(missing)
            drawn = places_in_batch[first]
            self._draw(
                batch.images[drawn],
                maps[drawn],
                ranking[first, 0],
                labels[first],
                photographs[first],
                true_boxes[first],
            )

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

    def _maps_of(self, maps: Tensor, classes: Tensor, size: tuple[int, int]) -> Iterator[NDArray[np.float32]]:
        assert self._watch is not None
        weights = self._watch.network.map_weights()
        assert weights is not None
        for activation_map in maps_of_classes(maps, weights, classes).cpu().numpy():
            yield enlarged(activation_map, *size)

    def _draw(
        self,
        images: Tensor,
        maps: Tensor,
        predicted: Tensor,
        labels: Tensor,
        photographs: list[Photograph],
        true_boxes: list[Tensor],
    ) -> None:
        height, width = images.shape[-2:]
        size = (height, width)
        for row, activation_map in enumerate(self._maps_of(maps, predicted, size)):
            view = photographs[row].view
            box = box_of_map(activation_map, self.threshold)
            found = torch.tensor([in_photograph(box, size, view)], dtype=torch.float64)
            shown = [in_view(true_box, size, view) for true_box in true_boxes[row].tolist()]
            overlap = float(overlaps(found, true_boxes[row]).max())
            picture = localization_picture(images[row], activation_map, shown, box)
            self._examples.append(Example(int(predicted[row]), int(labels[row]), overlap, picture))

    def _report(self, trainer: Trainer, pl_module: LightningModule, prefix: str) -> None:
        if self._watch is None:
            return
        images, misclassified, mislocalized = self._errors.compute().tolist()
        if not images:
            return
        for name, count in (("classification_error", misclassified), ("localization_error", mislocalized)):
            # All ranks have the same value already; their maximum is that value, to the bit.
            pl_module.log(f"{prefix}/{name}", count / images, sync_dist=True, reduce_fx="max")
        rank_zero_info(
            f"Localization by class activation maps ({images:,} images): {prefix}/localization_error "
            f"{mislocalized / images:.2%}, {prefix}/classification_error {misclassified / images:.2%}."
        )
        if self._examples:
            names = getattr(trainer.datamodule, "class_names", None)  # type: ignore[attr-defined]
            publish(trainer, "localization", side_by_side([example.titled(names) for example in self._examples]))
