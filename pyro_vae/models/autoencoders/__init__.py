"""Autoencoders: the code of a datum is a point, and there is no prior to draw one from."""

from pyro_vae.models.autoencoders.autoencoder import Autoencoder
from pyro_vae.models.autoencoders.corruption import (
    Corruption,
    GaussianNoise,
    MaskingNoise,
    SaltAndPepperNoise,
)
from pyro_vae.models.autoencoders.denoising import DenoisingAutoencoder
from pyro_vae.models.autoencoders.poor_mans_vae import PoorMansVAE

__all__ = [
    "Autoencoder",
    "Corruption",
    "DenoisingAutoencoder",
    "GaussianNoise",
    "MaskingNoise",
    "PoorMansVAE",
    "SaltAndPepperNoise",
]
