"""Photographs in any folder: index, decoder, reader, views and augmentation."""
