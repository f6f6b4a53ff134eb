"""Images and labels mixed in pairs: mixup (Zhang et al. 2018) and CutMix (Yun et al. 2019).

    mixup    image · λ + partner · (1 - λ),             λ ~ Beta(α, α)
    CutMix   a rectangle of the partner in the image,   λ the share of the image that is left

Both are one weight for each pixel, so one operation does either. The partner of an image is the row before it in the
batch of its process, as in torchvision. λ, the rectangle and, where both are on, which of the two are functions of
(seed, epoch, sample), so what is kept of an image does not depend on its batch. torchvision draws them once for a
batch; the distribution for an image is the same, but the images of a batch differ here.
"""

import math

import torch
from torch import Tensor

from datamodules.counter_random import Stream, random_booleans, random_fractions, random_integers
from datamodules.photographs.augmentation.rectangles import rectangle_mask


def mix(
    images: Tensor,
    labels: Tensor,
    indices: Tensor,
    *,
    num_classes: int,
    seed: int,
    epoch: int,
    mixup_alpha: float = 0.0,
    cutmix_alpha: float = 0.0,
) -> tuple[Tensor, Tensor]:
    """Mixes each image and its label with those of the row before it; by either way, equally likely, if both are on.

    Args:
        images: Normalized images on any device, or others of a float type. Shape (B, C, H, W).
        labels: int64. Shape (B,).
        indices: Sample indices, on the device of the images. Shape (B,).
        num_classes: Number of classes.
        seed: The run's seed.
        epoch: Training epoch.
        mixup_alpha: α of mixup; 0 switches it off. 0.2 in the paper and in torchvision's recipes.
        cutmix_alpha: α of CutMix; 0 switches it off. 1 in the paper and in torchvision's recipes.

    Returns:
        The images (B, C, H, W), and the share of each class in them, float32 (B, num_classes).

    Raises:
        ValueError: Neither way is on, or the images are not of a float type.
    """
    if min(mixup_alpha, cutmix_alpha) < 0 or max(mixup_alpha, cutmix_alpha) == 0:
        raise ValueError(
            f"mixup_alpha={mixup_alpha} and cutmix_alpha={cutmix_alpha} must not be negative, and not both be 0."
        )
    if not images.is_floating_point():
        raise ValueError(f"Images of type {images.dtype} cannot be mixed: normalize them first.")
    alphas = mixup_alpha, cutmix_alpha
    weights = _weights(alphas, indices, images.shape[-2], images.shape[-1], seed=seed, epoch=epoch)
    share = weights.mean(dim=(1, 2, 3))
    partners = torch.cat((images[-1:], images[:-1]))  # keeps channels_last, which `roll` does not
    mixed = partners.lerp_(images, weights.to(images.dtype))
    targets = torch.zeros(len(labels), num_classes, device=labels.device)
    targets.scatter_(1, labels[:, None], share[:, None])
    targets.scatter_add_(1, labels.roll(1, 0)[:, None], 1 - share[:, None])
    return mixed, targets


def random_shares(alpha: float, indices: Tensor, *, seed: int, epoch: int) -> Tensor:
    """Draws from Beta(alpha, alpha) for each sample, in closed form.

    With T of Student's distribution of 2α degrees of freedom, 1/2 + T / (2 √(2α + T²)) is of Beta(α, α), and T is
    √(2α (U^(-1/α) - 1)) cos(2π V) for uniform U and V (Bailey, "Polar generation of random variates with the
    t-distribution", 1994; Devroye, "Random variate generation in one line of code", 1996).

    Returns:
        float32. Shape (B,).
    """
    u, v = random_fractions(seed, epoch, Stream.MIXED_SHARE, indices, count=2, dtype=torch.float32).unbind(dim=1)
    cosine = torch.cos(2 * math.pi * v)
    # expm1 of a logarithm keeps what is left of U^(-1/alpha) - 1 near 0; where it is infinite, the share is 0 or 1.
    square = torch.expm1(-torch.log1p(-u) / alpha) * cosine.square()
    return 0.5 + 0.5 * cosine.sign() / (1 + 1 / square).sqrt()


def _weights(alphas: tuple[float, float], indices: Tensor, height: int, width: int, *, seed: int, epoch: int) -> Tensor:
    """Share of the image in each pixel: (B, 1, 1, 1) if by mixup alone, else (B, 1, height, width)."""
    mixup_alpha, cutmix_alpha = alphas
    if mixup_alpha:
        everywhere = random_shares(mixup_alpha, indices, seed=seed, epoch=epoch)[:, None, None, None]
        if not cutmix_alpha:
            return everywhere
    outside = _outside_a_rectangle(cutmix_alpha, indices, height, width, seed=seed, epoch=epoch)
    if not mixup_alpha:
        return outside
    return torch.where(random_booleans(seed, epoch, Stream.MIXING, indices)[:, None, None, None], everywhere, outside)


def _outside_a_rectangle(alpha: float, indices: Tensor, height: int, width: int, *, seed: int, epoch: int) -> Tensor:
    """1 where the image stays, 0 in a rectangle of area 1 - λ around a random pixel, cut at the border."""
    half = 0.5 * (1 - random_shares(alpha, indices, seed=seed, epoch=epoch)).sqrt()
    half_height, half_width = (half * height).long(), (half * width).long()
    y = random_integers(height, seed, epoch, Stream.MIXED_Y, indices)
    x = random_integers(width, seed, epoch, Stream.MIXED_X, indices)
    # What lies beyond the border is no pixel, so there is nothing to clamp.
    return (~rectangle_mask(y - half_height, x - half_width, y + half_height, x + half_width, height, width)).float()
