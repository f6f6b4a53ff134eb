"""TrivialAugment, wide space (Müller and Hutter, "TrivialAugment: Tuning-free Yet State-of-the-Art …", 2021).

One of 14 operations on each image, with one of 31 strengths, all equally likely: torchvision's space and its operations
(`torchvision.transforms.v2.TrivialAugmentWide`), but drawn by (seed, epoch, sample) instead of a generator that all
threads would share.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as F

from datamodules.counter_random import CounterRandom, Stream

Operate = Callable[[Tensor, float, InterpolationMode], Tensor]


class Operation(NamedTuple):
    """One of the operations.

    Attributes:
        apply: From an image, a strength and the interpolation of geometric operations to an image.
        strengths: Its strengths, the same number for all operations; zeros where it has none.
        signed: Whether half of the images get the negative strength.
    """

    apply: Operate
    strengths: tuple[float, ...]
    signed: bool = False


def trivial_augment(
    images: Tensor, random: CounterRandom, interpolation: InterpolationMode = InterpolationMode.BILINEAR
) -> Tensor:
    """Applies a random operation to each image, as a pure function of (seed, epoch, index). Safe to call from threads.

    Args:
        images: uint8, on the CPU. Shape (B, 3, H, W).
        random: Random numbers of the images.
        interpolation: Of shears, shifts and rotations; bilinear in torchvision's recipes. What comes in from outside is
            black.

    Returns:
        uint8. Shape (B, 3, H, W).
    """
    drawn = random_operations(random)
    return torch.stack(
        [
            OPERATIONS[name].apply(image, strength, interpolation)
            for image, (name, strength) in zip(images, drawn, strict=True)
        ]
    )


def random_operations(random: CounterRandom) -> list[tuple[str, float]]:
    """Draws an operation, by its name, and its strength for each sample."""
    names = list(OPERATIONS)
    operations = random.integers(len(names), Stream.OPERATION).tolist()
    levels = random.integers(LEVELS, Stream.MAGNITUDE).tolist()
    negatives = random.booleans(Stream.SIGN).tolist()
    drawn = []
    for number, level, negative in zip(operations, levels, negatives, strict=True):
        operation = OPERATIONS[names[number]]
        strength = operation.strengths[level]
        drawn.append((names[number], -strength if operation.signed and negative else strength))
    return drawn


def _sheared(x: int, y: int) -> Operate:
    def shear(image: Tensor, strength: float, interpolation: InterpolationMode) -> Tensor:
        angle = math.degrees(math.atan(strength))
        sheared: Tensor = F.affine(image, 0.0, [0, 0], 1.0, [x * angle, y * angle], interpolation, center=[0, 0])
        return sheared

    return shear


def _translated(x: int, y: int) -> Operate:
    def translate(image: Tensor, strength: float, interpolation: InterpolationMode) -> Tensor:
        pixels = int(strength)
        moved: Tensor = F.affine(image, 0.0, [x * pixels, y * pixels], 1.0, [0.0, 0.0], interpolation)
        return moved

    return translate


LEVELS = 31


def _steps(start: float, end: float) -> tuple[float, ...]:
    return tuple(torch.linspace(start, end, LEVELS).tolist())


NONE = (0.0,) * LEVELS
POSTERIZED_BITS = tuple(float(round(8 - level / ((LEVELS - 1) / 6))) for level in range(LEVELS))

OPERATIONS: dict[str, Operation] = {
    "Identity": Operation(lambda image, _, __: image, NONE),
    "ShearX": Operation(_sheared(1, 0), _steps(0.0, 0.99), signed=True),
    "ShearY": Operation(_sheared(0, 1), _steps(0.0, 0.99), signed=True),
    "TranslateX": Operation(_translated(1, 0), _steps(0.0, 32.0), signed=True),
    "TranslateY": Operation(_translated(0, 1), _steps(0.0, 32.0), signed=True),
    "Rotate": Operation(F.rotate, _steps(0.0, 135.0), signed=True),
    "Brightness": Operation(
        lambda image, more, _: F.adjust_brightness(image, 1 + more), _steps(0.0, 0.99), signed=True
    ),
    "Color": Operation(lambda image, more, _: F.adjust_saturation(image, 1 + more), _steps(0.0, 0.99), signed=True),
    "Contrast": Operation(lambda image, more, _: F.adjust_contrast(image, 1 + more), _steps(0.0, 0.99), signed=True),
    "Sharpness": Operation(lambda image, more, _: F.adjust_sharpness(image, 1 + more), _steps(0.0, 0.99), signed=True),
    "Posterize": Operation(lambda image, bits, _: F.posterize(image, int(bits)), POSTERIZED_BITS),
    "Solarize": Operation(lambda image, bound, _: F.solarize(image, 255 * bound), _steps(1.0, 0.0)),
    "AutoContrast": Operation(lambda image, _, __: F.autocontrast(image), NONE),
    "Equalize": Operation(lambda image, _, __: F.equalize(image), NONE),
}
