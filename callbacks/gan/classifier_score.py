"""Inception score (Salimans et al. 2016, Improved Techniques for Training GANs, §4), of any classifier.

    exp(E KL(p(y|x) ‖ p(y)))

It is 1 where the classifier says the same of all images, and at most the number of classes, where it is sure of each
image and all classes are equally frequent. p(y) is the mean over the same chunk of images.
"""

from itertools import pairwise

import torch
from torch import Tensor


def inception_score(probabilities: Tensor, splits: int = 10) -> tuple[float, float]:
    """Mean and standard deviation of the score over contiguous chunks, as in the authors' code (openai/improved-gan).

    Args:
        probabilities: Class probabilities of the images. Shape (N, K).
        splits: Number of chunks.

    Returns:
        Mean and standard deviation (without Bessel's correction, as theirs).

    Raises:
        ValueError: There are fewer images than chunks.
    """
    count = len(probabilities)
    if not 1 <= splits <= count:
        raise ValueError(f"{count} images cannot be divided into {splits} chunks: take more images or fewer splits.")
    edges = [count * chunk // splits for chunk in range(splits + 1)]
    scores = torch.stack([_score(probabilities[a:b].double()) for a, b in pairwise(edges)])
    return float(scores.mean()), float(scores.std(correction=0))


def _score(probabilities: Tensor) -> Tensor:
    marginal = probabilities.mean(0)
    # xlogy: a probability of 0 adds nothing.
    divergence = torch.xlogy(probabilities, probabilities) - torch.xlogy(probabilities, marginal)
    return divergence.sum(1).mean().exp()
