"""The generative stories and their guides: Pyro programs, nothing that trains or measures."""

from typing import Any

from pyro_vae.errors import UnknownNameError
from pyro_vae.models.code_priors import AutoregressiveCodes, CodePrior, UniformCodes
from pyro_vae.models.condition import Condition, Covariates, Labels
from pyro_vae.models.hierarchical import HierarchicalVAE
from pyro_vae.models.latent_variable_model import LatentVariableModel
from pyro_vae.models.linear import LinearVAE
from pyro_vae.models.mixture import MixtureModel
from pyro_vae.models.vae import VAE
from pyro_vae.models.vqvae import VQVAE

__all__ = [
    "VAE",
    "VQVAE",
    "AutoregressiveCodes",
    "CodePrior",
    "Condition",
    "Covariates",
    "HierarchicalVAE",
    "Labels",
    "LatentVariableModel",
    "LinearVAE",
    "MixtureModel",
    "UniformCodes",
    "model_from_config",
]

_MODELS: dict[str, Any] = {
    "hierarchical-vae": HierarchicalVAE,
    "linear-vae": LinearVAE,
    "mixture": MixtureModel,
    "vae": VAE,
    "vq-vae": VQVAE,
}


def model_from_config(config: dict[str, Any]) -> LatentVariableModel:
    """Make the model that a saved run describes, with fresh weights."""
    if config["model"] not in _MODELS:
        raise UnknownNameError("model", config["model"], _MODELS)
    model: LatentVariableModel = _MODELS[config["model"]].from_config(config)
    return model
