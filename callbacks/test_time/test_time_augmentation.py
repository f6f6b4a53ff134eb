"""Test-time augmentation: one evaluation gives the accuracy of a single view, of the average, and the gain."""

from collections.abc import Sequence
from typing import Any, Literal, Protocol, runtime_checkable

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_info, rank_zero_warn
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle
from torchmetrics import MeanMetric

from callbacks.measured_steps import evaluated_split, log_evaluation
from callbacks.test_time.paired_gain import PairedCounts, paired_gain
from callbacks.test_time.view_averaging import ViewAverage
from callbacks.test_time.views import PROTOCOLS, ProtocolName, View, central_crop, views_of
from lightning_modules.classifier import negative_log_likelihood


@runtime_checkable
class OffersWholeImages(Protocol):
    """What a DataModule must have for protocols that resize whole images.

    Attributes:
        evaluation_sides: Empty by default: evaluation batches hold central crops (B, C, H, W). Where set, before the
            loaders are made, `batch.images` is a mapping from each of these lengths to B normalized images (C, H, W)
            whose shorter side has that length. Every other part of the batch stays the same.
        crop_side: Shorter side of the images that the central crops are cut from; 256 for ImageNet.
    """

    evaluation_sides: tuple[int, ...]

    @property
    def crop_side(self) -> int: ...  # noqa: D102


class TestTimeAugmentation(Callback):
    """Averages predictions over several views of each image in validate, test and predict; leaves training alone.

    Besides acc1, acc5 and loss of the average there are those of a single view (`test/acc1_single_view`), and the gain
    with its 95 % interval (`test/acc1_gain`, `test/acc1_gain_low`, `test/acc1_gain_high`), from the same images.

    Args:
        protocol: Views to average. flip: the image and its mirror image; translations: 6, shifted by one pixel, for
            small images (airbench); ten_crops: 10 of the central square (AlexNet); ten_crops_of_all: 10 of the whole
            image (torchvision); vgg_dense: whole images at three sizes; vgg_crops: 50 crops at each of three sizes;
            vgg_dense_and_crops: both; googlenet_crops: 144; resnet_dense: whole images at five sizes.
        sides: Lengths in pixels of the shorter side of an image; null for those of the protocol's paper.
        flips: Whether mirror images are among the views.
        padding: Pixels beyond the border of a shifted image. zeros: black, as in training; reflect: mirrored, as in
            airbench.
        average: Quantity to average: probabilities, as in the papers, or logits.
        max_images: Largest number of views in one forward pass, where larger views count by their pixels; null for the
            size of the batch. It is halved if the memory of the GPU does not suffice.

    Raises:
        ValueError: The arguments do not go together; in `setup`: the network or the data set cannot do this.
    """

    __test__ = False  # pytest takes classes of such a name for tests

    def __init__(
        self,
        protocol: ProtocolName = "flip",
        sides: list[int] | None = None,
        flips: bool = True,
        padding: Literal["zeros", "reflect"] = "zeros",
        average: Literal["probabilities", "logits"] = "probabilities",
        max_images: int | None = None,
    ) -> None:
        if protocol not in PROTOCOLS:
            raise ValueError(f"There is no protocol {protocol}: choose one of {', '.join(PROTOCOLS)}.")
        if max_images is not None and max_images < 1:
            raise ValueError(f"max_images must be at least 1, not {max_images}.")
        views_of(protocol, 1, sides, flips)  # refuses what no network could do
        self.protocol: ProtocolName = protocol
        self.sides = sides
        self.flips = flips
        self.padding = padding
        self.average = average
        self.max_images = max_images
        self._average: ViewAverage | None = None
        self._seat: RemovableHandle | None = None  # in the network
        self._sides_before: tuple[Any, tuple[int, ...]] | None = None  # of the data set
        self._metrics = nn.ModuleDict()

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Have the network evaluated with the views, and ask the data set for the images that they need."""
        if stage == "fit":
            return
        self.teardown(trainer, pl_module, stage)
        data: Any = getattr(trainer, "datamodule", None)
        network: Any = pl_module
        if not hasattr(network, "test_views"):
            raise ValueError(
                f"{type(pl_module).__name__} has no test_views, through which an image classifier is given several "
                "views: leave TestTimeAugmentation out."
            )
        # All that can be refused is, before network or data set are changed.
        views = views_of(self.protocol, network.image_size, self.sides, self.flips)
        if PROTOCOLS[self.protocol].any_size:
            self._check_takes_any_size(network)
        whole = bool(PROTOCOLS[self.protocol].sides)
        if whole and not isinstance(data, OffersWholeImages):
            raise ValueError(
                f"The protocol {self.protocol} wants whole images of several sizes, which {_name(data)} does not have: "
                "use flip or translations."
            )
        single = central_crop(network.image_size, data.crop_side if whole else None)
        average = ViewAverage(
            views, single, network.image_size, self.average, self.max_images, self._black(data, views)
        )
        self._seat = network.use_test_views(average, "TestTimeAugmentation")
        self._average = average
        if whole:
            self._sides_before = data, data.evaluation_sides
            data.evaluation_sides = tuple(sorted({view.side for view in average.views}))
        if self.flips and not getattr(data, "horizontal_flip", True):
            rank_zero_warn(
                f"{_name(data)} was not mirrored when training, so mirror images may lower the accuracy: set flips "
                "to false."
            )
        loss = MeanMetric(nan_strategy="disable")  # NaN stays, and so is seen
        self._metrics = nn.ModuleDict({"acc1": PairedCounts(), "acc5": PairedCounts(), "loss": loss})

    def on_validation_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, *_: Any, **__: Any
    ) -> None:
        """Compare the two predictions for each image."""
        if self._average is None:
            return
        single = self._average.single_probabilities[batch.labels >= 0]
        averaged, labels = outputs["probabilities"], outputs["labels"]
        self._metrics.to(labels.device)
        for name, ranks in (("acc1", 1), ("acc5", min(5, single.shape[-1]))):
            self._metrics[name].update(_hits(single, labels, ranks), _hits(averaged, labels, ranks))  # type: ignore[operator]
        self._metrics["loss"].update(negative_log_likelihood(single, labels))  # type: ignore[operator]

    on_test_batch_end = on_validation_batch_end

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log and say what the views gained."""
        if self._average is None:
            return
        prefix = evaluated_split(trainer)
        values = {"loss_single_view": float(self._metrics["loss"].compute())}  # type: ignore[operator]
        sentence = ""
        for name in ("acc1", "acc5"):
            both, lost, won, neither = self._metrics[name].compute().tolist()  # type: ignore[operator]
            count = both + lost + won + neither
            if not count:
                return
            gain = paired_gain(won, lost, count)
            values[f"{name}_single_view"] = (both + lost) / count
            values |= {f"{name}_gain": gain.value, f"{name}_gain_low": gain.low, f"{name}_gain_high": gain.high}
            if name == "acc1":
                sentence = (
                    f"Test-time augmentation ({self.protocol}, {self.number_of_views} views of each of {count:,} "
                    f"images): {prefix}/acc1 {(both + lost) / count:.2%} → {(both + won) / count:.2%}, a gain of "
                    f"{100 * gain.value:+.2f} points (95 % interval {100 * gain.low:+.2f} to {100 * gain.high:+.2f})."
                )
        log_evaluation(trainer, pl_module, values)
        rank_zero_info(sentence)

    on_test_epoch_end = on_validation_epoch_end

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Leave network and data set as they were."""
        self.teardown(trainer, pl_module, "")

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Leave network and data set as they were."""
        if self._seat is not None:
            self._seat.remove()
        if self._sides_before is not None:
            data, sides = self._sides_before
            data.evaluation_sides = sides
        self._seat = self._sides_before = self._average = None

    @property
    def number_of_views(self) -> int:
        """Views of each image that the average consists of."""
        assert self._average is not None
        return sum(view.weight > 0 for view in self._average.views)

    def description(self) -> dict[str, Any]:
        """The arguments that decide what is averaged, for a record."""
        return {name: getattr(self, name) for name in ("protocol", "sides", "flips", "padding", "average")}

    def _black(self, data: Any, views: Sequence[View]) -> Sequence[float] | None:
        if self.padding == "reflect" or all(view.shift == (0, 0) for view in views):
            return None
        if not hasattr(data, "black"):
            raise ValueError(f"{_name(data)} does not say what is black after normalization: set padding to reflect.")
        return data.black

    def _check_takes_any_size(self, network: Any) -> None:
        size = network.image_size
        tensors = {**dict(network.named_parameters()), **dict(network.named_buffers())}
        meta = {name: tensor.to("meta") for name, tensor in tensors.items()}
        images = torch.empty(2, network.in_channels, size + 32, size + 64, device="meta")
        try:
            torch.func.functional_call(network, meta, (images,))
        except RuntimeError as error:
            remedy = "set model.dense to true" if hasattr(network, "dense") else "choose a protocol of crops"
            raise ValueError(
                f"The protocol {self.protocol} shows whole images, but this {network.architecture} takes {size}x{size} "
                f"pixels only: {remedy}."
            ) from error


def _hits(probabilities: Tensor, labels: Tensor, ranks: int) -> Tensor:
    """Whether the label is among the first `ranks` classes. Shape (N,)."""
    return (probabilities.topk(ranks).indices == labels.unsqueeze(1)).any(1)


def _name(data: Any) -> str:
    return str(getattr(data, "name", type(data).__name__)) if data is not None else "a loader without a DataModule"
