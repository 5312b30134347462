"""Encoders and decoders: plain ``torch.nn`` modules that map features to features."""

from pyro_vae.on_demand import without_trace

with without_trace():
    from pyro_vae.networks.architecture import (
        Architecture,
        Dense,
        Unamortised,
    )
    from pyro_vae.networks.convolutional import ConvDecoder, ConvEncoder, Convolutional
    from pyro_vae.networks.convolutional_grid import (
        ConvolutionalGrid,
        GridDecoder,
        GridEncoder,
    )
    from pyro_vae.networks.mlp import MLP
    from pyro_vae.networks.probe import check_network
    from pyro_vae.networks.sigmoid_mean import SigmoidMean, SigmoidMeanDecoder
    from pyro_vae.networks.table import FreeParameters

__all__ = [
    "MLP",
    "Architecture",
    "ConvDecoder",
    "ConvEncoder",
    "Convolutional",
    "ConvolutionalGrid",
    "Dense",
    "FreeParameters",
    "GridDecoder",
    "GridEncoder",
    "SigmoidMean",
    "SigmoidMeanDecoder",
    "Unamortised",
    "check_network",
]
