"""The recipes agree with the released code where they say so, and name what differs; the numbers are from that code."""

from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
import torch.nn.functional as F
import yaml
from torch import Tensor, nn

from lightning_modules.gan.networks import INITIALIZATION_IMAGES, build_networks, initialize_from_data
from lightning_modules.gan.objectives import OBJECTIVES

FOLDER = Path(__file__).parents[3] / "configs" / "gan"
RECIPES = sorted(path.stem for path in FOLDER.glob("*.yaml"))


def recipe(name: str) -> tuple[str, dict[str, Any], dict[str, Any]]:
    """Text, options of the model, options of the data."""
    text = (FOLDER / f"{name}.yaml").read_text()
    content = yaml.safe_load(text)
    return text, content["model"]["init_args"], content["data"]["init_args"]


def optimizer(options: dict[str, Any], player: str) -> dict[str, Any]:
    return options[f"{player}_optimizer"]["init_args"]


@pytest.mark.parametrize("name", RECIPES)
def test_no_recipe_changes_its_images(name: str) -> None:
    """None of the codes mirrors or shifts what a generator is to learn."""
    text, _, data = recipe(name)
    assert (data["horizontal_flip"], data["normalization"]) == (False, "symmetric")
    if "training_crop" in data:  # photographs, of which the shorter side becomes that of the network
        assert data["training_sides"] == [data["image_size"]] * 2
    else:
        assert data["crop_padding"] == 0
    if "cifar10.yaml" in text and data.get("val_size") != 0 and "50,000" in text:
        assert "45,000" in text


def test_the_first_discriminator_learns_from_half_the_loss() -> None:
    """goodfeli/adversarial, AdversaryCost2: d_obj = 0.5 · (cost of real + cost of fake), by a rate of 0.1."""
    _, options, _ = recipe("mlp")
    assert optimizer(options, "generator") == {"lr": 0.1, "momentum": 0.5}
    torch.manual_seed(0)
    network, images = nn.Linear(6, 1), torch.randn(2, 8, 6)

    def moved(loss_of: Any, **sgd: Any) -> Tensor:
        copied = nn.Linear(6, 1)
        copied.load_state_dict(network.state_dict())
        updater = torch.optim.SGD(copied.parameters(), **sgd)
        for _ in range(3):
            updater.zero_grad()
            loss_of(*(copied(part).squeeze(1) for part in images)).backward()
            updater.step()
        return copied.weight.detach()

    def of_the_code(real: Tensor, fake: Tensor) -> Tensor:
        ones = torch.ones_like(real)
        on_real = F.binary_cross_entropy(real.sigmoid(), ones)
        return 0.5 * (on_real + F.binary_cross_entropy(fake.sigmoid(), 0 * ones))

    ours = moved(
        lambda real, fake: OBJECTIVES["non_saturating"].discriminator(real, fake, 1.0),
        **optimizer(options, "discriminator"),
    )
    torch.testing.assert_close(ours, moved(of_the_code, lr=0.1, momentum=0.5))


class Batch(NamedTuple):
    images: Tensor
    labels: Tensor


class Data:
    """More training images than the networks' other initialization sees, the last batch with fillers."""

    def __init__(self) -> None:
        source = torch.Generator().manual_seed(0)
        self.images = torch.rand(INITIALIZATION_IMAGES + 300, 1, 4, 4, generator=source) ** 3

    def plain_training_loader(self, batch_size: int = 250) -> list[Batch]:
        parts = self.images.split(batch_size)
        batches = [Batch(part, torch.zeros(len(part), dtype=torch.int64)) for part in parts]
        filler = Batch(
            torch.cat([parts[-1], torch.full((7, 1, 4, 4), 9.0)]), F.pad(batches[-1].labels, (0, 7), value=-1)
        )
        return [*batches[:-1], filler]

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:
        return batch._replace(images=2 * batch.images - 1)


def test_the_first_generator_begins_with_the_mean_of_all_training_images() -> None:
    """mnist.yaml, init_sigmoid_bias_from_marginals: of the whole data set."""
    generator, discriminator = build_networks("mlp", image_size=4, in_channels=1, width=8, units=4)
    data = Data()
    initialize_from_data(generator, discriminator, data, lambda count: torch.rand(count, 100))
    mean = data.images.double().mean(0).flatten()
    torch.testing.assert_close(generator.output.bias.double().sigmoid(), mean, rtol=1e-5, atol=1e-6)


PUBLISHED: dict[str, dict[str, Any]] = {
    "dcgan": {"lr": 2e-4, "betas": [0.5, 0.999], "batch": 64},  # soumith/dcgan.torch, main.lua
    "dcgan_conditional": {
        "lr": 2e-4,
        "betas": [0.5, 0.999],
        "weight_decay": 2.5e-5,
        "batch": 128,
    },  # train_cond_dcgan.py
    "improved": {"lr": 3e-4, "betas": [0.5, 0.999], "batch": 100},  # train_cifar_minibatch_discrimination.py
    "semi_supervised_cifar10": {"lr": 3e-4, "betas": [0.5, 0.999], "batch": 100},  # train_cifar_feature_matching.py
    "semi_supervised_mnist": {"lr": 3e-3, "betas": [0.5, 0.999], "batch": 100},  # train_mnist_feature_matching.py
    "sngan": {
        "lr": 2e-4,
        "betas": [0.0, 0.9],
        "batch": 64,
        "steps": 5,
        "updates": 50_000,
    },  # sn_cifar10_unconditional.yml
    "wgan": {"lr": 5e-5, "batch": 64, "steps": 5},  # main.py
    "wgan_gp": {"lr": 2e-4, "betas": [0.0, 0.9], "batch": 64, "steps": 5, "updates": 100_000},  # gan_cifar_resnet.py
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_numbers_are_those_of_the_code(name: str) -> None:
    _, options, data = recipe(name)
    expected = dict(PUBLISHED[name])
    assert data["batch_size"] == expected.pop("batch")
    assert options.get("discriminator_steps", 1) == expected.pop("steps", 1)
    if updates := expected.pop("updates", None):
        ends = [options[f"{player}_lr_scheduler"]["init_args"] for player in ("generator", "discriminator")]
        assert [end["total_iters"] for end in ends] == [updates, 5 * updates]
        assert all((end["start_factor"], end["end_factor"]) == (1.0, 0.0) for end in ends)
    for player in ("generator", "discriminator"):
        found = {key: value for key, value in optimizer(options, player).items() if key != "eps"}
        assert found == expected
