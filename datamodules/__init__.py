"""Data sets as LightningDataModules."""

from datamodules.cifar import CIFAR10 as CIFAR10
from datamodules.cifar import CIFAR100 as CIFAR100
from datamodules.digits import Digits as Digits
from datamodules.image_data_module import ImageDataModule
from datamodules.image_folder import ImageFolder as ImageFolder
from datamodules.imagenet import ImageNet as ImageNet
from datamodules.loader import ImageBatch as ImageBatch
from datamodules.mnist import MNIST as MNIST
from datamodules.mnist import FashionMNIST as FashionMNIST


def data_sets() -> dict[str, type[ImageDataModule]]:
    """The classes above by their names: those that the file of a run may name."""
    classes = [value for value in globals().values() if isinstance(value, type) and issubclass(value, ImageDataModule)]
    return {cls.__name__: cls for cls in classes if cls is not ImageDataModule}
