"""Whole-batch augmentation equals the same done image by image."""

import pytest
import torch
from torch import Tensor

from datamodules.augmentation import augment, flip_horizontally, normalize, pad_and_crop
from datamodules.counter_random import CounterRandom, Stream


def batch(count: int = 7, channels: int = 3, height: int = 6, width: int = 5) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(256, (count, channels, height, width), dtype=torch.uint8, generator=generator)


def literal_crop(image: Tensor, padding: int, top: int, left: int) -> Tensor:
    channels, height, width = image.shape
    padded = torch.zeros(channels, height + 2 * padding, width + 2 * padding, dtype=torch.uint8)
    padded[:, padding : padding + height, padding : padding + width] = image
    return padded[:, top : top + height, left : left + width]


@pytest.mark.parametrize("padding", [1, 2, 4])
def test_crop(padding: int) -> None:
    images = batch(count=81)
    positions = torch.cartesian_prod(torch.arange(2 * padding + 1), torch.arange(2 * padding + 1))[:81]
    images = images[: len(positions)]
    cropped = pad_and_crop(images, padding, positions[:, 0], positions[:, 1])
    for image, result, (top, left) in zip(images, cropped, positions.tolist(), strict=True):
        assert torch.equal(result, literal_crop(image, padding, top, left))


def test_flip() -> None:
    images, flipped = batch(), torch.tensor([True, False, True, True, False, False, True])
    result = flip_horizontally(images, flipped)
    for image, out, flip in zip(images, result, flipped, strict=True):
        assert torch.equal(out, image.flip(-1) if flip else image)


def test_augmentation_is_a_function_of_seed_epoch_and_sample() -> None:
    images, indices = batch(count=64), torch.arange(100, 164)
    random = CounterRandom(1, 2, indices)
    whole = augment(images, random, crop_padding=2, horizontal_flip=True)
    flips = random.booleans(Stream.FLIP)
    tops = random.integers(5, Stream.CROP_Y)
    lefts = random.integers(5, Stream.CROP_X)
    for row in range(64):
        image = images[row].flip(-1) if flips[row] else images[row]
        assert torch.equal(whole[row], literal_crop(image, 2, int(tops[row]), int(lefts[row])))
    part = torch.tensor([40, 3, 17])
    alone = augment(images[part], CounterRandom(1, 2, indices[part]), crop_padding=2, horizontal_flip=True)
    assert torch.equal(alone, whole[part])
    for seed, epoch in ((2, 2), (1, 3)):
        other = augment(images, CounterRandom(seed, epoch, indices), crop_padding=2, horizontal_flip=True)
        assert not torch.equal(other, whole)


def test_without_augmentation_images_stay() -> None:
    images = batch()
    random = CounterRandom(0, 0, torch.arange(7))
    assert torch.equal(augment(images, random, crop_padding=0, horizontal_flip=False), images)


def test_normalization() -> None:
    images = batch()
    mean, std = (0.5, 0.4, 0.3), (0.2, 0.25, 0.3)
    expected = (images.double() / 255 - torch.tensor(mean).view(-1, 1, 1)) / torch.tensor(std).view(-1, 1, 1)
    result = normalize(images, mean, std)
    assert result.dtype == torch.float32
    torch.testing.assert_close(result.double(), expected, rtol=1e-6, atol=1e-5)
