"""Encoders and decoders: plain ``torch.nn`` modules that map features to features."""

from pyro_vae.networks.mlp import MLP

__all__ = ["MLP"]
