"""Features of the Inception of 2015 that published scores use, as torch-fidelity ports it.

It is the graph `inception-2015-12-05` (openai/improved-gan): images from 0 to 255, enlarged to 299x299 as TensorFlow 1
did, 2,048 features before the last layer, and for the Inception score the logits without their bias, as the authors'
code has them. torchvision's Inception has other weights and gives other figures.

The network is torchmetrics' own, without its option to smooth while resizing. The measures are those of this package
and not torchmetrics', which reads each image once for every measure, shuffles before the Inception score takes its
chunks, and draws from the global generator that training uses. They are tested to agree.
"""

import contextlib
import io
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

LAYERS = ["2048", "logits_unbiased"]


class InceptionFeatures:
    """Inception as a space of features.

    Args:
        weights: File of the weights; null downloads them.

    Raises:
        ValueError: torch-fidelity or the weights are not there.
    """

    name = "inception"
    score_name = "inception_score"

    def __init__(self, weights: str | None = None) -> None:
        if find_spec("torch_fidelity") is None:  # an extra
            raise ValueError(
                "The Inception network of published scores is in torch-fidelity, the extra `inception` of "
                "pyproject.toml: pip install torch-fidelity, or give SampleMeasures.features a run of a classifier."
            )
        if weights is not None and not Path(weights).is_file():
            raise ValueError(f"There are no weights {weights}: give the file, or leave inception_weights out.")
        from torchmetrics.image.fid import NoTrainInceptionV3  # noqa: PLC0415  slow to import

        try:
            with torch.random.fork_rng(devices=[]), contextlib.redirect_stdout(io.StringIO()):
                self.network = NoTrainInceptionV3("inception-v3-compat", LAYERS, weights, antialias=False)
        except Exception as error:  # the errors of a download are of many kinds
            raise ValueError(
                f"Inception's weights could not be read ({error}): download weights-inception-2015-12-05-6726825d.pth "
                "from github.com/toshas/torch-fidelity/releases elsewhere, and name it with "
                "SampleMeasures.inception_weights; or give SampleMeasures.features a run of a classifier."
            ) from None
        self.network.requires_grad_(False)

    def check(self, in_channels: int, image_size: int) -> None:
        """Refuse what is neither gray nor color; any size is enlarged.

        Raises:
            ValueError: The images have other channels.
        """
        if in_channels not in (1, 3):
            raise ValueError(f"Inception takes images of 1 or 3 channels, not {in_channels}: leave SampleMeasures out.")

    def to(self, device: torch.device) -> None:
        """Move the network."""
        self.network.to(device)

    @torch.no_grad()
    def __call__(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Features (B, 2048) and class probabilities (B, 1008) of uint8 images (B, 1 or 3, H, W)."""
        features, logits = self.network._torch_fidelity_forward(images.expand(-1, 3, -1, -1))
        return features.float(), logits.float().softmax(1)

    def description(self) -> dict[str, Any]:
        """Which network, and how it sees images."""
        return {
            "name": self.name,
            "network": "inception-2015-12-05, torch-fidelity's port",
            "features": LAYERS[0],
            "logits": LAYERS[1],
            "resizing": "bilinear to 299x299, as in TensorFlow 1",
        }
