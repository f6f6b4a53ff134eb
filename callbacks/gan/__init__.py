"""Samples of a GAN: their pictures, their measures, and whether it has collapsed."""
