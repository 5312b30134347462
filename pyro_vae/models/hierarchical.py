"""VAE with several stochastic layers, each a plain normal given the one above.

Sønderby et al. (2016), arXiv 1602.02282; with two layers of 100 and 50 it is the second
architecture of Burda, Grosse & Salakhutdinov (2016), arXiv 1509.00519. The model runs from the
top, z_T ~ p(z_T), z_t | z_{t+1} ~ Normal, x | z_1 ~ p(x | z_1); the guide from the data,
q(z_1 | x) q(z_2 | z_1) ... q(z_T | z_{T-1}).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, ClassVar, final

import pyro
import torch
from torch import nn

from pyro_vae.conversion import takes_data
from pyro_vae.formulas import described
from pyro_vae.isolation import isolated
from pyro_vae.models.guides import Guide, MeanFieldNormal
from pyro_vae.models.latent_variable_model import (
    LatentVariableModel,
    check_event_shape,
    data_plate,
    layers_text,
    objective_text,
)
from pyro_vae.models.likelihoods import Bernoulli, Likelihood
from pyro_vae.models.parameters import declare_parameters
from pyro_vae.models.priors import Prior, StandardNormal
from pyro_vae.networks import MLP
from pyro_vae.settings import require_part, require_positive_integer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pyro.distributions import TorchDistribution
    from pyro.infer import ELBO
    from torch import Tensor

__all__ = ["HierarchicalVAE"]


@final
class HierarchicalVAE(LatentVariableModel):
    """VAE with latent sites ``"z1"`` (next to the data) to ``"zT"`` in one plate ``"data"``.

    Parameters
    ----------
    event_shape
        Shape of one datum.
    latent_dims
        Lengths of z_1, ..., z_T, from the data upwards; at least two layers.
    prior
        p(z_T); the standard normal unless given.
    likelihood
        p(x | z_1); Bernoulli unless given.
    guide
        Family of every q(z_t | z_{t-1}); the mean-field normal unless given.
    hidden
        Hidden widths of the networks between the layers, from the data upwards: those of the
        encoders; the decoders mirror them.
    activation
        Activation of the networks.
    seed
        Seed of the networks' first weights.

    Raises
    ------
    ValueError
        If there are fewer than two layers, or not one tuple of widths for each.
    """

    _roles: ClassVar[dict[str, Any]] = {
        "prior": Prior,
        "likelihood": Likelihood,
        "guide": Guide,
    }

    def __init__(
        self,
        event_shape: Sequence[int],
        latent_dims: Sequence[int] = (100, 50),
        *,
        prior: Prior | None = None,
        likelihood: Likelihood | None = None,
        guide: Guide | None = None,
        hidden: Sequence[Sequence[int]] = ((200, 200), (100, 100)),
        activation: str = "tanh",
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.event_shape = check_event_shape(event_shape)
        self.latent_dims = tuple(latent_dims)
        for size in self.latent_dims:
            require_positive_integer("latent_dims", size, "the length of one layer")
        if len(self.latent_dims) < 2 or len(hidden) != len(self.latent_dims):
            raise ValueError(
                f"latent_dims got {self.latent_dims} and hidden {len(hidden)} tuples of widths: "
                "give two layers or more, with one tuple each; one layer is a VAE"
            )
        self.prior = StandardNormal() if prior is None else prior
        self.likelihood = Bernoulli() if likelihood is None else likelihood
        family = MeanFieldNormal() if guide is None else guide
        require_part("prior", self.prior, Prior, "StandardNormal()")
        require_part("likelihood", self.likelihood, Likelihood, "Normal()")
        require_part("guide", family, Guide, "MeanFieldNormal()")
        if self.prior.uses_guide:
            raise ValueError(
                f"prior got {self.prior.name}, which is made of the guide q(z | x): here the top "
                "layer has none given x alone; take another prior, or a VAE"
            )
        config = family.to_config()
        families = [Guide.from_config(config) for _ in self.latent_dims]
        conditionals = [MeanFieldNormal() for _ in self.latent_dims[:-1]]
        self.prior.build(self.latent_dims[-1])
        self.likelihood.build(self.event_shape)
        for part, size in zip([*families, *conditionals], 2 * self.latent_dims, strict=False):
            part.build((size,))
        self.guide_families: Any = nn.ModuleList(families)
        self.layer_priors: Any = nn.ModuleList(conditionals)

        # Sizes of x, z_1, ..., z_T; an encoder maps each to eta of the next, a decoder back.
        sizes = (math.prod(self.event_shape), *self.latent_dims)
        eta_x = self.likelihood.num_params(self.event_shape)
        with isolated(seed):
            self.encoders: Any = nn.ModuleList(
                MLP(below, widths, family.num_params((size,)), activation=activation)
                for below, size, widths, family in zip(
                    sizes[:-1], self.latent_dims, hidden, families, strict=True
                )
            )
            etas = [eta_x, *(2 * size for size in self.latent_dims[:-1])]
            self.decoders: Any = nn.ModuleList(
                MLP(size, widths[::-1], eta, activation=activation)
                for size, widths, eta in zip(self.latent_dims, hidden, etas, strict=True)
            )
        self.initialised = False
        self.config = {
            "model": "hierarchical-vae",
            "event_shape": list(self.event_shape),
            "latent_dims": list(self.latent_dims),
            "prior": self.prior.to_config(),
            "likelihood": self.likelihood.to_config(),
            "guide": config,
            "hidden": [list(widths) for widths in hidden],
            "activation": activation,
            "seed": seed,
        }

    @property
    def latent_dim(self) -> int:
        """Length of all the layers together."""
        return sum(self.latent_dims)

    def model(self, x: Tensor | None = None, num_data: int = 1) -> Tensor:
        """Generative story: z_T ~ p(z_T), z_t ~ p(z_t | z_{t+1}), x ~ p(x | z_1).

        Takes what ``VAE.model`` takes; returns x, observed or drawn, ``(..., B, *event_shape)``.
        """
        if x is not None:
            self.likelihood.check(x)
        declare_parameters(prior=self.prior, likelihood=self.likelihood, decoder=self.decoders)
        with data_plate(x, num_data=num_data):
            top = len(self.latent_dims)
            z = self.prior.sample(f"z{top}")
            for t in range(top - 1, 0, -1):
                # decoders[t] maps z_{t+1} to the parameters of p(z_t | z_{t+1}).
                eta = self.decoders[t](z.to(self.dtype))
                z = pyro.sample(f"z{t}", self.layer_priors[t - 1](eta))
            return pyro.sample("x", self.observation(z), obs=x)

    def guide(self, x: Tensor, num_data: int = 1) -> Tensor:
        """Guide q(z_1 | x) q(z_2 | z_1) ...; returns z_T, ``(..., B, L_T)``."""
        declare_parameters(guide=self.guide_families, encoder=self.encoders)
        with data_plate(x, num_data=num_data):
            h = self._features(x)
            for t, (encoder, family) in enumerate(
                zip(self.encoders, self.guide_families, strict=True), start=1
            ):
                h = pyro.sample(f"z{t}", family(encoder(h)))
            return h

    def observation(self, z: Tensor) -> TorchDistribution:
        """Likelihood p(x | z_1) for z_1 of shape ``(..., L_1)``."""
        return self.likelihood(self.decoders[0](z.to(self.dtype)))

    @takes_data("x", gradients=True)
    def codes(self, x: Tensor) -> list[Tensor]:
        """Means of q(z_1 | x), q(z_2 | mean z_1), ...; one ``(B, L_t)`` a layer."""
        h, means = self._features(x), []
        for encoder, family in zip(self.encoders, self.guide_families, strict=True):
            h = family.code(encoder(h))
            means.append(h)
        return means

    @takes_data("x", gradients=True)
    def code(self, x: Tensor) -> Tensor:
        """Mean of q(z_1 | x), the layer that ``decode`` takes; ``(B, L_1)``."""
        return self.codes(x)[0]

    def decode(self, z: Tensor) -> Tensor:
        """Mean of p(x | z_1), ``(..., *event_shape)``, for z_1 of shape ``(..., L_1)``."""
        return self.observation(z).mean

    @takes_data("x")
    def initialise(self, x: Tensor) -> None:
        """Start the lowest decoder's output bias at the moments of the data."""
        self.likelihood.check(x)
        self.initialised = True
        self.likelihood.initialise(x)
        with torch.no_grad():
            self.decoders[0].set_output(self.likelihood.moment_eta(x))

    def default_objective(self) -> ELBO:
        """``Trace_ELBO``; ``TraceEnum_ELBO`` where the prior has a discrete site to sum out."""
        return self.prior.default_objective()

    def description(self, objective: ELBO | None = None) -> str:
        """Text of ``describe``."""
        goal = described(objective or self.default_objective()).formula
        features, top = math.prod(self.event_shape), len(self.latent_dims)
        lines = [f"Hierarchical VAE  x in R^{features}, shape {self.event_shape}; plate 'data'"]
        lines.append(f"  model      {self.prior.formula().replace('z', f'z{top}', 1)}")
        for t in range(top - 1, 0, -1):
            lines.append(
                f"             z{t} | z{t + 1} ~ Normal(m(z{t + 1}), s(z{t + 1})), in "
                f"R^{self.latent_dims[t - 1]}: {layers_text(self.decoders[t])}"
            )
        lines.append(f"             {self.likelihood.formula().replace('z', 'z1')}")
        lines.append(f"             eta(z1): {layers_text(self.decoders[0])}")
        for t, encoder in enumerate(self.encoders, start=1):
            given = "x" if t == 1 else f"z{t - 1}"
            start = "  guide    " if t == 1 else "           "
            lines.append(f"{start}  q(z{t} | {given}): {layers_text(encoder)}")
        return "\n".join([*lines, objective_text(goal.formula, goal.bound), self._units()])

    def _features(self, x: Tensor) -> Tensor:
        return self.likelihood.standardise(x).flatten(-len(self.event_shape))
