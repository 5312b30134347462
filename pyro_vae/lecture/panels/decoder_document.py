"""A trained decoder as a document that a browser can evaluate: an MLP and the mean of p(x | z)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from pyro_vae.errors import ProgramError
from pyro_vae.lecture.packed import packed
from pyro_vae.models import VAE
from pyro_vae.models.likelihoods import (
    Bernoulli,
    Binomial,
    ContinuousBernoulli,
    Laplace,
    Normal,
    Poisson,
)
from pyro_vae.networks import MLP
from pyro_vae.networks.layers import ACTIVATIONS, Residual

if TYPE_CHECKING:
    from pyro_vae.models import Autoencoder, LatentVariableModel
    from pyro_vae.models.likelihoods import Likelihood

__all__ = ["check_model", "describe_decoder", "describe_layers", "describe_network"]

_MEANS = (Bernoulli, Binomial, ContinuousBernoulli, Laplace, Normal, Poisson)
_NAMES = {module: name for name, module in ACTIVATIONS.items()}
_WITHOUT = "`pyro-vae explore` without a run writes the page without this part."


def check_model(model: LatentVariableModel) -> VAE:
    """The model, if the page can show its decoder.

    Parameters
    ----------
    model
        A fitted model.

    Raises
    ------
    ProgramError
        If it has no decoder from one z to one image, or one that the page cannot evaluate.
    """
    if not isinstance(model, VAE):
        raise ProgramError(
            f"model got {type(model).__name__}: the page evaluates one decoder from a vector z to "
            f"p(x | z), which VAE and LinearVAE have. {_WITHOUT}"
        )
    if model.inputs:
        raise ProgramError(
            f"model got a VAE that takes {', '.join(model.inputs)} beside x: the page varies z "
            f"alone, so it shows models without a condition or an exposure. {_WITHOUT}"
        )
    if not isinstance(model.decoder, MLP):
        raise ProgramError(
            f"decoder got {type(model.decoder).__name__}: the page evaluates an MLP only; fit "
            f"with --network dense to see its decoder. {_WITHOUT}"
        )
    if not isinstance(model.likelihood, _MEANS):
        names = ", ".join(sorted(family.name for family in _MEANS))
        raise ProgramError(
            f"likelihood got {model.likelihood.name}: the page knows the mean of {names}. "
            f"{_WITHOUT}"
        )
    if not model.amortised:
        raise ProgramError(
            "encoder got free parameters for each training datum: they give no q(z | x) for the "
            f"test data that the page shows; fit with an encoder. {_WITHOUT}"
        )
    if model.latent_dim < 2:
        raise ProgramError(
            f"latent_dim got {model.latent_dim}: the page drags a point in a plane, so z must "
            f"have at least 2 dimensions. {_WITHOUT}"
        )
    if len(model.event_shape) != 2:
        raise ProgramError(
            f"event_shape got {model.event_shape}: the page draws data of the shape "
            f"(height, width). {_WITHOUT}"
        )
    return model


def describe_decoder(model: LatentVariableModel) -> dict[str, Any]:
    """Layers of the decoder and the family of p(x | z), ready for JSON.

    Parameters
    ----------
    model
        A fitted model.

    Returns
    -------
    dict
        ``"layers"``, in order: ``kind`` ``"linear"`` with ``rows``, ``columns``, ``weight``
        ``(rows, columns)`` and ``bias`` in base64 float32, an activation's name, or
        ``"residual"`` with an ``activation``, a ``layer`` and a ``skip``. ``"likelihood"``: its
        ``name``, and what beside eta(z) its mean and parameters are made of.

    Raises
    ------
    ProgramError
        If the page cannot show this decoder.
    """
    return describe_network(check_model(model))


def describe_network(model: VAE | Autoencoder) -> dict[str, Any]:
    """As ``describe_decoder``, of any model whose decoder is an MLP and whose z is one vector.

    Parameters
    ----------
    model
        A fitted model, which a panel made itself and need not check.
    """
    return {
        "layers": describe_layers(model.decoder),
        "likelihood": _likelihood(model.likelihood),
    }


def describe_layers(network: nn.Module) -> list[dict[str, Any]]:
    """Layers of an MLP in their order, as ``describe_decoder`` gives those of a decoder."""
    return [_layer(module) for module in network.children()]


def _layer(module: nn.Module) -> dict[str, Any]:
    if isinstance(module, nn.Linear):
        rows, columns = module.weight.shape
        bias = module.weight.new_zeros(rows) if module.bias is None else module.bias
        return {
            "kind": "linear",
            "rows": rows,
            "columns": columns,
            "weight": packed(module.weight),
            "bias": packed(bias),
        }
    if isinstance(module, Residual):
        return {
            "kind": "residual",
            "activation": _layer(module.activation),
            "layer": _layer(module.layer),
            "skip": None if isinstance(module.skip, nn.Identity) else _layer(module.skip),
        }
    return {"kind": _NAMES[type(module)]}


def _likelihood(likelihood: Likelihood) -> dict[str, Any]:
    about: dict[str, Any] = {"name": likelihood.name}
    if isinstance(likelihood, Binomial):
        about["total"] = likelihood.top
    elif isinstance(likelihood, Poisson):
        about["minimum"] = likelihood.min_mean
    elif isinstance(likelihood, Normal | Laplace):
        about["minimum"] = likelihood.min_scale
        about["scale"] = None  # the decoder's second block
        if not likelihood.sigma.blocks:
            scale = likelihood.sigma(torch.zeros(likelihood.event_shape))
            size = math.prod(likelihood.event_shape)
            about["scale"] = packed(scale.expand(likelihood.event_shape).reshape(size))
    return about
