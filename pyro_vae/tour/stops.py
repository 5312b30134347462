"""The models of the tour, in the order of the story, and what they have in common."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from pyro_vae.errors import DataError
from pyro_vae.models import (
    PCA,
    VAE,
    VQVAE,
    Autoencoder,
    DenoisingAutoencoder,
    LinearVAE,
    MixtureModel,
    PoorMansVAE,
)
from pyro_vae.models.autoencoders import MaskingNoise
from pyro_vae.models.likelihoods import Bernoulli, Binomial, Likelihood

if TYPE_CHECKING:
    from collections.abc import Callable

    from pyro_vae.data import Dataset
    from pyro_vae.models import LatentVariableModel

__all__ = ["STOPS", "Plan", "Stop", "likelihood_for"]


@dataclass(frozen=True)
class Plan:
    """What every model of the tour has in common.

    Attributes
    ----------
    latent_dim
        Length of the code, in numbers or, for a codebook, in codes.
    hidden
        Hidden widths of the deep networks, encoder's order.
    epochs, batch_size, learning_rate
        Training; see ``inference.fit``.
    seed
        Seed of the first weights, the order of the data and the draws.
    """

    latent_dim: int
    hidden: tuple[int, ...]
    epochs: int
    batch_size: int
    learning_rate: float
    seed: int

    def networks(self, deep: bool = True) -> dict[str, Any]:
        """Arguments for the networks of a model."""
        hidden = self.hidden if deep else ()
        return {"encoder": hidden, "decoder": hidden[::-1], "seed": self.seed}


@dataclass(frozen=True)
class Stop:
    """One model of the tour.

    Attributes
    ----------
    name, title
        Folder of its run, and heading.
    why
        What it adds to the model before it.
    build
        Makes it, for a data set and a plan.
    objective
        Training objective; the model's own where None.
    follows
        Name of the stop whose fitted model it goes on from.
    """

    name: str
    title: str
    why: str
    build: Callable[[Dataset, Plan], LatentVariableModel]
    objective: str | None = None
    follows: str | None = None


def likelihood_for(data: Dataset) -> Likelihood:
    """Reconstruction by cross-entropy: Bernoulli for binary data, Binomial for counts.

    Raises
    ------
    DataError
        If the data are neither: the tour ranks models by bits, which only masses have.
    """
    if data.kind == "binary":
        return Bernoulli()
    if data.kind == "counts" and data.maximum is not None:
        return Binomial(data.maximum)
    raise DataError(
        f"{data.name} has {data.kind} values: the tour compares masses in bits per dimension, so "
        "give binary data or counts, as with --binarisation threshold"
    )


def _autoencoder(
    make: Callable[..., Autoencoder], deep: bool = True
) -> Callable[[Dataset, Plan], Autoencoder]:
    return lambda data, plan: make(
        data.event_shape,
        plan.latent_dim,
        likelihood=likelihood_for(data),
        **plan.networks(deep),
    )


def _vae(data: Dataset, plan: Plan) -> VAE:
    likelihood = likelihood_for(data)
    return VAE(data.event_shape, plan.latent_dim, likelihood=likelihood, **plan.networks())


def _codebook(data: Dataset, plan: Plan) -> VQVAE:
    return VQVAE(
        data.event_shape,
        num_codes=64,
        num_positions=plan.latent_dim,
        likelihood=likelihood_for(data),
        **plan.networks(),
    )


#: The models, in the order of the story.
STOPS = (
    Stop(
        "pca",
        "PCA",
        "The best linear code for squared error, and with its story of a normal z and normal "
        "noise a model with an exact log p(x): a density, which cannot be ranked beside the "
        "masses below.",
        lambda data, plan: PCA(data.event_shape, plan.latent_dim, seed=plan.seed),
    ),
    Stop(
        "linear-vae",
        "Linear VAE",
        "The same model by gradient steps on the ELBO: it comes to PCA's log p(x).",
        lambda data, plan: LinearVAE(data.event_shape, plan.latent_dim, seed=plan.seed),
    ),
    Stop(
        "autoencoder",
        "Shallow autoencoder",
        "A linear encoder and decoder again, but with the likelihood of the data: cross-entropy "
        "in the place of squared error.",
        _autoencoder(Autoencoder, deep=False),
    ),
    Stop(
        "deep-autoencoder",
        "Deep autoencoder",
        "Hidden layers bend the code. Data come back better, and nothing says what lies "
        "between their codes.",
        _autoencoder(Autoencoder),
    ),
    Stop(
        "denoising-autoencoder",
        "Denoising autoencoder",
        "Three in ten pixels of the input are set to zero, and the clean picture is asked for: "
        "noise on x, not yet on the code.",
        _autoencoder(partial(DenoisingAutoencoder, corruption=MaskingNoise(0.3))),
    ),
    Stop(
        "poor-mans-vae",
        "Poor man's VAE",
        "Unit noise on the code makes the decoder answer for a neighbourhood, and half the "
        "squared norm of the code keeps the neighbourhoods together. Its bounds are those of "
        "the VAE with guide N(code(x), I).",
        _autoencoder(partial(PoorMansVAE, penalty="half-squared-norm")),
    ),
    Stop(
        "vae",
        "VAE",
        "The noise is learned, datum by datum, and what it costs is KL(q(z|x) || p(z)).",
        _vae,
        objective="mean-field-elbo",
    ),
    Stop(
        "beta-vae",
        "beta-VAE, beta = 4",
        "The KL counts four times: codes are tidier, and tell less. Its numbers are at beta = 1, "
        "as everybody's.",
        _vae,
        objective="beta-elbo(beta=4)",
    ),
    Stop(
        "mixture",
        "Mixture",
        "A discrete z without a network: log p(x) is a sum, and exact. A VAE is the mixture with "
        "a component for every point z.",
        lambda data, plan: MixtureModel(40, likelihood_for(data), data.event_shape),
    ),
    Stop(
        "vq-vae",
        "VQ-VAE",
        "As many discrete codes as the others have numbers, each out of a codebook of 64, under "
        "a uniform prior.",
        _codebook,
    ),
    Stop(
        "vq-vae-prior",
        "VQ-VAE with a learned prior",
        "Codes, networks and reconstructions as before; an autoregressive prior has learned "
        "which codes go together, so that draws are worth looking at.",
        _codebook,
        follows="vq-vae",
    ),
)
