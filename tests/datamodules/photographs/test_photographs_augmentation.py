"""Augmentation of batches: the formulas of the papers, torchvision's operations, functions of the sample alone."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from scipy.stats import beta, ks_2samp
from torch import Tensor
from torchvision.transforms import InterpolationMode, RandomErasing, v2

from datamodules.augmentation import normalize
from datamodules.counter_random import CounterRandom
from datamodules.photographs.augmentation import EIGENVALUES, EIGENVECTORS, add_color_noise, erase, mix, random_shares
from datamodules.photographs.trivial_augment import OPERATIONS, random_operations, trivial_augment

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
CLASSES = 7


def photographs(count: int, side: int = 24) -> Tensor:
    return torch.randint(0, 256, (count, 3, side, side), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def numbers(indices: Tensor, seed: int = 3, epoch: int = 2) -> CounterRandom:
    return CounterRandom(seed, epoch, indices)


def tiny(count: int) -> tuple[Tensor, CounterRandom]:
    """Images of one pixel, and their random numbers."""
    return torch.full((count, 3, 1, 1), 100.0), numbers(torch.arange(count))


# Color noise


def test_components_are_a_basis() -> None:
    vectors = np.array(EIGENVECTORS)
    assert vectors @ vectors.T == pytest.approx(np.eye(3), abs=1e-3)
    assert vectors.T @ np.diag(EIGENVALUES) @ vectors == pytest.approx(  # covariance of red, green, blue
        np.array([[0.0805, 0.0702, 0.0632], [0.0702, 0.0764, 0.0722], [0.0632, 0.0722, 0.0839]]), abs=1e-3
    )


@pytest.mark.parametrize(
    ("reading", "levels", "divisor"),
    [("eigenvalue", (5.5, 0.48, 0.115), 1), ("standard_deviation", (11.9, 3.5, 1.71), 1.1)],
)
def test_noise_has_the_size_of_its_reading(reading, levels: tuple[float, ...], divisor: float) -> None:
    images, random = tiny(100_000)
    mean = (100 / 255,) * 3  # so that shrinking leaves the image where it is
    noise = add_color_noise(images, random, reading=reading, mean=mean)[:, :, 0, 0].double() - 100
    along = noise @ torch.tensor(EIGENVECTORS, dtype=torch.float64).T * divisor
    assert along.std(0).tolist() == pytest.approx(list(levels), rel=0.01)
    assert (along.mean(0).abs() < 5 * along.std(0) / 100_000**0.5).all()
    assert np.corrcoef(along.T.numpy()) == pytest.approx(np.eye(3), abs=0.02)


def test_the_authors_noise_shrinks_the_normalized_image() -> None:
    images, random = photographs(4), numbers(torch.arange(4))
    noisy = normalize(add_color_noise(images, random, reading="standard_deviation", mean=MEAN), MEAN, STD)
    differences = noisy * 1.1 - normalize(images, MEAN, STD)
    assert torch.allclose(differences, differences[:, :, :1, :1].expand_as(differences), atol=1e-4)


def test_noise_is_one_color_for_an_image_and_is_not_clipped() -> None:
    images, random = photographs(64), numbers(torch.arange(64))
    noise = add_color_noise(images, random, reading="eigenvalue", mean=MEAN) - images
    assert torch.allclose(noise, noise[:, :, :1, :1].expand_as(noise), atol=1e-4)
    assert (noise + images).min() < 0
    assert torch.equal(add_color_noise(images, random, reading="eigenvalue", mean=MEAN, strength=0), images.float())


def test_unknown_reading_is_refused() -> None:
    with pytest.raises(ValueError, match="choose eigenvalue or standard_deviation"):
        add_color_noise(*tiny(1), reading="variance", mean=MEAN)  # type: ignore[arg-type]


# Random erasing


def erased_rectangles(count: int, probability: float = 1.0, side: int = 64) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    erased = erase(torch.ones(count, 1, side, side), numbers(torch.arange(count)), probability=probability)[:, 0] == 0
    rows, columns = erased.any(2), erased.any(1)
    height, width = rows.sum(1), columns.sum(1)
    assert torch.equal(erased.sum((1, 2)), height * width), "an erased part is no rectangle"
    return rows.int().argmax(1), columns.int().argmax(1), height, width


@pytest.mark.slow(1)
def test_erased_rectangles_are_distributed_as_those_of_torchvision() -> None:
    top, left, height, width = (value.numpy() for value in erased_rectangles(4000))
    assert (height > 0).all()
    torch.manual_seed(0)
    drawn = [RandomErasing.get_params(torch.empty(1, 64, 64), (0.02, 0.33), (0.3, 3.3), [0.0])[:4] for _ in range(3000)]
    theirs = np.array(drawn).T
    for ours, other in zip((top, left, height, width, height * width), (*theirs, theirs[2] * theirs[3]), strict=True):
        assert ks_2samp(ours, other).pvalue > 1e-3


def test_share_of_erased_images_is_the_probability() -> None:
    *_, height, _ = erased_rectangles(4000, probability=0.25, side=16)
    assert abs((height > 0).double().mean() - 0.25) < 4 * (0.25 * 0.75 / 4000) ** 0.5
    assert not erased_rectangles(100, probability=0.0)[2].any()


def test_the_rest_of_the_image_stays() -> None:
    images = normalize(photographs(50), MEAN, STD)
    after = erase(images, numbers(torch.arange(50)), probability=1.0)
    assert torch.equal(after[after != 0], images[after != 0])


def test_impossible_erasing_is_refused() -> None:
    with pytest.raises(ValueError, match="from 0 to 1"):
        erase(*tiny(1), probability=1.5)
    with pytest.raises(ValueError, match="shares of the image"):
        erase(*tiny(1), area=(0.5, 0.1))


# Mixup and CutMix


def mixed(count: int = 64, side: int = 24, **alphas: float) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    images, labels = normalize(photographs(count, side), MEAN, STD), torch.arange(count) % CLASSES
    return images, labels, *mix(images, labels, numbers(torch.arange(count)), num_classes=CLASSES, **alphas)


def test_mixup_is_that_of_torchvision_with_the_same_share() -> None:
    images, labels, after, targets = mixed(mixup_alpha=0.4)
    shares = random_shares(0.4, numbers(torch.arange(64)))
    reference = v2.MixUp(num_classes=CLASSES)
    for row, share in enumerate(shares.tolist()):
        params = {"lam": share, "labels": labels, "batch_size": 64}
        assert torch.allclose(after[row], reference.transform(images, params)[row], atol=1e-5)
        assert torch.allclose(targets[row], reference.transform(labels, params)[row], atol=1e-6)


def test_cutmix_is_that_of_torchvision_with_the_same_rectangle() -> None:
    images, labels, after, targets = mixed(cutmix_alpha=1.0)
    reference, pasted = v2.CutMix(num_classes=CLASSES), (after != images).any(1)
    for row in range(64):
        rows, columns = pasted[row].any(1).nonzero().flatten(), pasted[row].any(0).nonzero().flatten()
        box = (int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1) if len(rows) else (0, 0, 0, 0)
        x1, y1, x2, y2 = box
        params = {"box": box, "lam_adjusted": 1 - (x2 - x1) * (y2 - y1) / 24**2, "labels": labels, "batch_size": 64}
        assert torch.equal(after[row], reference.transform(images, params)[row])
        assert torch.allclose(targets[row], reference.transform(labels, params)[row], atol=1e-6)


@pytest.mark.parametrize("alpha", [0.1, 0.2, 0.5, 1.0, 2.0, 8.0])
def test_shares_are_beta_distributed(alpha: float) -> None:
    shares = random_shares(alpha, numbers(torch.arange(20_000))).double().numpy()
    expected = beta(alpha, alpha).rvs(20_000, random_state=0)
    assert ks_2samp(shares.round(6), expected.round(6)).pvalue > 1e-3  # single precision rounds the ends to 0 and 1
    assert ((shares >= 0) & (shares <= 1)).all()


@pytest.mark.slow(1)
def test_what_cutmix_keeps_is_distributed_as_in_torchvision() -> None:
    count = 3000
    images, labels = torch.zeros(count, 1, 32, 32), torch.arange(count) % 2
    _, targets = mix(images, labels, numbers(torch.arange(count)), num_classes=2, cutmix_alpha=1.0)
    ours = targets.gather(1, labels[:, None])[:, 0].numpy()
    torch.manual_seed(0)
    reference = v2.CutMix(num_classes=2)
    theirs = [reference.make_params([images])["lam_adjusted"] for _ in range(count)]
    assert ks_2samp(ours, theirs).pvalue > 1e-3


def test_with_both_each_is_chosen_half_of_the_time() -> None:
    images, _, after, targets = mixed(2000, side=8, mixup_alpha=0.2, cutmix_alpha=1.0)
    assert torch.allclose(targets.sum(1), torch.ones(2000))
    partners = images.roll(1, 0)
    whole_pixels = (((after == images) | (after == partners)).flatten(1).all(1)).double().mean()
    assert abs(whole_pixels - 0.5) < 0.1  # a share of mixup within rounding of 0 or 1 looks like CutMix


def test_mixing_keeps_the_memory_order_of_the_images() -> None:
    images = torch.rand(4, 3, 8, 8).to(memory_format=torch.channels_last)
    after, _ = mix(images, torch.zeros(4, dtype=torch.int64), numbers(torch.arange(4)), num_classes=2, mixup_alpha=1.0)
    assert after.is_contiguous(memory_format=torch.channels_last)


def test_impossible_mixing_is_refused() -> None:
    with pytest.raises(ValueError, match="must not be negative, and not both be 0"):
        mixed()
    with pytest.raises(ValueError, match="normalize them first"):
        mix(photographs(2), torch.tensor([0, 1]), numbers(torch.arange(2)), num_classes=2, mixup_alpha=1.0)


# TrivialAugment


def test_operations_and_strengths_are_those_of_torchvision() -> None:
    space = v2.TrivialAugmentWide._AUGMENTATION_SPACE
    assert list(OPERATIONS) == list(space)
    for name, (strengths, signed) in space.items():
        theirs = strengths(31, 24, 24)
        assert OPERATIONS[name].signed == signed
        assert OPERATIONS[name].strengths == pytest.approx((0.0,) * 31 if theirs is None else theirs.tolist())


@pytest.mark.parametrize("name", list(OPERATIONS))
@pytest.mark.parametrize("interpolation", [InterpolationMode.NEAREST, InterpolationMode.BILINEAR])
def test_an_operation_does_what_that_of_torchvision_does(name: str, interpolation: InterpolationMode) -> None:
    operation, reference = OPERATIONS[name], v2.TrivialAugmentWide(interpolation=interpolation)
    (image,) = photographs(1)
    for strength in {*operation.strengths[::5], *(-one for one in operation.strengths[::5] if operation.signed)}:
        theirs = reference._apply_image_or_video_transform(image, name, strength, interpolation, reference._fill)
        assert torch.equal(operation.apply(image, strength, interpolation), theirs)


def test_operations_strengths_and_signs_are_equally_likely() -> None:
    drawn = random_operations(numbers(torch.arange(14 * 1000)))
    counts = np.array([sum(name == other for other, _ in drawn) for name in OPERATIONS])
    assert (((counts - 1000) ** 2) / 1000).sum() < 13 + 5 * (2 * 13) ** 0.5
    rotations = np.array([strength for name, strength in drawn if name == "Rotate"])
    assert len(np.unique(rotations)) == 31 + 30
    assert abs((rotations < 0).mean() - 0.5) < 0.08


def test_threads_do_not_disturb_each_other_nor_the_generator() -> None:
    images, indices = photographs(64), torch.arange(64)
    state = torch.get_rng_state()
    whole = trivial_augment(images, numbers(indices))
    assert torch.equal(torch.get_rng_state(), state)
    with ThreadPoolExecutor(4) as threads:
        parts = list(threads.map(lambda rows: trivial_augment(images[rows], numbers(rows)), indices.split(3)))
    assert torch.equal(torch.cat(parts), whole)


# All


@pytest.mark.parametrize(
    "augmented",
    [
        lambda images, random: add_color_noise(images, random, reading="eigenvalue", mean=MEAN),
        lambda images, random: add_color_noise(images, random, reading="standard_deviation", mean=MEAN),
        lambda images, random: erase(images.float(), random, probability=1.0),
        trivial_augment,
    ],
)
def test_an_image_depends_on_seed_epoch_and_sample_alone(augmented: Callable[..., Tensor]) -> None:
    images, indices = photographs(16), torch.arange(16) * 1_000_003
    whole = augmented(images, numbers(indices))
    some = torch.tensor([11, 2, 5])
    assert torch.equal(augmented(images[some], numbers(indices[some])), whole[some])
    assert not torch.equal(augmented(images, numbers(indices, 3, 1)), whole)
    assert not torch.equal(augmented(images, numbers(indices, 4, 2)), whole)


def test_what_is_kept_of_an_image_depends_on_seed_epoch_and_sample_alone() -> None:
    labels = torch.arange(8)
    images, indices = torch.randn(8, 3, 16, 16), torch.arange(8) * 1_000_003
    arguments = {"num_classes": 8, "mixup_alpha": 0.2, "cutmix_alpha": 1.0}
    _, whole = mix(images, labels, numbers(indices), **arguments)
    order = torch.tensor([5, 1, 7])
    _, some = mix(images[order], labels[order], numbers(indices[order]), **arguments)
    assert torch.equal(some[range(3), labels[order]], whole[order, labels[order]])
    assert not torch.equal(mix(images, labels, numbers(indices, 3, 1), **arguments)[1], whole)
