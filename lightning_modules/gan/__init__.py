"""Generative adversarial networks."""

from lightning_modules.gan.module import GAN as GAN
