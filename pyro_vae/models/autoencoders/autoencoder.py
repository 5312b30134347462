"""The autoencoder as a pair of Pyro programs: a point mass for a guide, and no prior.

Hinton & Salakhutdinov (2006), "Reducing the dimensionality of data with neural networks",
Science 313. With z | x a point mass at the code and a flat, improper "prior", what the ELBO's
estimator gives is log p(x | z = code(x)): the reconstruction term alone. It is no bound on
log p(x), which such a model does not have.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, ClassVar, TypedDict

import pyro
import pyro.distributions as dist
from torch.distributions import constraints

from pyro_vae.conversion import takes_data
from pyro_vae.errors import ProgramError
from pyro_vae.models.encoder_decoder import EncoderDecoder, Network
from pyro_vae.models.latent_variable_model import data_plate, layers_text, objective_text
from pyro_vae.models.likelihoods import Likelihood
from pyro_vae.models.parameters import declare_parameters
from pyro_vae.networks import Architecture

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pyro.infer import ELBO
    from torch import Tensor

__all__ = ["Autoencoder"]


class NetworkSettings(TypedDict, total=False):
    """Arguments of ``Autoencoder`` for its networks, as those of the classes derived from it."""

    encoder: Network
    decoder: Network
    activation: str
    seed: int


class Autoencoder(EncoderDecoder):
    """Autoencoder: x to a code z of length L, and back to the parameters of p(x | z).

    The reconstruction loss is a likelihood, and is stated as one: squared error is
    ``Normal(scale)`` with a fixed sigma, -log p(x | z) = ||x - mu(z)||^2 / (2 sigma^2) + a
    constant; cross-entropy is ``Bernoulli()`` on binary data, ``Binomial(total_count)`` on
    counts. Deep, shallow and convolutional are matters of ``encoder`` and ``decoder``.

    Parameters
    ----------
    event_shape
        Shape of one datum, such as ``(28, 28)``.
    latent_dim
        Length L of the code.
    likelihood
        p(x | z); Bernoulli unless given.
    encoder, decoder
        Hidden widths of an MLP, an ``Architecture``, or a module of your own: the encoder maps
        ``(..., D)`` to ``(..., L)``, the decoder ``(..., L)`` to
        ``(..., likelihood.num_params(event_shape))``.
    activation
        Activation of the MLPs.
    seed
        Seed of the networks' first weights.

    Raises
    ------
    ValueError
        If ``latent_dim`` or a size in ``event_shape`` is not positive.
    DataError
        If a module of your own does not map these shapes.

    Examples
    --------
    >>> shallow = Autoencoder((28, 28), 30, encoder=(), decoder=())
    >>> deep = Autoencoder(
    ...     (28, 28), 30, encoder=(1000, 500, 250), decoder=(250, 500, 1000)
    ... )
    """

    #: Name in saved runs and on the command line.
    kind = "autoencoder"

    _roles: ClassVar[dict[str, Any]] = {
        "likelihood": Likelihood,
        "encoder": Architecture,
        "decoder": Architecture,
    }

    def __init__(
        self,
        event_shape: Sequence[int],
        latent_dim: int,
        *,
        likelihood: Likelihood | None = None,
        encoder: Network = (200, 200),
        decoder: Network = (200, 200),
        activation: str = "relu",
        seed: int = 0,
    ) -> None:
        super().__init__(event_shape, latent_dim, likelihood)
        plans = self._make_networks(encoder, decoder, latent_dim, activation=activation, seed=seed)
        self.config = self._config(self.kind, plans, seed, latent_dim=self.latent_dim)

    @property
    def has_evidence(self) -> bool:
        """False: there is no prior."""
        return False

    def model(
        self, x: Tensor | None = None, exposure: Tensor | None = None, num_data: int = 1
    ) -> Tensor:
        """X | z ~ p(x | z), with a flat "prior" that has no draws.

        Parameters
        ----------
        x
            Data ``(B, *event_shape)``.
        exposure
            Exposure ``(B,)`` of a likelihood that takes one.
        num_data
            Not used: there is nothing to draw from.

        Raises
        ------
        ProgramError
            If ``x`` is None.
        """
        if x is None:
            raise ProgramError(
                f"{type(self).__name__} has no prior, so there is nothing to draw x from: decode "
                "draws of a normal fitted to the codes (as `pyro-vae report` does), or take a VAE"
            )
        self.likelihood.check(x)
        declare_parameters(likelihood=self.likelihood, decoder=self.decoder)
        flat = dist.ImproperUniform(constraints.real_vector, (), (self.latent_dim,))
        with data_plate(x, num_data=num_data):
            z = pyro.sample("z", flat)
            return pyro.sample("x", self.observation(z, exposure=exposure), obs=x)

    def guide(self, x: Tensor, exposure: Tensor | None = None, num_data: int = 1) -> Tensor:
        """Point mass at the code; returns z, ``(B, L)``."""
        declare_parameters(encoder=self.encoder)
        with data_plate(x, num_data=num_data):
            return pyro.sample("z", dist.Delta(self.training_code(x), event_dim=1))

    @takes_data("x", gradients=True)
    def code(self, x: Tensor) -> Tensor:
        """The code, ``(B, L)``."""
        return self._code(x)

    def _code(self, x: Tensor) -> Tensor:
        return self.encoder(self._features(x))

    def training_code(self, x: Tensor) -> Tensor:
        """The code that is decoded in training, ``(B, L)``."""
        return self._code(x)

    def description(self, objective: ELBO | None = None) -> str:
        """Text of ``describe``."""
        features = math.prod(self.event_shape)
        return "\n".join(
            [
                f"{self._title()}  x in R^{features}, shape {self.event_shape}; one plate 'data'",
                f"  model      {self.likelihood.formula()}     [site 'x']; no prior for z",
                f"             eta(z): {layers_text(self.decoder)}",
                f"  guide      {self._guide_formula()}     [site 'z']",
                f"             code(x): {layers_text(self.encoder)}",
                objective_text(self._objective_formula(), self._bound_text()),
                self._units("log p(x | z)"),
            ]
        )

    def _title(self) -> str:
        return "Autoencoder"

    def _guide_formula(self) -> str:
        return f"z = code(x), a point in R^{self.latent_dim}"

    def _objective_formula(self) -> str:
        return "log p(x | z = code(x))"

    def _bound_text(self) -> str:
        return "NOT a bound: without a prior there is no log p(x)"
