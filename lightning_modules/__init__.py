"""The landmark image networks, one paper a file."""

from lightning_modules.alexnet import AlexNet
from lightning_modules.classifier import ImageClassifier, NonFiniteLossError
from lightning_modules.resnet import ResNet

__all__ = ["AlexNet", "ImageClassifier", "NonFiniteLossError", "ResNet"]
