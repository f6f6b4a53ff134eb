"""Maps by gradients are those by the last layer's weights where there is an average, and exist for every network."""

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from callbacks.inside.class_activation_maps import ClassActivationMaps, class_activation_maps, overlaid
from lightning_modules import NIN, AlexNet, ResNet
from tests.callbacks.tiny_runs import NoClassifier, fit, tiny_net


def by_weights(maps: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Class activation maps (Zhou et al. 2016), of maps (B, K, h, w) and the weights (B, K) of the class."""
    cam = torch.einsum("bkhw,bk->bhw", maps, weights).relu() / maps.shape[-2:].numel()
    return F.interpolate(cam.unsqueeze(1), (32, 32), mode="bilinear").squeeze(1)


def test_with_global_averaging_they_are_the_maps_of_zhou_et_al() -> None:
    torch.manual_seed(0)
    images = torch.randn(3, 3, 32, 32)
    resnet = ResNet(8, variant="cifar").eval()
    maps, classes = class_activation_maps(resnet, images)
    with torch.no_grad():
        assert torch.equal(classes, resnet(images).argmax(1))
        features = resnet.stages(resnet.stem(images))
    torch.testing.assert_close(maps, by_weights(features, resnet.head.weight.detach()[classes]))

    nin = NIN("cifar10", initialization="kaiming").eval()
    maps, classes = class_activation_maps(nin, images)
    with torch.no_grad():
        scores = nin.classes(nin.features(images))  # a map for each class: the weights are those of the identity
    torch.testing.assert_close(maps, by_weights(scores, torch.eye(10)[classes]))


def test_a_network_with_fully_connected_layers_has_maps_and_stays_as_it_is() -> None:
    network = AlexNet(stem="small", fc_width=8, num_classes=10, initialization="kaiming").eval()
    maps, _ = class_activation_maps(network, torch.randn(2, 3, 32, 32))
    assert maps.shape == (2, 32, 32)
    assert maps.min() >= 0
    assert all(parameter.grad is None for parameter in network.parameters())
    assert not any(module._forward_hooks for module in network.modules())


def test_the_map_is_brightest_at_its_maximum() -> None:
    activation_map = torch.zeros(8, 8)
    activation_map[2, 5] = 3
    picture = overlaid(torch.zeros(1, 8, 8), activation_map).convert("L")
    pixel = picture.width // 8
    light = {(x, y): picture.getpixel((x * pixel, y * pixel)) for x in range(8) for y in range(8)}
    assert [place for place, value in light.items() if value == max(light.values())] == [(5, 2)]


@pytest.mark.parametrize("options", [{}, {"inference_mode": False}], ids=str)
@pytest.mark.slow(1)
def test_a_run_is_drawn_and_not_changed(options: dict[str, Any], tmp_path: Path) -> None:
    network, plain = tiny_net(), tiny_net()
    fit(network, ClassActivationMaps(images=10), folder=tmp_path, **options)
    fit(plain, folder=tmp_path)
    assert all(map(torch.equal, network.state_dict().values(), plain.state_dict().values()))
    assert Image.open(tmp_path / "pictures" / "class_activation_maps.png").width > 600


def test_others_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="ClassActivationMaps looks into an ImageClassifier"):
        fit(NoClassifier(), ClassActivationMaps(), folder=tmp_path)
    with pytest.raises(ValueError, match="images must be at least 1"):
        ClassActivationMaps(images=0)
    with pytest.raises(ValueError, match="no maps of more than one pixel"):
        class_activation_maps(torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 2)), torch.randn(1, 3, 2, 2))
