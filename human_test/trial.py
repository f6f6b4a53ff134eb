"""A test of whether people tell real images from generated ones, as data."""

import hashlib
import io
import random
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from human_test.protocol import id_of_test


@dataclass(frozen=True)
class HumanTest:
    """Real and generated images, shuffled.

    Attributes:
        pictures: PNG files, all encoded alike.
        truth: For each picture, 1 if it is real and 0 if it is generated.
        height: Of a picture, in pixels.
        width: Likewise.
        data: Short name of the data set, such as mnist.
        model: What made the other half.
        feedback: Whether people are told after each vote.
    """

    pictures: tuple[bytes, ...]
    truth: str
    height: int
    width: int
    data: str
    model: str
    feedback: bool = False

    @property
    def digest(self) -> str:
        """SHA-256 in hex of all pictures."""
        return hashlib.sha256(b"".join(self.pictures)).hexdigest()

    @property
    def id(self) -> str:
        """See `id_of_test`."""
        return id_of_test(self.digest, self.truth, self.feedback)


def human_test(
    real: NDArray[np.uint8],
    generated: NDArray[np.uint8],
    *,
    seed: int,
    data: str,
    model: str,
    feedback: bool = False,
) -> HumanTest:
    """Shuffle real and generated images into a test.

    Args:
        real: Shape (N, H, W, C), C being 1 or 3.
        generated: As many, of the same shape.
        seed: Of the order.
        data: Short name of the data set.
        model: What made the generated images.
        feedback: Whether people are told after each vote.

    Raises:
        ValueError: The shapes differ.
    """
    if real.shape != generated.shape:
        raise ValueError(
            f"The generator makes images of {_size(generated)}, its data has {_size(real)}: give a checkpoint that was "
            "trained with the run's config."
        )
    images = [(image, "1") for image in real] + [(image, "0") for image in generated]
    random.Random(f"order {seed}").shuffle(images)
    return HumanTest(
        pictures=tuple(png(image) for image, _ in images),
        truth="".join(kind for _, kind in images),
        height=real.shape[1],
        width=real.shape[2],
        data=data,
        model=model,
        feedback=feedback,
    )


def png(image: NDArray[np.uint8]) -> bytes:
    """A PNG file without metadata and without compression: the length says nothing about an image (H, W, C)."""
    file = io.BytesIO()
    Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image).save(file, "PNG", compress_level=0)
    return file.getvalue()


def _size(images: NDArray[np.uint8]) -> str:
    _, height, width, channels = images.shape
    return f"{channels}x{height}x{width}"
