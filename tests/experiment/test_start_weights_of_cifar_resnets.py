"""Weights in the layout of other people's ResNets for CIFAR are mapped exactly, or refused."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from experiment.start_weights import load_start_weights
from lightning_modules import ResNet


def loaded(network: ResNet) -> ResNet:
    """The network with the weights that its options name, as a run has it."""
    load_start_weights(network)
    return network


class OtherBlock(nn.Module):
    """As akamaster/pytorch_resnet_cifar10 writes it down: half of the zeros before the channels; or a projection."""

    def __init__(self, inputs: int, channels: int, stride: int, projection: bool) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, channels, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.shortcut = nn.Sequential()
        if projection and stride != 1:
            self.shortcut = nn.Sequential(nn.Conv2d(inputs, channels, 1, stride, bias=False), nn.BatchNorm2d(channels))
        self.padding = 0 if projection or stride == 1 else channels // 4

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x)))))
        if self.padding:
            x = nn.functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.padding, self.padding))
        return torch.relu(y + self.shortcut(x))


class OtherCIFARResNet(nn.Module):
    def __init__(self, n: int, num_classes: int = 10, projection: bool = False) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16)
        inputs = 16
        for stage, channels in enumerate((16, 32, 64), 1):
            blocks = []
            for index in range(n):
                blocks.append(OtherBlock(inputs, channels, 2 if stage > 1 and not index else 1, projection))
                inputs = channels
            setattr(self, f"layer{stage}", nn.Sequential(*blocks))
        self.linear = nn.Linear(64, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.bn1(self.conv1(x)))
        for stage in (self.layer1, self.layer2, self.layer3):
            x = stage(x)
        return self.linear(x.mean((2, 3)))


def other_cifar_resnet(n: int, **arguments: Any) -> OtherCIFARResNet:
    torch.manual_seed(3)
    network = OtherCIFARResNet(n, **arguments).eval()
    for name, value in [*network.named_buffers(), *network.named_parameters()]:
        if "bn" in name and value.is_floating_point():
            value.data.uniform_(0.5, 1.5)
    return network


@pytest.mark.parametrize("n", [1, 3])
@pytest.mark.parametrize("projection", [False, True])
@pytest.mark.parametrize("classes", [10, 100])
def test_other_cifar_resnets_are_mapped_exactly(n: int, projection: bool, classes: int, tmp_path: Path) -> None:
    other = other_cifar_resnet(n, num_classes=classes, projection=projection)
    state = {f"module.{name}": tensor for name, tensor in other.state_dict().items()}
    torch.save({"state_dict": state, "best_prec1": 92.6}, tmp_path / "model.th")
    shortcut: Any = "B" if projection else "A"
    arguments: dict[str, Any] = {"shortcut": shortcut, "weights": str(tmp_path / "model.th")}
    network = loaded(ResNet(6 * n + 2, "cifar", num_classes=classes, **arguments)).eval()
    images = torch.randn(4, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(network.double()(images.double()), other.double()(images.double()))


@pytest.mark.parametrize(
    ("network", "renamed"),
    [
        (lambda **rest: ResNet(8, "cifar", **rest), {"linear": "fc"}),  # of whatever library has torchvision's names
        (lambda **rest: ResNet(8, "cifar", shortcut="none", **rest), {}),
        (lambda **rest: ResNet(8, "cifar", shortcut="none", **rest), {"linear": "fc"}),
    ],
)
def test_shortcuts_that_a_file_does_not_tell_are_refused(
    network: Callable[..., ResNet], renamed: dict[str, str], tmp_path: Path
) -> None:
    state = {
        ".".join(renamed.get(part, part) for part in name.split(".")): tensor
        for name, tensor in other_cifar_resnet(1).state_dict().items()
    }
    torch.save(state, tmp_path / "w.pth")
    with pytest.raises(ValueError, match=r"w.pth does not say which shortcuts it has.*: for (ResNet|plain)-8, give a"):
        loaded(network(weights=str(tmp_path / "w.pth")))


def test_other_depths_and_widths_of_other_cifar_resnets_are_refused(tmp_path: Path) -> None:
    torch.save(other_cifar_resnet(3).state_dict(), tmp_path / "w.pth")
    with pytest.raises(ValueError, match="does not fit ResNet-8: unexpected"):
        loaded(ResNet(8, "cifar", weights=str(tmp_path / "w.pth")))
