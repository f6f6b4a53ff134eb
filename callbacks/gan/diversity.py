"""How much images differ from each other, in their pixels: what a collapsed generator has lost.

Salimans et al. 2016 (§3.2) describe the collapse: all latents give one image. A mean over pairs sees that, and sees it
without a network; it does not see a few good modes that are left. For those there are recall and coverage.
"""

from torch import Tensor

from callbacks.gan.pairwise import squared_distances


def diversity(images: Tensor) -> float:
    """Mean over pairs of two images of the root of the mean squared difference of their pixels.

    Args:
        images: Shape (N, …).

    Raises:
        ValueError: There are fewer than two images.
    """
    count = len(images)
    if count < 2:
        raise ValueError(f"Diversity takes at least two images, not {count}: take more images.")
    pixels = images.flatten(1).double()
    total = sum(float(distances.sqrt().sum()) for _, distances in squared_distances(pixels, pixels))
    # The distance of an image from itself is 0, but for rounding: its share is a millionth at most.
    return total / (count * (count - 1)) / pixels.shape[1] ** 0.5
