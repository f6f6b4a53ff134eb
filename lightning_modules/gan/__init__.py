"""Generative adversarial networks."""

from lightning_modules.gan.module import GAN

__all__ = ["GAN"]
