"""Variational autoencoders as Pyro programs, with the gap between ELBO and log p(x) measured."""

import warnings
from importlib.metadata import version

# Libraries draw random numbers and add warning filters while they are imported.
with warnings.catch_warnings():
    from pyro_vae.isolation import isolated

    with isolated():
        from pyro_vae import data, inference, models
        from pyro_vae.explaining import explain
        from pyro_vae.inference import evaluate, fit, gap, log_evidence, log_weights, summary
        from pyro_vae.loading import load_data, load_model
        from pyro_vae.models import VAE, MixtureModel

__version__ = version("pyro-vae")

__all__ = [
    "VAE",
    "MixtureModel",
    "__version__",
    "data",
    "evaluate",
    "explain",
    "fit",
    "gap",
    "inference",
    "load_data",
    "load_model",
    "log_evidence",
    "log_weights",
    "models",
    "summary",
]
