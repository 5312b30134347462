"""What VAEs and autoencoders share: an encoder to the code, a decoder to p(x | z)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeAlias, get_args

import torch
from torch import nn

from pyro_vae.conversion import takes_data
from pyro_vae.errors import DataError, UnknownNameError
from pyro_vae.isolation import isolated
from pyro_vae.models.latent_variable_model import LatentVariableModel, check_event_shape
from pyro_vae.models.likelihoods import Bernoulli, Likelihood
from pyro_vae.models.missing import Missing, completed, require_observed_shape
from pyro_vae.networks import Architecture, Dense, FreeParameters, check_network
from pyro_vae.protocols import SettableOutput, offers
from pyro_vae.settings import require_part, require_positive_integer

if TYPE_CHECKING:
    from pyro.distributions import TorchDistribution
    from torch import Tensor

    from pyro_vae.models.condition import Condition

__all__ = ["EncoderDecoder", "Missing", "Network", "network_plan"]

Network = nn.Module | Architecture | Sequence[int]
Plans = list[nn.Module | Architecture]

#: What is said of one argument in ``config.json``.
ConfigValue: TypeAlias = int | float | str | dict[str, Any] | None


class EncoderDecoder(LatentVariableModel):
    """Model whose code of length L is decoded to the parameters of one likelihood.

    Parameters
    ----------
    event_shape
        Shape of one datum.
    latent_dim
        Length L of the code: z itself, or what stands for it.
    likelihood
        p(x | z); Bernoulli unless given.
    condition
        What encoder and decoder are given beside x and z, if anything.
    missing
        What the encoder is shown in the place of missing cells: see ``VAE``.
    """

    def __init__(
        self,
        event_shape: Sequence[int],
        latent_dim: int,
        likelihood: Likelihood | None = None,
        condition: Condition | None = None,
        missing: Missing = "none",
    ) -> None:
        super().__init__()
        if missing not in get_args(Missing):
            raise UnknownNameError("way with missing cells", missing, get_args(Missing))
        self.event_shape = check_event_shape(event_shape)
        require_positive_integer(
            "latent_dim", latent_dim, "such as 2 to draw the latent space or 20 for a closer fit"
        )
        self.latent_dim = latent_dim
        self.condition = condition
        self.missing = missing
        self.likelihood = Bernoulli() if likelihood is None else likelihood
        require_part("likelihood", self.likelihood, Likelihood, "Normal()")
        self.likelihood.build(self.event_shape)
        self.initialised = False

    @property
    def num_features(self) -> int:
        """Length of the encoder's input: the flattened datum, its mask if shown, the condition."""
        return math.prod(self.event_shape) + self._num_beside

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of what the programs take beside x."""
        names = () if self.condition is None else (self.condition.source,)
        names = (*names, "exposure") if self.likelihood.takes_exposure else names
        return names if self.missing == "none" else (*names, "observed")

    def observation(
        self,
        z: Tensor,
        condition: Tensor | None = None,
        exposure: Tensor | None = None,
        observed: Tensor | None = None,
    ) -> TorchDistribution:
        """Likelihood p(x | z) for z of shape ``(..., L)``: event shape ``event_shape``.

        With ``observed`` it scores these cells alone; it draws, and has means of, all of them.
        """
        # MCMC moves z in the type of log p(x | z), which is float64 for networks in float32.
        eta = self.decoder(self._join(z.to(self.dtype), condition))
        return self.likelihood(eta, exposure, observed)

    def decode(
        self, z: Tensor, condition: Tensor | None = None, exposure: Tensor | None = None
    ) -> Tensor:
        """Mean of p(x | z), ``(..., *event_shape)``, for z of shape ``(..., L)``."""
        return self.observation(z, condition, exposure).mean

    @takes_data("x")
    def initialise(
        self,
        x: Tensor,
        condition: Tensor | None = None,
        exposure: Tensor | None = None,
        observed: Tensor | None = None,
    ) -> None:
        """Start from the data: the decoder's output bias at their moments, as Burda et al. (2016).

        A network of your own is left as it is, unless it has a method ``set_output``. Of cells
        that are missing, ``missing.completed`` tells.
        """
        x = completed(self._filled(x, observed), observed)
        self.likelihood.check(x)
        self.initialised = True
        self.likelihood.initialise(x)
        if offers(self.decoder, SettableOutput):
            self.decoder.set_output(self.likelihood.moment_eta(x))

    def _make_networks(
        self, encoder: Network, decoder: Network, size_code: int, *, activation: str, seed: int
    ) -> Plans:
        """Make or take over both networks; the encoder gives ``size_code`` numbers."""
        size_z = self.latent_dim + self._size_c
        eta_x = self.likelihood.num_params(self.event_shape)
        plans = [network_plan(network, activation) for network in (encoder, decoder)]
        with isolated(seed):
            self.encoder, self.decoder = (
                plan
                if isinstance(plan, nn.Module)
                else (
                    plan.encoder(self.event_shape, self._num_beside, size_code)
                    if role == "encoder"
                    else plan.decoder(size_z, self.event_shape, eta_x)
                )
                for role, plan in zip(("encoder", "decoder"), plans, strict=True)
            )
        check_network("encoder", self.encoder, self.num_features, size_code)
        check_network("decoder", self.decoder, size_z, eta_x)
        return plans

    def _config(
        self, model: str, plans: Plans, seed: int, **parts: ConfigValue
    ) -> dict[str, Any] | None:
        """Constructor arguments for JSON; None where a network is the user's own."""
        if any(isinstance(plan, nn.Module) for plan in plans):
            return None
        encoder, decoder = (plan.to_config() for plan in plans)  # type: ignore[operator]
        return {
            "model": model,
            "event_shape": list(self.event_shape),
            "likelihood": self.likelihood.to_config(),
            "encoder": encoder,
            "decoder": decoder,
            **parts,
            **self._missing_config(),
            "seed": seed,
        }

    @property
    def _size_c(self) -> int:
        """Length C of the condition."""
        return 0 if self.condition is None else self.condition.size

    @property
    def _num_beside(self) -> int:
        """How many numbers the encoder is given beside the flattened datum."""
        shown = math.prod(self.event_shape) if self.missing == "mask" else 0
        return shown + self._size_c

    def _missing_config(self) -> dict[str, str]:
        """What ``config`` says of missing cells: nothing in a model of whole data."""
        return {} if self.missing == "none" else {"missing": self.missing}

    def _filled(self, x: Tensor, observed: Tensor | None) -> Tensor:
        """Data with a legal value, which has no effect, in the cells that are missing."""
        if observed is None:
            return x
        self._require_missing()
        require_observed_shape(x, observed)
        return self.likelihood.filled(x, observed)

    def _require_missing(self) -> None:
        if self.missing == "none":
            raise DataError(
                f"observed was given to a {type(self).__name__} that was made for whole data: "
                "make it with missing='mask' or 'zeros', as VAE and LinearVAE can be, or leave "
                "observed out"
            )

    def _features(
        self, x: Tensor, condition: Tensor | None = None, observed: Tensor | None = None
    ) -> Tensor:
        """The encoder's input ``(..., D + C)``, ``(..., 2 D + C)`` with the mask."""
        flat = self.likelihood.standardise(self._filled(x, observed))
        flat = flat.flatten(-len(self.event_shape))
        if self.missing == "none":
            return self._join(flat, condition)
        seen = torch.ones_like(x) if observed is None else observed.to(flat)
        seen = seen.flatten(-len(self.event_shape))
        shown = torch.where(seen > 0, flat, 0.0)
        # A table of free parameters knows a datum by these: two with other holes are two.
        if self.missing == "mask" or isinstance(self.encoder, FreeParameters):
            shown = torch.cat([shown, seen], dim=-1)
        return self._join(shown, condition)

    def _join(self, first: Tensor, condition: Tensor | None) -> Tensor:
        """``(..., B, N)`` with the condition's vector behind it."""
        if self.condition is None:
            if condition is not None:
                raise DataError(
                    "condition was given to a model without one: make it with "
                    "VAE(..., condition=Labels(num_classes)) or Covariates(num_covariates)"
                )
            return first
        c = self.condition.vector(condition).to(first)
        return torch.cat([first, c.expand(*first.shape[:-1], -1)], dim=-1)


def network_plan(given: Network, activation: str) -> nn.Module | Architecture:
    """Hidden widths as an architecture; a module or an architecture as it is."""
    if isinstance(given, nn.Module | Architecture):
        return given
    return Dense(tuple(given), activation=activation)
