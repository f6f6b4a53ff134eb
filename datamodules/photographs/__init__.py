"""Photographs in any folder: index, decoder, reader, views and augmentation."""

from datamodules.photographs.data_module import PhotographDataModule

__all__ = ["PhotographDataModule"]
