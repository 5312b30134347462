"""The variational autoencoder as a pair of Pyro programs.

Kingma & Welling (2014), "Auto-encoding variational Bayes", arXiv 1312.6114; Rezende, Mohamed
& Wierstra (2014), arXiv 1401.4082. The model is z ~ p(z), x | z ~ p(x | z) with parameters
from a decoder network; the guide is q(z | x) with parameters from an encoder network.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, final

import pyro
import torch
from pyro.infer import Trace_ELBO, TraceEnum_ELBO
from torch import nn

from pyro_vae.errors import DataError
from pyro_vae.formulas import objective_formula
from pyro_vae.models.guides import Guide, MeanFieldNormal
from pyro_vae.models.likelihoods import Bernoulli, Likelihood
from pyro_vae.models.parameters import declare_parameters
from pyro_vae.models.priors import Prior, StandardNormal
from pyro_vae.networks import MLP

if TYPE_CHECKING:
    from pyro.distributions import TorchDistribution
    from pyro.infer import ELBO
    from torch import Tensor

__all__ = ["VAE"]

Network = nn.Module | Sequence[int]


@final
class VAE(nn.Module):
    """Variational autoencoder: ``model`` and ``guide`` are plain Pyro programs.

    Both have one plate ``"data"`` and one latent site ``"z"``; the observed site is ``"x"``.
    They work with ``pyro.infer.SVI``, ``Predictive``, ``poutine`` and MCMC as they stand.
    Parameters live in this module, never in Pyro's global param store.

    Parameters
    ----------
    event_shape
        Shape of one datum, such as ``(8, 8)``.
    latent_dim
        Length L of z.
    prior
        p(z); the standard normal unless given.
    likelihood
        p(x | z); Bernoulli unless given.
    guide
        Family of q(z | x); the mean-field normal unless given.
    encoder, decoder
        Hidden widths of an MLP, or a module of your own: the encoder maps ``(..., D)``, the
        flattened datum, to ``(..., guide.num_params((L,)))``; the decoder maps ``(..., L)`` to
        ``(..., likelihood.num_params(event_shape))``, for any leading dimensions.
    activation
        Activation of the MLPs.
    seed
        Seed of the MLPs' first weights.

    Raises
    ------
    ValueError
        If ``latent_dim`` or a size in ``event_shape`` is not positive.

    Examples
    --------
    >>> vae = VAE((8, 8), latent_dim=2)
    >>> vae.model(torch.zeros(5, 8, 8)).shape
    torch.Size([5, 8, 8])
    """

    def __init__(
        self,
        event_shape: Sequence[int],
        latent_dim: int,
        *,
        prior: Prior | None = None,
        likelihood: Likelihood | None = None,
        guide: Guide | None = None,
        encoder: Network = (200, 200),
        decoder: Network = (200, 200),
        activation: str = "relu",
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.event_shape = tuple(int(size) for size in event_shape)
        if not self.event_shape or min(self.event_shape) <= 0:
            raise ValueError(
                f"event_shape got {tuple(event_shape)!r}: it must be the positive sizes of one "
                "datum, as in (28, 28)"
            )
        if not isinstance(latent_dim, int) or latent_dim <= 0:
            raise ValueError(
                f"latent_dim got {latent_dim!r}: it must be a positive integer, such as 2 to "
                "draw the latent space or 20 for a closer fit"
            )
        self.latent_dim = latent_dim
        self.prior = StandardNormal() if prior is None else prior
        self.likelihood = Bernoulli() if likelihood is None else likelihood
        self.guide_family = MeanFieldNormal() if guide is None else guide
        self.prior.build(latent_dim)
        self.likelihood.build(self.event_shape)
        self.guide_family.build((latent_dim,))

        features = math.prod(self.event_shape)
        eta_x = self.likelihood.num_params(self.event_shape)
        eta_z = self.guide_family.num_params((latent_dim,))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.encoder = _network("encoder", encoder, features, eta_z, activation)
            self.decoder = _network("decoder", decoder, latent_dim, eta_x, activation)
        self.prior.connect(self._posterior_of, features)
        #: Whether the output bias was started, or the weights were trained or loaded.
        self.initialised = False
        custom = [isinstance(network, nn.Module) for network in (encoder, decoder)]
        #: Constructor arguments for JSON; None where a network is the user's own module.
        self.config: dict[str, Any] | None = (
            None
            if any(custom)
            else {
                "model": "vae",
                "event_shape": list(self.event_shape),
                "latent_dim": latent_dim,
                "prior": self.prior.to_config(),
                "likelihood": self.likelihood.to_config(),
                "guide": self.guide_family.to_config(),
                "encoder": list(encoder),  # type: ignore[arg-type]
                "decoder": list(decoder),  # type: ignore[arg-type]
                "activation": activation,
                "seed": seed,
            }
        )

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> VAE:
        """Make the model that ``config`` describes, with fresh weights."""
        settings = {key: value for key, value in config.items() if key != "model"}
        for role, part in (("prior", Prior), ("likelihood", Likelihood), ("guide", Guide)):
            settings[role] = part.from_config(settings[role])
        return cls(settings.pop("event_shape"), settings.pop("latent_dim"), **settings)

    def model(self, x: Tensor | None = None, num_data: int = 1) -> Tensor:
        """Generative story: z ~ p(z), x | z ~ p(x | z).

        Parameters
        ----------
        x
            Data ``(B, *event_shape)``; None draws x.
        num_data
            Size of the plate where x is None.

        Returns
        -------
        Tensor
            x, observed or drawn, ``(..., B, *event_shape)``.
        """
        if x is not None:
            self.likelihood.check(x)
            num_data = len(x)
        declare_parameters("prior", self.prior)
        declare_parameters("likelihood", self.likelihood)
        declare_parameters("decoder", self.decoder)
        with pyro.plate("data", num_data, dim=-1):
            z = self.prior.sample()
            return pyro.sample("x", self.likelihood(self.decoder(z)), obs=x)

    def guide(self, x: Tensor | None = None, num_data: int = 1) -> Tensor:
        """Guide q(z | x); without data there is nothing to condition on, so q is p(z).

        Parameters
        ----------
        x
            Data ``(B, *event_shape)``.
        num_data
            Size of the plate where x is None.

        Returns
        -------
        Tensor
            z, ``(..., B, L)``.
        """
        declare_parameters("guide", self.guide_family)
        declare_parameters("encoder", self.encoder)
        if x is not None:
            num_data = len(x)
        with pyro.plate("data", num_data, dim=-1):
            return pyro.sample("z", self.prior() if x is None else self.posterior(x))

    def posterior(self, x: Tensor) -> TorchDistribution:
        """Guide distribution q(z | x): batch shape ``(B,)``, event shape ``(L,)``."""
        return self._posterior_of(self._features(x))

    def code(self, x: Tensor) -> Tensor:
        """Mean of q(z | x), ``(B, L)``."""
        return self.guide_family.code(self.encoder(self._features(x)))

    def decode(self, z: Tensor) -> Tensor:
        """Mean of p(x | z), ``(..., *event_shape)``, for z of shape ``(..., L)``."""
        return self.likelihood(self.decoder(z)).mean

    def initialise(self, x: Tensor) -> None:
        """Start what lives in data space: the decoder's output bias, and parts of the prior.

        The bias starts at the moments of the data, as in Burda et al. (2016), only where the
        decoder ends in the linear layer of the package's own MLP.
        """
        self.likelihood.check(x)
        self.initialised = True
        self.prior.initialise(self._features(x))
        if isinstance(self.decoder, MLP):
            with torch.no_grad():
                self.decoder.output.bias.copy_(self.likelihood.moment_eta(x))

    def default_objective(self) -> ELBO:
        """``Trace_ELBO``, or ``TraceEnum_ELBO`` where the prior has a discrete site."""
        return TraceEnum_ELBO(max_plate_nesting=1) if self.prior.enumerated else Trace_ELBO()

    def description(self, objective: ELBO | None = None) -> str:
        """Text of ``describe``."""
        goal = objective_formula(objective or self.default_objective())
        features = math.prod(self.event_shape)
        unit = (
            "log p(x) is the log of a probability mass"
            if self.likelihood.measure == "counting"
            else "log p(x) is the log of a density: it depends on the units of x"
        )
        return "\n".join(
            [
                f"VAE  x in R^{features}, shape {self.event_shape}; one plate 'data'",
                f"  model      {self.prior.formula()}                 [site 'z']",
                f"             {self.likelihood.formula()}     [site 'x']",
                f"             eta(z): {_layers(self.decoder)}",
                f"  guide      {self.guide_family.formula()}     [site 'z']",
                f"             eta(x): {_layers(self.encoder)}",
                f"  objective  maximise the mean over data of {goal.formula}",
                f"             {goal.bound}",
                f"  units      nats per datum; {unit}",
            ]
        )

    def describe(self, objective: ELBO | None = None) -> None:
        """Print the generative story, the guide and the objective as formulas, with units.

        Parameters
        ----------
        objective
            Pyro ``ELBO`` that training maximises; ``Trace_ELBO`` unless given.
        """
        print(self.description(objective))

    def _features(self, x: Tensor) -> Tensor:
        """Encoder's input, ``(..., D)``."""
        return self.likelihood.standardise(x).flatten(-len(self.event_shape))

    def _posterior_of(self, features: Tensor) -> TorchDistribution:
        """q(z | x) as a function of the encoder's input."""
        return self.guide_family(self.encoder(features))


def _network(name: str, given: Network, size_in: int, size_out: int, activation: str) -> nn.Module:
    """Network from its hidden widths, or the user's own after a look at what it returns."""
    if not isinstance(given, nn.Module):
        return MLP(size_in, given, size_out, activation=activation)
    # Two leading dimensions, since particles are a vectorised plate to the left of the data.
    probe = torch.zeros(2, 3, size_in)
    with torch.no_grad():
        out = given(probe)
    if tuple(out.shape) != (2, 3, size_out):
        raise DataError(
            f"{name} maps {tuple(probe.shape)} to {tuple(out.shape)}: it must give "
            f"{(2, 3, size_out)}, the leading dimensions kept and {size_out} parameters"
        )
    return given


def _layers(network: nn.Module) -> str:
    if not isinstance(network, MLP):
        return type(network).__name__
    linear = [layer for layer in network if isinstance(layer, nn.Linear)]
    widths = [linear[0].in_features, *(layer.out_features for layer in linear)]
    activation = f", {type(network[1]).__name__}" if len(network) > 1 else ""
    return f"MLP {'-'.join(map(str, widths))}{activation}"
