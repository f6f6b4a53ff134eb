"""The picture of object localization is of boxes that are where the digits are."""

import numpy as np
import pytest
import torch

from docs.draw_localization import SIDE, TRAIN, DigitsOnCanvases, central_error


@pytest.mark.slow(2)
def test_a_box_is_around_the_brightest_part_of_its_canvas() -> None:
    data = DigitsOnCanvases(batch_size=32)
    train, test, _ = data.read()
    assert (train.size, test.size) == (TRAIN, 397)
    for image, (left, top, right, bottom) in zip(test.images[:50, 0], data.corners[TRAIN:], strict=False):
        outside = image.clone()
        outside[top : bottom + 1, left : right + 1] = 0
        assert outside.max() <= 128 < image.max()  # pieces of other digits are half as bright
    boxes = data.bounding_boxes(None)  # type: ignore[arg-type]
    (shown,) = data.photographs(torch.tensor([7]))
    assert boxes["7"].scaled_to(SIDE, SIDE).tolist() == np.array(data.corners[TRAIN + 7 : TRAIN + 8]).tolist()
    assert (shown.name, shown.view) == ("7.png", (0, 0, SIDE, SIDE))
    assert 0.85 < central_error(data) < 0.95
