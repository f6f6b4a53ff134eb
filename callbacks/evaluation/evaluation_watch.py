"""What an evaluation step computes anyway, kept for a callback: the last maps and the class probabilities."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from lightning_modules.classifier import ImageClassifier, one_view


class EvaluationWatch:
    """Stands in a network's `last_maps` and `test_views`, and keeps what they give in each evaluation step.

    Attributes:
        maps: The last maps of a batch. Shape (B, K, h, w).
        probabilities: Class probabilities. Shape (B, num_classes).

    Args:
        network: One that has `map_weights`.

    Raises:
        ValueError: Another callback shows it several views.
    """

    def __init__(self, network: ImageClassifier) -> None:
        self.network = network
        self.maps = self.probabilities = torch.empty(0)
        self._views = self._one_view
        self._last_maps = network.last_maps
        if network.test_views is one_view:
            network.test_views = self._views
        self.check_views()
        network.last_maps = self._maps_kept  # type: ignore[method-assign]

    def check_views(self) -> None:
        """Refuse views of another callback.

        Raises:
            ValueError: There are any.
        """
        if self.network.test_views is not self._views:
            raise ValueError(
                "ObjectLocalization looks at one view of each photograph, another callback at several: leave "
                "TestTimeAugmentation out."
            )

    def let_go(self) -> None:
        """Leave the network as it was."""
        if self.network.test_views is self._views:
            self.network.test_views = one_view
        vars(self.network).pop("last_maps", None)

    def _one_view(self, network: Callable[[Tensor], Tensor], images: Any) -> Tensor:
        self.probabilities = one_view(network, images)
        return self.probabilities

    def _maps_kept(self, images: Tensor) -> Tensor:
        self.maps = self._last_maps(images)
        return self.maps
