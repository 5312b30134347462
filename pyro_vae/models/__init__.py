"""The generative stories and their guides: Pyro programs, nothing that trains or measures."""

from pyro_vae.models.mixture import MixtureModel
from pyro_vae.models.vae import VAE

__all__ = ["VAE", "MixtureModel", "model_from_config"]

from typing import Any

from pyro_vae.errors import UnknownNameError

_MODELS: dict[str, type[VAE | MixtureModel]] = {"mixture": MixtureModel, "vae": VAE}


def model_from_config(config: dict[str, Any]) -> VAE | MixtureModel:
    """Make the model that a saved run describes, with fresh weights."""
    if config["model"] not in _MODELS:
        raise UnknownNameError("model", config["model"], _MODELS)
    return _MODELS[config["model"]].from_config(config)
