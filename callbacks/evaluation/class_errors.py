"""Which classes a network errs on, which it confuses, and the mistakes that it is surest of, as pictures."""

from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.trainer.states import TrainerFn
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat
from torchvision.transforms.functional import to_pil_image

from callbacks.measured_steps import evaluated_split
from callbacks.pictures import INK, PAPER, publish, stretched
from lightning_modules.classifier import ImageClassifier
from records import class_errors as record
from records.files import UnreadableError

PICTURE = "most_confused"
PAIRS = 4
MISTAKES_OF_A_PAIR = 3
SIDE = 128
CELL_WIDTH, GAP, LINE = 176, 14, 18


class Outcomes(NamedTuple):
    """The images of an evaluation in the order of their indices, each once, of all ranks.

    Attributes:
        indices: Position of each image in its split. Shape (N,).
        labels: Its class. Shape (N,).
        predicted: The class of the highest probability. Shape (N,).
        probabilities: That probability. Shape (N,).
    """

    indices: Tensor
    labels: Tensor
    predicted: Tensor
    probabilities: Tensor


class EvaluationOutcomes(Metric):
    """Collects the outcome of each image.

    A list of outcomes, and not a confusion matrix: that has a million cells for ImageNet, is counted in another order
    or at the cost of a million comparisons for each image where algorithms must be deterministic, and does not say
    which image it was.
    """

    images: list[Tensor]
    probabilities: list[Tensor]

    def __init__(self) -> None:
        super().__init__()
        self.add_state("images", [], dist_reduce_fx="cat")
        self.add_state("probabilities", [], dist_reduce_fx="cat")

    def update(self, probabilities: Tensor, labels: Tensor, indices: Tensor) -> None:
        """Note the images of a batch, without waiting for the device.

        Args:
            probabilities: Of each class. Shape (B, num_classes).
            labels: Of the images, -1 for fillers, which `compute` leaves out. Shape (B,).
            indices: Of the images in their split. Shape (B,).
        """
        highest, predicted = probabilities.max(-1)
        self.images.append(torch.stack([indices, labels, predicted], 1))
        self.probabilities.append(highest.float())

    def compute(self) -> Outcomes:
        """The outcomes, on the host."""
        images, probabilities = dim_zero_cat(self.images).cpu(), dim_zero_cat(self.probabilities).cpu()
        counted = images[:, 1] >= 0
        images, probabilities = images[counted], probabilities[counted]
        order = images[:, 0].argsort(stable=True)
        indices, labels, predicted = images[order].unbind(1)
        return Outcomes(indices, labels, predicted, probabilities[order])


def confusion_counts(outcomes: Outcomes) -> list[tuple[int, int, int]]:
    """Images by class and predicted class: (class, predicted, count), in rising order, without counts of zero."""
    pairs, counts = torch.stack([outcomes.labels, outcomes.predicted]).unique(dim=1, return_counts=True)
    return [(*pair, count) for pair, count in zip(pairs.T.tolist(), counts.tolist(), strict=True)]


def calibration(outcomes: Outcomes) -> list[record.ConfidenceBin]:
    """The outcomes by their confidence, in the bins that hold any, from the least sure up."""
    bins = (outcomes.probabilities * record.BINS).long().clamp(0, record.BINS - 1)
    right = outcomes.labels == outcomes.predicted
    return [
        record.ConfidenceBin(
            images=len(inside),
            confidence=min(1.0, float(outcomes.probabilities[inside].double().mean())),
            accuracy=float(right[inside].double().mean()),
        )
        for number in bins.unique().tolist()
        for inside in [(bins == number).nonzero().flatten()]
    ]


def add_calibration(directory: Path, split: str, outcomes: Outcomes) -> None:
    """Add the calibration on another split to what a run has written; a file that cannot be read stays as it is."""
    with suppress(UnreadableError):
        if errors := record.ClassErrors.read_if_any(directory):
            bins = errors.calibration | {split: calibration(outcomes)}
            errors.model_copy(update={"calibration": bins}).write(directory)


def most_confused(counts: list[tuple[int, int, int]], pairs: int) -> list[tuple[int, int, int]]:
    """The pairs of classes taken for each other most often, in either direction: (lower class, higher class, count)."""
    confused: Counter[tuple[int, int]] = Counter()
    for label, predicted, count in counts:
        if label != predicted:
            confused[min(label, predicted), max(label, predicted)] += count
    ranked = sorted(confused.items(), key=lambda item: (-item[1], item[0]))
    return [(*pair, count) for pair, count in ranked[:pairs]]


def surest_mistakes(outcomes: Outcomes, one: int, other: int, most: int) -> list[record.Mistake]:
    """Of the images of one class that were taken for the other, and the other way round, the surest mistakes."""
    labels, predicted = outcomes.labels, outcomes.predicted
    wrong = ((labels == one) & (predicted == other)) | ((labels == other) & (predicted == one))
    rows = zip(*(column[wrong].tolist() for column in outcomes), strict=True)
    surest = sorted(rows, key=lambda row: (-row[3], row[0]))[:most]
    return [
        record.Mistake(image=image, label=label, predicted=predicted, probability=probability)
        for image, label, predicted, probability in surest
    ]


class ClassErrors(Callback):
    """Writes the confusion matrix and draws the surest mistakes of the pairs of classes that are confused most.

    `class_errors.json` and `pictures/most_confused.png` are those of the most accurate validation so far; in validate
    and test, of the one evaluation. Views that other callbacks average count as they do in the accuracy. A module
    that is no ImageClassifier is left alone.
    """

    def __init__(self) -> None:
        self.best_correct = -1
        self._outcomes = EvaluationOutcomes()
        self._counting = False
        self._in_a_fit = False
        self._tests_a_fit = False

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Keep the files for the validation: the test at the end of a training adds its calibration alone."""
        self._in_a_fit = True

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin to count."""
        self._tests_a_fit = self._in_a_fit and trainer.testing
        self._counting = isinstance(pl_module, ImageClassifier) and not trainer.sanity_checking
        self._outcomes = EvaluationOutcomes().to(pl_module.device)

    on_test_start = on_validation_start

    def on_validation_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, *_: Any, **__: Any
    ) -> None:
        """Note the outcomes of a batch."""
        if self._counting and outputs is not None:  # a step of a user's own network may return nothing
            self._outcomes.update(outputs["probabilities"], outputs["labels"], outputs["indices"])

    on_test_batch_end = on_validation_batch_end

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write and draw, in fit only if no earlier validation was as accurate."""
        if not self._counting or not self._outcomes.images:
            return
        outcomes = self._outcomes.compute()  # on all ranks, which exchange theirs here
        self._outcomes.reset()
        if self._tests_a_fit:
            if trainer.is_global_zero:
                add_calibration(Path(trainer.default_root_dir), evaluated_split(trainer), outcomes)
            return
        correct = int((outcomes.labels == outcomes.predicted).sum())
        if trainer.state.fn == TrainerFn.FITTING:
            if correct <= self.best_correct:
                return
            self.best_correct = correct
        if trainer.is_global_zero and not trainer.fast_dev_run and len(outcomes.labels):  # type: ignore[attr-defined]
            self._write(trainer, outcomes)

    on_test_epoch_end = on_validation_epoch_end

    def state_dict(self) -> dict[str, Any]:
        """How many images the best validation got right, which a resumed run has to beat."""
        return {"best_correct": self.best_correct}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from the best of the run's earlier parts."""
        self.best_correct = state_dict["best_correct"]

    def _write(self, trainer: Trainer, outcomes: Outcomes) -> None:
        loader: Any = trainer.test_dataloaders if trainer.testing else trainer.val_dataloaders
        names = getattr(trainer.datamodule, "class_names", None)  # type: ignore[attr-defined]
        counts = confusion_counts(outcomes)
        pairs = most_confused(counts, PAIRS)
        rows = [surest_mistakes(outcomes, one, other, MISTAKES_OF_A_PAIR) for one, other, _ in pairs]
        mistakes = [mistake for row in rows for mistake in row]
        boxes: list[tuple[int, int, int, int] | None] = [None] * len(mistakes)
        split = getattr(loader, "split", None)  # without one, as of a user's own loader, mistakes are not drawn
        if mistakes and split is not None:
            picture, drawn_at = mistakes_picture(rows, _pictures(split, mistakes), names)
            boxes = [*drawn_at]
            publish(trainer, PICTURE, picture)
        errors = record.ClassErrors(
            split=evaluated_split(trainer),
            calibration={evaluated_split(trainer): calibration(outcomes)},
            epoch=trainer.current_epoch if trainer.state.fn == TrainerFn.FITTING else None,
            images=len(outcomes.labels),
            class_names=list(names) if names else None,
            counts=counts,
            mistakes=[mistake.model_copy(update={"place": box}) for mistake, box in zip(mistakes, boxes, strict=True)],
        )
        errors.write(Path(trainer.default_root_dir))


def mistakes_picture(
    rows: Sequence[Sequence[record.Mistake]], pictures: Sequence[Image.Image], names: Sequence[str] | None
) -> tuple[Image.Image, list[tuple[int, int, int, int]]]:
    """The mistakes, a row for each pair of classes, each with what it is and what it was taken for.

    Args:
        rows: The mistakes of each pair.
        pictures: One for each mistake, row by row.
        names: Of the classes; their numbers where there are none.

    Returns:
        The picture, and left, top, right and bottom edge of each image in it.
    """
    font = ImageFont.load_default(size=13)
    cell_height = 2 * LINE + SIDE + GAP
    whole = Image.new("RGB", (max(map(len, rows)) * CELL_WIDTH + GAP, len(rows) * cell_height + GAP), PAPER)
    draw = ImageDraw.Draw(whole)
    remaining, boxes = iter(pictures), []
    for row, mistakes in enumerate(rows):
        for column, mistake in enumerate(mistakes):
            left, top = GAP + column * CELL_WIDTH, GAP + row * cell_height
            label, predicted = (names[c] if names else str(c) for c in (mistake.label, mistake.predicted))
            lines = (label, f"taken for {predicted}"), ("", f", {mistake.probability:.0%}")
            for line, (text, ending) in enumerate(zip(*lines, strict=True)):
                shown = _shortened(text, ending, font)
                draw.text((left, top + line * LINE - 2), shown, fill=INK, font=font)
            picture = next(remaining)
            corner = left, top + 2 * LINE
            whole.paste(picture, corner)
            boxes.append((*corner, corner[0] + picture.width, corner[1] + picture.height))
    return whole, boxes


def _shortened(text: str, ending: str, font: Any) -> str:
    """The text with its ending, cut to the width of a cell."""
    shown = text
    while font.getlength(f"{shown}{ending}") > CELL_WIDTH - GAP and len(shown) > 1:
        shown = f"{shown.removesuffix('…')[:-1].rstrip()}…"
    return f"{shown}{ending}"


def _pictures(source: Any, mistakes: Sequence[record.Mistake]) -> list[Image.Image]:
    """The images of the mistakes as they are stored, read once more: too few to keep all of an evaluation for them."""
    device = getattr(source, "device", torch.device("cpu"))
    requests = ((torch.tensor([mistake.image], device=device), None) for mistake in mistakes)
    return [_picture(batch.images) for batch in source.batches(requests)]


def _picture(images: Any) -> Image.Image:
    """The one image of a batch, enlarged by a whole number or reduced to `SIDE`."""
    if not isinstance(images, Tensor):  # several sizes for views of whole images: the largest
        images = images[max(images)]
    image = images[0].detach().cpu()
    if image.dtype != torch.uint8:
        image = stretched(image)
    picture = to_pil_image(image).convert("RGB")
    scale = SIDE / max(picture.size)
    if scale >= 1:
        enlarged = int(scale)
        return picture.resize((picture.width * enlarged, picture.height * enlarged), Image.Resampling.NEAREST)
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    return picture.resize(size, Image.Resampling.LANCZOS)
