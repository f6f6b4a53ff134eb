"""Networks read the pairs (images, labels) of any DataLoader, and say what is wrong with other batches."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Trainer
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset
from torchvision.transforms import v2

from lightning_modules import GAN, NIN, VGG, AlexNet, GoogLeNet, ResNet, ZFNet
from lightning_modules.batches import as_batch

IMAGES = torch.linspace(-1, 1, 16 * 3 * 32 * 32).reshape(3, 32, 32, 16).permute(3, 0, 1, 2)
LABELS = torch.arange(16) % 10

SMALL = {"num_classes": 10, "image_size": 32, "width": 1 / 16}
NETWORKS: dict[str, Any] = {
    "AlexNet": lambda: AlexNet(stem="small", **SMALL),
    "ZFNet": lambda: ZFNet(stem="small", **SMALL),
    "VGG": lambda: VGG(variant="A", stem="small", **SMALL),
    "NIN": lambda: NIN(**SMALL),
    "GoogLeNet": lambda: GoogLeNet(stem="small", **SMALL),
    "ResNet": lambda: ResNet(variant="cifar", depth=8, **SMALL),
}


def trainer(**options: Any) -> Trainer:
    quiet = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False)
    return Trainer(max_epochs=1, accelerator="cpu", **quiet, **options)


def loader(images: Tensor = IMAGES, labels: Tensor = LABELS, **options: Any) -> DataLoader[Any]:
    return DataLoader(TensorDataset(images, labels), batch_size=8, **options)


@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_trains_and_evaluates_on_a_plain_data_loader(name: str) -> None:
    network, images = NETWORKS[name](), IMAGES[:4]
    data = loader(images, LABELS[:4])
    before = [parameter.clone() for parameter in network.parameters()]
    run = trainer()
    run.fit(network, data, data)
    assert any(not old.equal(new) for old, new in zip(before, network.parameters(), strict=True))
    assert set(run.test(network, data, verbose=False)[0]) == {"test/loss", "test/acc1", "test/acc5"}
    for unlabeled in (data, DataLoader(images, batch_size=4)):  # type: ignore[arg-type]
        (predicted,) = run.predict(network, unlabeled)  # type: ignore[misc]
        assert predicted.keys() == {"probabilities"}
        assert predicted["probabilities"].shape == (4, 10)


def test_a_plain_data_loader_gives_the_weights_of_a_loop_by_hand() -> None:
    torch.manual_seed(0)
    network = NETWORKS["ResNet"]()
    by_hand = NETWORKS["ResNet"]()
    by_hand.load_state_dict(network.state_dict())
    trainer().fit(network, loader())
    optimizer = by_hand.configure_optimizers()
    for images, labels in loader():
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(by_hand(images), labels).backward()
        optimizer.step()
    assert all(ours.equal(theirs) for ours, theirs in zip(network.parameters(), by_hand.parameters(), strict=True))


def test_images_mixed_by_torchvision_are_trained_on_their_shares() -> None:
    mix = v2.MixUp(num_classes=10)

    batch = as_batch(mix(IMAGES, LABELS), 10)
    assert batch.targets.shape == (16, 10)  # type: ignore[attr-defined]
    assert batch.labels.shape == (16,)
    mixed = DataLoader(
        TensorDataset(IMAGES, LABELS),
        batch_size=8,
        collate_fn=lambda pairs: mix(*torch.utils.data.default_collate(pairs)),
    )
    trainer().fit(NETWORKS["ResNet"](), mixed)


@pytest.mark.parametrize("conditional", [False, True])
def test_a_gan_trains_and_is_judged_on_a_plain_data_loader(conditional: bool) -> None:
    options = {"networks": "dcgan", "network_options": {"width": 4}, "num_classes": 10}
    run, gan = trainer(), GAN(conditional=conditional, **options)
    data = loader() if conditional else DataLoader(IMAGES, batch_size=8)  # type: ignore[arg-type]
    run.fit(gan, data, data)
    assert gan.batches == 2
    assert run.test(gan, data, verbose=False)


def test_a_gan_whose_weights_begin_by_the_data_refuses_a_plain_data_loader() -> None:
    gan = GAN(networks="improved", in_channels=1, image_size=28)
    with pytest.raises(ValueError, match="begin with weights that fit the images: train them on a data set of this"):
        trainer().fit(gan, loader(IMAGES[:, :1, :28, :28]))


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        (IMAGES, "a pair of tensors, .* hands out a tensor of torch.float32 and shape"),
        ({"pixel_values": IMAGES, "labels": LABELS}, "a dict with the keys pixel_values, labels: return such a pair"),
        ([IMAGES, LABELS, LABELS], "a list of 3: a tensor"),
        ([IMAGES, ["cat"] * 16], "a list of 16: a str"),
        ([IMAGES[0], LABELS], r"shape \(3, 32, 32\)"),
        ([(IMAGES * 127 + 127).byte(), LABELS], "images of torch.uint8, the networks read floats: end the transforms"),
        ([IMAGES, LABELS[:5]], r"must be as many class indices.*shape \(5,\)"),
        ([IMAGES, LABELS.float()], "not a tensor of torch.float32"),
        ([IMAGES, torch.eye(16, 7)], r"shape \(16, 7\)"),
        ([IMAGES, LABELS + 1], "Label 10 of a batch names no class of a network with num_classes=10"),
    ],
)
def test_a_batch_of_another_form_is_refused_in_one_sentence(batch: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        as_batch(batch, 10)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("images", [IMAGES / 2 + 0.5, IMAGES * 2, IMAGES + 0.5])
def test_a_gan_refuses_pixels_of_another_range(images: Tensor) -> None:
    with pytest.raises(ValueError, match=r"those of the network in \[-1, 1\]: end the transforms with"):
        as_batch([images, LABELS], None, (-1.0, 1.0))


def test_few_bright_images_are_in_range() -> None:
    as_batch([IMAGES[:2].abs(), LABELS[:2]], None, (-1.0, 1.0))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ResNet(20, "cifr"), "variant must be one of original, v1.5, cifar, not cifr"),
        (lambda: ResNet(stem="tiny"), "stem must be one of imagenet, small, None, not tiny"),  # type: ignore[arg-type]
        (lambda: NIN("svhn"), "variant must be one of cifar10, cifar100, mnist, imagenet, not svhn"),  # type: ignore[arg-type]
        (lambda: GoogLeNet(kernels="7x7"), "kernels must be one of mix, 1x1, 3x3, 5x5, not 7x7"),  # type: ignore[arg-type]
    ],
)
def test_a_word_that_an_option_does_not_know_is_refused_in_python_too(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    ("theirs", "ours"), [("VGG", ResNet), ("AlexNet", ZFNet), ("GoogLeNet", VGG), ("NIN", AlexNet)]
)
def test_a_checkpoint_of_another_network_is_refused_by_name(theirs: str, ours: Any, tmp_path: Path) -> None:
    network, run = NETWORKS[theirs](), trainer()
    run.fit(network, loader(IMAGES[:2], LABELS[:2]))
    run.save_checkpoint(tmp_path / "net.ckpt")
    with pytest.raises(ValueError, match=f"net.ckpt holds a {re.escape(network.architecture)}, which {ours.__name__}"):
        ours.load_from_checkpoint(tmp_path / "net.ckpt", weights_only=True)
    again = type(network).load_from_checkpoint(tmp_path / "net.ckpt", weights_only=True)
    assert again.architecture == network.architecture
