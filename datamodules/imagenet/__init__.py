"""ImageNet: preparing, reading and decoding its photographs."""

from datamodules.imagenet.data_module import ImageNet

__all__ = ["ImageNet"]
