"""Parameters of the GAN networks equal those of the papers and their code to the digit."""

from typing import Any

import pytest

from lightning_modules.gan.networks import build_networks

TABLE = [
    # networks, image size, channels, options, generator, discriminator
    ("mlp", 28, 1, {}, 2_503_984, 1_231_441),
    # Mirza and Osindero 2014, §4.1, added up by hand.
    ("mlp", 28, 1, {"num_classes": 10}, 20_200 + 11_000 + 1_441_200 + 941_584, 942_000 + 2_750 + 279_360 + 241),
    ("dcgan", 64, 3, {}, 18_855_040, 17_232_768),
    ("dcgan", 64, 3, {"variant": "small"}, 3_576_704, 2_765_568),
    # One doubling less: without the 1024 to 512 convolution, and from 100 latents to 512 channels.
    ("dcgan", 32, 3, {}, 819_200 + 3_276_800 + 819_200 + 1_792 + 9_600, 9_600 + 4_096_000 + 1_536 + 8_192),
    # mnist/train_cond_dcgan.py has 7x7 maps of 2 x 64 channels too.
    ("dcgan", 28, 1, {"width": 64}, 627_200 + 204_800 + 384 + 1_600, 1_600 + 204_800 + 256 + 6_272),
    ("improved", 32, 3, {"generator_norm": "batch"}, 819_200 + 8_192 + 3_276_800 + 256 + 819_200 + 128 + 9_606, None),
    ("improved", 32, 3, {"generator_norm": "virtual"}, 819_200 + 1_024 + 3_276_800 + 512 + 819_200 + 256 + 9_606, None),
    # Nine convolutions and 192 → 10; then minibatch discrimination, 192 x 100 x 5, and 292 → 10.
    ("improved", 32, 3, {"num_classes": 10, "minibatch_discrimination": False}, None, 1_404_864 + 1_940),
    ("improved", 32, 3, {"num_classes": 10}, None, 1_404_864 + 96_600 + 2_940),
    ("improved", 28, 1, {"variant": "mnist", "num_classes": 10}, 694_568, 1_536_250 + 2_520),
    ("resnet", 32, 3, {}, 4_276_739, 1_053_824),
    ("resnet", 32, 3, {"discriminator_norm": "none"}, 4_276_739, 1_053_824),
    # Gains and biases of ten classes for the six normalizations of blocks; ten vectors of 128.
    ("resnet", 32, 3, {"num_classes": 10}, 4_276_739 + 6 * 2 * 9 * 256, 1_053_824 + 1_280),
    ("resnet", 32, 3, {"variant": "wgan_gp"}, 1_204_483, 1_053_825),
]


@pytest.mark.parametrize(("name", "image_size", "in_channels", "options", "generator", "discriminator"), TABLE)
def test_parameters(
    name: Any, image_size: int, in_channels: int, options: dict[str, Any], generator: int, discriminator: int
) -> None:
    networks = build_networks(name, image_size=image_size, in_channels=in_channels, **options)
    for network, expected in zip(networks, (generator, discriminator), strict=True):
        if expected is not None:
            assert sum(parameter.numel() for parameter in network.parameters()) == expected
