"""The filters of the first layer as a picture, how much of them is color, and whether they have a shape.

Krizhevsky et al. 2012, §6.1 and Fig. 3: of the two columns of AlexNet, each on its GPU, one learns filters that are
largely color-agnostic and the other color-specific ones, in every run. Here that is a number: with w(x, y) the
weights of a filter for the channels of a pixel, and m(x, y) their mean,

    color selectivity = Σ |w(x, y) - m(x, y)|² / Σ |w(x, y)|²

is the share of the filter's energy that a gray image does not reach: 0 for a filter that sees light and dark alone, 1
for one that is blind to gray, 2/3 on average for random weights of three channels. Rafegas and Vanrell 2018 (Color
encoding in biologically-inspired convolutional neural networks, §3) compare in the same way what a neuron answers to
images and to their gray versions; for a linear filter, the weights alone say it. "Gray" means equal values after the
images are normalized.

Edges and blobs differ from noise in that neighboring weights are alike:

    smoothness = mean of w(x, y) w(x', y') over neighbors (x', y') / mean of w(x, y)²

is 0 on average for random weights, and 1 for filters that are flat.
"""

import math
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from PIL import Image
from torch import Tensor, nn
from torchvision.transforms.functional import to_pil_image
from torchvision.utils import make_grid

from callbacks.measured_steps import image_classifier
from callbacks.pictures import below_one_another, is_time_for_a_picture, publish, side_by_side

MOST_COLUMNS = 4
PICTURE_SIDE = 320


def color_selectivity(filters: Tensor) -> Tensor:
    """Share of the energy of filters (N, C, H, W) that lies outside the gray axis: a number from 0 to 1, for all."""
    filters = filters.detach().float()
    gray = filters.mean(1, keepdim=True)
    return (filters - gray).square().sum() / filters.square().sum().clamp_min(torch.finfo(torch.float32).tiny)


def filter_smoothness(filters: Tensor) -> Tensor:
    """How far neighboring weights of filters (N, C, H, W) are alike, for all together: from -1 to 1, 0 for noise."""
    filters = filters.detach().float()
    pairs = ((filters[..., 1:], filters[..., :-1]), (filters[..., 1:, :], filters[..., :-1, :]))
    products = torch.cat([(one * other).flatten() for one, other in pairs])
    if not len(products):  # 1x1
        return filters.new_zeros(())
    return products.mean() / filters.square().mean().clamp_min(torch.finfo(torch.float32).tiny)


def first_filters(network: nn.Module) -> list[Tensor]:
    """Filters (N, C, H, W) of the first convolution, one tensor for each column of the network.

    A network has two columns if its second convolution sees its inputs in two groups, as AlexNet's does.

    Raises:
        ValueError: The network has no convolution.
    """
    layers = [
        module
        for name, module in network.named_modules()
        if isinstance(module, nn.Conv2d) and not name.startswith("auxiliary_heads.")
    ]
    if not layers:
        raise ValueError(f"{type(network).__name__} has no convolution to show: leave FirstLayerFilters out.")
    weight = layers[0].weight
    # AlexNetPair has a layer for each column; no other layer has the shape of one that sees the image.
    alike = [layer.weight for layer in layers if layer.weight.shape == weight.shape]
    if len(alike) > 1:
        return list(alike)
    groups = layers[1].groups if len(layers) > 1 else 1
    return list(weight.chunk(groups)) if 1 < groups <= MOST_COLUMNS and len(weight) % groups == 0 else [weight]


def filter_grid(filters: Tensor) -> Image.Image:
    """Filters (N, C, H, W) side by side, each by its own largest weight, 0 as mid-gray; other than 3 channels as mean.

    A filter that is all zeros is mid-gray.
    """
    images = filters.detach().float().cpu()
    if images.shape[1] != 3:
        images = images.mean(1, keepdim=True)
    largest = images.abs().amax((1, 2, 3), keepdim=True).clamp_min(torch.finfo(torch.float32).tiny)
    images = images / largest / 2 + 0.5
    in_a_row = filters_in_a_row(len(images))
    enlarge = max(1, PICTURE_SIDE // (in_a_row * (images.shape[-1] + 1)))
    images = images.repeat_interleave(enlarge, 2).repeat_interleave(enlarge, 3)
    return to_pil_image(make_grid(images, nrow=in_a_row, padding=max(2, enlarge // 4), pad_value=1.0))


def filters_in_a_row(count: int) -> int:
    """Filters in a row: the fewest that fill a rectangle which is not much wider than high, else as in a square.

    48 filters are 6 rows of 8, 96 are 8 rows of 12.
    """
    square = math.ceil(count**0.5)
    return next((row for row in range(square, int(1.5 * square) + 1) if count % row == 0), square)


class FirstLayerFilters(Callback):
    """Draws the filters of the first layer, column below column, and logs what they are like after each epoch.

    Logs `train/filter_smoothness`, and for images in color `train/color_selectivity`, for two columns also
    `train/color_selectivity_column_1` and `…_2`. Draws `pictures/first_layer_filters.png` before the first step of a
    run, as `…_at_start`, after 1, 2, 4, 8, … epochs and at the end.
    """

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Refuse a network without convolutions."""
        if stage == "fit":
            first_filters(image_classifier(pl_module, "FirstLayerFilters"))

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draw what the training starts from."""
        if trainer.global_step == 0:
            self._draw(trainer, pl_module, "first_layer_filters_at_start")

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log the index, and draw if it is time."""
        columns = first_filters(pl_module)
        smoothness = {"filter_smoothness": filter_smoothness(torch.cat([filters.cpu() for filters in columns]))}
        for name, value in (selectivity_by_column(columns) | smoothness).items():
            pl_module.log(f"train/{name}", value, sync_dist=True)
        if is_time_for_a_picture(trainer.current_epoch):
            self._draw(trainer, pl_module)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draw what came out."""
        self._draw(trainer, pl_module)

    def _draw(self, trainer: Trainer, pl_module: LightningModule, name: str = "first_layer_filters") -> None:
        if not trainer.is_global_zero:
            return
        columns = first_filters(pl_module)
        pictures = []
        for number, filters in enumerate(columns, start=1):
            title = f"column {number}" if len(columns) > 1 else pl_module.architecture
            share = f", color selectivity {float(color_selectivity(filters)):.2f}" if filters.shape[1] == 3 else ""
            pictures.append((f"{title}{share}", filter_grid(filters)))
        publish(trainer, name, below_one_another([side_by_side([picture]) for picture in pictures]))


def selectivity_by_column(columns: list[Tensor]) -> dict[str, Any]:
    """`color_selectivity` of all filters, and of each column if there is more than one; empty for gray images."""
    if columns[0].shape[1] != 3:
        return {}
    values = {"color_selectivity": color_selectivity(torch.cat([filters.detach().cpu() for filters in columns]))}
    if len(columns) > 1:
        for number, filters in enumerate(columns, start=1):
            values[f"color_selectivity_column_{number}"] = color_selectivity(filters)
    return values
