"""The landmark image networks, one paper a file."""

from lightning_modules.alexnet import AlexNet
from lightning_modules.alexnet_pair import AlexNetPair
from lightning_modules.classifier import ImageClassifier, NonFiniteLossError
from lightning_modules.googlenet import GoogLeNet
from lightning_modules.nin import NIN
from lightning_modules.resnet import ResNet
from lightning_modules.vgg import VGG
from lightning_modules.zfnet import ZFNet

__all__ = [
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
