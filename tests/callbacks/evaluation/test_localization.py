"""ILSVRC's errors are those of the definition, pixel by pixel, and counts add up over ranks."""

import os
import socket
from itertools import pairwise
from pathlib import Path

import pytest
import torch
import torch.distributed
from torch import Tensor

from callbacks.evaluation.localization import LocalizationErrors, localized, overlaps

NO_BOX = [float("nan")] * 4


def pixels(box: list[int]) -> set[tuple[int, int]]:
    """Every pixel of a box."""
    left, top, right, bottom = box
    return {(x, y) for x in range(left, right + 1) for y in range(top, bottom + 1)}


def literal_errors(labels: list[int], boxes: list[list[int]], label: int, truth: list[list[int]]) -> tuple[int, int]:
    """Classification and localization error of an image, as the paper writes them."""

    def d(j: int) -> int:
        return 0 if labels[j] == label else 1

    def f(j: int, m: int) -> int:
        one, other = pixels(boxes[j]), pixels(truth[m])
        return 0 if 2 * len(one & other) > len(one | other) else 1

    places = range(len(labels))
    return min(map(d, places)), min(min(max(d(j), f(j, m)) for m in range(len(truth))) for j in places)


def random_boxes(count: int, generator: torch.Generator) -> list[list[int]]:
    first = torch.randint(0, 8, (count, 2), generator=generator)
    last = first + torch.randint(0, 8, (count, 2), generator=generator)
    return torch.cat([first, last], 1).tolist()


def test_errors_are_those_of_the_definition() -> None:
    generator = torch.Generator().manual_seed(0)
    errors = LocalizationErrors()
    expected = torch.zeros(3, dtype=torch.long)
    for _ in range(40):
        labels = torch.stack([torch.randperm(8, generator=generator)[:5] for _ in range(10)])
        boxes = [random_boxes(5, generator) for _ in range(10)]
        true_labels = torch.randint(8, (10,), generator=generator)
        truth = [random_boxes(1 + image % 4, generator) for image in range(10)]
        for row in range(10):
            one = literal_errors(labels[row].tolist(), boxes[row], int(true_labels[row]), truth[row])
            expected += torch.tensor([1, *one])
        true_boxes = [torch.tensor(image, dtype=torch.float64) for image in truth]
        errors.update(labels, torch.tensor(boxes, dtype=torch.float64), true_labels, true_boxes)
    assert errors.compute().tolist() == expected.tolist()
    assert 0 < expected[1] < expected[2] < 400


@pytest.mark.parametrize(
    ("boxes", "truth", "right"),
    [
        ([[0, 0, 9, 9], NO_BOX], [[0, 0, 9, 9]], True),
        ([[0, 0, 9, 9], NO_BOX], [[0, 0, 9, 4]], False),  # exactly one half
        ([[0, 0, 9, 9], NO_BOX], [[0, 0, 9, 5]], True),
        ([[0, 0, 9, 9], NO_BOX], [[50, 50, 59, 59], [1, 0, 9, 9]], True),  # one of several instances is enough
        ([[50, 50, 59, 59], [0, 0, 9, 9]], [[0, 0, 9, 9]], False),  # the right box, with the wrong label
        ([[0, 0, 0, 0], NO_BOX], [[0, 0, 0, 0]], True),  # a box of one pixel
        ([[0, 0, 9, 9], NO_BOX], [[10, 0, 19, 9]], False),  # neighbors
        ([NO_BOX, [0, 0, 9, 9]], [[0, 0, 9, 9]], False),
    ],
)
def test_by_hand(boxes: list[list[float]], truth: list[list[float]], right: bool) -> None:
    found = torch.tensor(boxes, dtype=torch.float64)
    assert localized(torch.tensor([7, 3]), found, 7, torch.tensor(truth, dtype=torch.float64)) == right


def test_overlap_of_each_pair() -> None:
    boxes = torch.tensor([[0, 0, 9, 9], [0, 0, 4, 9], NO_BOX], dtype=torch.float64)
    found = overlaps(boxes, boxes[:2])
    assert found.shape == (3, 2)
    assert found[:2].tolist() == [[1, 0.5], [0.5, 1]]
    assert found[2].isnan().all()


def test_more_labels_than_five_are_refused() -> None:
    with pytest.raises(ValueError, match="measured with 5 labels an image, not 6"):
        LocalizationErrors().update(torch.zeros(1, 6), torch.zeros(1, 6, 4), torch.zeros(1), [torch.zeros(1, 4)])


def images(rows: range) -> tuple[Tensor, Tensor, Tensor, list[Tensor]]:
    """Of each three images: one all right, one with a wrong box, one with a wrong label."""
    labels = torch.tensor([[1 if row % 3 == 2 else 0] for row in rows])
    boxes = torch.tensor([[[0, 0, 9, 1 if row % 3 == 1 else 9]] for row in rows], dtype=torch.float64)
    truth = torch.tensor([[0, 0, 9, 9]], dtype=torch.float64)
    return labels, boxes, torch.zeros(len(rows), dtype=torch.long), [truth for _ in rows]


def test_counts_of_all_ranks_add_up(tmp_path: Path) -> None:
    """Two processes, with different numbers of images, have the counts of one."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{probe.getsockname()[1]}"
    children = []
    for rank, (first, last) in enumerate(pairwise((0, 7, 11))):
        child = os.fork()
        if child == 0:
            code = 1
            try:
                torch.distributed.init_process_group("gloo", init_method=address, rank=rank, world_size=2)
                errors = LocalizationErrors()
                errors.update(*images(range(first, last)))
                (tmp_path / str(rank)).write_text(str(errors.compute().tolist()))
                torch.distributed.destroy_process_group()
                code = 0
            finally:
                os._exit(code)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0, 0]
    one = LocalizationErrors()
    one.update(*images(range(11)))
    assert one.compute().tolist() == [11, 3, 7]
    assert [(tmp_path / str(rank)).read_text() for rank in range(2)] == ["[11, 3, 7]"] * 2
