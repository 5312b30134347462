"""The generative stories and their guides: Pyro programs, nothing that trains or measures."""

from typing import Any

from pyro_vae.on_demand import without_trace

with without_trace():
    from pyro_vae.errors import SettingError, UnknownNameError
    from pyro_vae.models.autoencoders import Autoencoder, DenoisingAutoencoder, PoorMansVAE
    from pyro_vae.models.code_priors import AutoregressiveCodes, CodePrior, UniformCodes
    from pyro_vae.models.condition import Condition, Covariates, Labels
    from pyro_vae.models.hierarchical import HierarchicalVAE
    from pyro_vae.models.latent_variable_model import LatentVariableModel
    from pyro_vae.models.linear import LinearVAE
    from pyro_vae.models.mixture import MixtureModel
    from pyro_vae.models.pca import PCA
    from pyro_vae.models.vae import VAE
    from pyro_vae.models.vqvae import VQVAE

__all__ = [
    "PCA",
    "VAE",
    "VQVAE",
    "Autoencoder",
    "AutoregressiveCodes",
    "CodePrior",
    "Condition",
    "Covariates",
    "DenoisingAutoencoder",
    "HierarchicalVAE",
    "Labels",
    "LatentVariableModel",
    "LinearVAE",
    "MixtureModel",
    "PoorMansVAE",
    "UniformCodes",
    "model_from_config",
]

_MODELS: dict[str, Any] = {
    "autoencoder": Autoencoder,
    "denoising-autoencoder": DenoisingAutoencoder,
    "hierarchical-vae": HierarchicalVAE,
    "linear-vae": LinearVAE,
    "mixture": MixtureModel,
    "pca": PCA,
    "poor-mans-vae": PoorMansVAE,
    "vae": VAE,
    "vq-vae": VQVAE,
}


def model_from_config(config: dict[str, Any]) -> LatentVariableModel:
    """Make the model that a saved run describes, with fresh weights.

    Raises
    ------
    UnknownNameError
        If a name in it is of nothing that is registered.
    SettingError
        If a setting is missing, unknown or of a wrong type; it is named.
    """
    name = config.get("model")
    if not isinstance(name, str):
        raise SettingError(f"model got {name!r}: it must be one of {', '.join(_MODELS)}")
    if name not in _MODELS:
        raise UnknownNameError("model", name, _MODELS)
    model: LatentVariableModel = _MODELS[name].from_config(config)
    return model
