"""Where in an image a network finds its class: class activation maps, by gradients, for every network.

Selvaraju et al. 2017 (Grad-CAM: Visual Explanations from Deep Networks via Gradient-based Localization, §3): weight the
maps A_k of the last convolutional layer by the mean gradient of the class score, and keep what speaks for the class:

    map = ReLU(Σ_k a_k A_k),   a_k = mean over positions of ∂ score / ∂ A_k

Where the network averages these maps and one linear layer follows, a_k is that layer's weight over the number of
positions: the class activation map of Zhou et al. 2016 (Learning Deep Features for Discriminative Localization, §2) is
the same but for the ReLU and that factor (Grad-CAM, §3.1). Networks with fully connected layers have no such map but
this one.

Here the score is that of the class that the network predicts, and the maps are the last ones that it makes, after ReLU
and pooling; they are enlarged to the image bilinearly, and each is drawn by its own maximum.
"""

from typing import Any

import torch
import torch.nn.functional as F
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.trainer.states import TrainerFn
from PIL import Image
from torch import Tensor, nn
from torchvision.transforms.functional import to_pil_image

from callbacks.measured_steps import image_classifier
from callbacks.pictures import below_one_another, is_time_for_a_picture, name_of_class, publish, side_by_side, stretched

SIDE = 112
STRENGTH = 0.55
# Colors of the map from nothing to its maximum: black, violet, orange, light yellow.
COLORS = torch.tensor([[0.0, 0.0, 0.02], [0.45, 0.10, 0.43], [0.93, 0.41, 0.15], [0.99, 1.0, 0.64]])


def class_activation_maps(network: nn.Module, images: Tensor) -> tuple[Tensor, Tensor]:
    """Maps (B, H, W), 0 or more, at the size of the images, and the class (B,) for which each speaks.

    Weights, gradients and mode of the network stay as they are.

    Raises:
        ValueError: Nothing in the network makes maps of more than one pixel.
    """
    seen: list[Tensor] = []  # the last one only

    def note(module: nn.Module, inputs: Any, output: Any) -> None:
        if isinstance(output, Tensor) and output.ndim == 4 and output.shape[-2:].numel() > 1 and output.requires_grad:
            seen[:] = [output]

    hooks = [module.register_forward_hook(note) for module in network.modules() if module is not network]
    try:
        with torch.enable_grad(), torch.compiler.set_stance("force_eager"):  # compiled code runs no hooks
            # A gradient that starts at the images reaches every map, whichever parameters are trained.
            logits = network(images.detach().clone().requires_grad_())
            if not seen:
                raise ValueError("The network has no maps of more than one pixel to draw: leave the callback out.")
            scores, classes = logits.max(1)
            (gradient,) = torch.autograd.grad(scores.sum(), seen[-1])
    finally:
        for hook in hooks:
            hook.remove()
    maps = weighted_maps(seen[-1].detach().float(), gradient.float())
    return F.interpolate(maps.unsqueeze(1), images.shape[-2:], mode="bilinear").squeeze(1), classes


def weighted_maps(activations: Tensor, gradient: Tensor) -> Tensor:
    """ReLU(Σ_k a_k A_k) of activations and gradient (B, K, h, w): (B, h, w)."""
    return (activations * gradient.mean((2, 3), keepdim=True)).sum(1).relu()


def overlaid(image: Tensor, activation_map: Tensor, size: tuple[int, int] = (SIDE, SIDE)) -> Image.Image:
    """An image (C, H, W) of any range, gray or color, with its map (H, W), as far as it is positive, laid over it."""
    activation_map = activation_map.cpu()
    heat = (activation_map / activation_map.max().clamp_min(1e-12)).clamp(0, 1)
    gray = stretched(image).mean(0, keepdim=True)  # so that color means the map
    mixed = gray * (1 - STRENGTH) + colored(heat) * STRENGTH
    return to_pil_image(mixed.clamp(0, 1)).resize(size, Image.Resampling.NEAREST)


def colored(values: Tensor) -> Tensor:
    """Colors (3, H, W) of values (H, W) from 0 to 1."""
    position = values * (len(COLORS) - 1)
    low = position.floor().long().clamp(max=len(COLORS) - 2)
    between = (position - low).unsqueeze(-1)
    return (COLORS[low] * (1 - between) + COLORS[low + 1] * between).permute(2, 0, 1)


def plain(image: Tensor) -> Image.Image:
    """An image (C, H, W) of any range."""
    image = stretched(image)
    shown = image if len(image) == 3 else image.mean(0, keepdim=True).expand(3, -1, -1)
    return to_pil_image(shown.contiguous()).resize((SIDE, SIDE), Image.Resampling.NEAREST)


class ClassActivationMaps(Callback):
    """Draws the first validation images, each above the map of the class that the network predicts for it.

    `pictures/class_activation_maps.png`, after 1, 2, 4, 8, … epochs.

    Args:
        images: Number of images to draw.

    Raises:
        ValueError: images is less than 1.
    """

    def __init__(self, images: int = 8) -> None:
        if images < 1:
            raise ValueError(f"ClassActivationMaps.images must be at least 1, not {images}.")
        self.images = images

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Refuse what does not turn images into logits."""
        image_classifier(pl_module, "ClassActivationMaps")

    def on_validation_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """Draw the first batch, if it is time."""
        fitting = trainer.state.fn == TrainerFn.FITTING and not trainer.sanity_checking
        if batch_idx or dataloader_idx or not fitting or not is_time_for_a_picture(trainer.current_epoch):
            return
        counted = batch.labels >= 0
        if not trainer.is_global_zero or not counted.any():
            return
        images, labels = batch.images[counted][: self.images], batch.labels[counted][: self.images]
        with torch.inference_mode(False):
            maps, classes = class_activation_maps(pl_module, pl_module.arranged(images.clone()))  # type: ignore[operator]
        pictures = []
        for image, label, predicted, activation_map in zip(images, labels, classes, maps, strict=True):
            shown = Image.new("RGB", (SIDE, 2 * SIDE))
            shown.paste(plain(image), (0, 0))
            shown.paste(overlaid(image, activation_map), (0, SIDE))
            name = name_of_class(trainer, int(predicted))
            pictures.append((f"{name} ({'right' if label == predicted else 'wrong'})", shown))
        in_rows = [side_by_side(pictures[start : start + 8]) for start in range(0, len(pictures), 8)]
        publish(trainer, "class_activation_maps", below_one_another(in_rows))
