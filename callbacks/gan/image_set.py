"""Real images or samples, and what measures need to know of them, computed once."""

from functools import cached_property

import torch
from torch import Tensor

from callbacks.gan.feature_space import FeatureSpace
from callbacks.gan.frechet import NormalFit, normal_fit
from callbacks.gan.neighbors import squared_radii

NEIGHBORS = {"precision": 3, "density": 5}
"""Neighbors that a ball reaches to: Kynkäänniemi et al. 2019, §4; Naeem et al. 2020, §4.3."""


class ImageSet:
    """Images with their features, probabilities and neighbors, each computed when it is first asked for.

    Args:
        images: uint8, on the host. Shape (N, C, H, W).
        space: Network that sees them; None where only pixels are asked for.
        device: Where it does.
        batch_size: Images that it sees at a time.
    """

    def __init__(self, images: Tensor, space: FeatureSpace | None, device: torch.device, batch_size: int = 250) -> None:
        self.images = images
        self.space = space
        self.device = device
        self.batch_size = batch_size
        self._first: dict[int, ImageSet] = {}

    def __len__(self) -> int:
        return len(self.images)

    def first(self, count: int) -> "ImageSet":
        """The first images as a set of their own."""
        if count >= len(self):
            return self
        if count not in self._first:
            part = ImageSet(self.images[:count], self.space, self.device, self.batch_size)
            if "answers" in vars(self):
                part.answers = (self.features[:count], self.probabilities[:count])
            self._first[count] = part
        return self._first[count]

    @property
    def features(self) -> Tensor:
        """float32, on the host. Shape (N, F)."""
        return self.answers[0]

    @property
    def probabilities(self) -> Tensor:
        """float32, on the host. Shape (N, K)."""
        return self.answers[1]

    @cached_property
    def answers(self) -> tuple[Tensor, Tensor]:
        """Features and probabilities."""
        assert self.space is not None
        self.space.check(self.images.shape[1], self.images.shape[-1])
        self.space.to(self.device)
        parts = [self.space(batch.to(self.device)) for batch in self.images.split(self.batch_size)]
        features, probabilities = zip(*parts, strict=True)
        return torch.cat([part.cpu() for part in features]), torch.cat([part.cpu() for part in probabilities])

    @cached_property
    def normal_fit(self) -> NormalFit:
        """Mean and covariance of the features."""
        return normal_fit(self.features)

    @cached_property
    def radii(self) -> Tensor:
        """Squared distances to the nearest neighbors. Shape (N, 5)."""
        return squared_radii(self.features, max(NEIGHBORS.values()))
