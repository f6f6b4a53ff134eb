"""The landmark image networks, one paper a file."""

from lightning_modules.alexnet import AlexNet
from lightning_modules.alexnet_pair import AlexNetPair
from lightning_modules.classifier import ImageClassifier, NonFiniteLossError
from lightning_modules.gan import GAN
from lightning_modules.googlenet import GoogLeNet
from lightning_modules.nin import NIN
from lightning_modules.resnet import ResNet
from lightning_modules.vgg import VGG
from lightning_modules.zfnet import ZFNet

ARCHITECTURES: dict[str, type[ImageClassifier]] = {
    network.__name__: network for network in (AlexNet, AlexNetPair, ZFNet, NIN, VGG, GoogLeNet, ResNet)
}
"""Networks by the names of their classes, in the order of their papers; what a config of a run may name for export."""

__all__ = [
    "ARCHITECTURES",
    "GAN",
    "NIN",
    "VGG",
    "AlexNet",
    "AlexNetPair",
    "GoogLeNet",
    "ImageClassifier",
    "NonFiniteLossError",
    "ResNet",
    "ZFNet",
]
