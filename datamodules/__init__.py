"""Data sets as LightningDataModules."""

from datamodules.batch import ImageBatch
from datamodules.cifar import CIFAR10, CIFAR100
from datamodules.digits import Digits
from datamodules.imagenet import ImageNet
from datamodules.mnist import MNIST, FashionMNIST

__all__ = ["CIFAR10", "CIFAR100", "MNIST", "Digits", "FashionMNIST", "ImageBatch", "ImageNet"]
