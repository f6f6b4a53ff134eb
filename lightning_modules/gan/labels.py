"""Which training images keep their label in semi-supervised training (Salimans et al. 2016, §5)."""

import torch
from torch import Tensor


def first_of_each_class(labels: Tensor, count: int, seed: int) -> Tensor:
    """Which images keep their label: `count` of each class, chosen by the seed.

    Args:
        labels: Of all training images. Shape (N,).
        count: Images of each class.
        seed: Of the choice.

    Returns:
        bool. Shape (N,).

    Raises:
        ValueError: A class has fewer.
    """
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))
    kept = torch.zeros(len(labels), dtype=torch.bool)
    for label in range(int(labels.max()) + 1):
        chosen = order[labels[order] == label][:count]
        if len(chosen) < count:
            raise ValueError(f"Class {label} has {len(chosen)} images: lower model.labels_per_class to that.")
        kept[chosen] = True
    return kept
