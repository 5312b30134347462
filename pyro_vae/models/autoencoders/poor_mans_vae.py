"""The "poor man's VAE": unit noise on the code, and a norm of the code in place of the KL.

The noise alone would be beaten by codes that lie far apart; the norm keeps them near. It is
what a VAE becomes when its guide has unit variance, but for the norm: the KL would be half its
square.
"""

from __future__ import annotations

import copy
import math
from typing import TYPE_CHECKING, Literal, Unpack

import pyro
import pyro.distributions as dist

from pyro_vae.errors import UnknownNameError
from pyro_vae.models.autoencoders.autoencoder import Autoencoder, NetworkSettings
from pyro_vae.models.guides import UnitNormal
from pyro_vae.models.latent_variable_model import data_plate
from pyro_vae.models.likelihoods import Normal
from pyro_vae.models.parameters import declare_parameters
from pyro_vae.models.vae import VAE
from pyro_vae.settings import require_positive

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from pyro_vae.models.likelihoods import Likelihood

__all__ = ["PoorMansVAE"]


class PoorMansVAE(Autoencoder):
    """Autoencoder with z = m(x) + e, e ~ N(0, I), trained on log p(x | z) - weight * penalty.

    With the default likelihood, a normal with sigma^2 = 1/2, minus log p(x | z) is the summed
    squared error up to a constant. The penalty is the norm ||m(x)||, or half its square.

    ``as_vae`` is the model that it approximates, with guide N(m(x), I), prior N(0, I) and
    KL = ||m(x)||^2 / 2, on the same networks; its ELBO and log p(x) are those that
    ``evidence_model`` gives to ``evaluate``. With the norm, the objective is below that ELBO, and
    so still a lower bound on log p(x), where ||m(x)|| <= 2 weight, since there the penalty is
    no less than half the norm's square. A code further out pays less than its KL: the objective
    is then above the ELBO, and may be no bound. Half the squared norm with weight 1 gives the
    ELBO itself; with another weight w it is that of a beta-VAE with beta = w.

    Parameters
    ----------
    event_shape, latent_dim
        As for ``Autoencoder``.
    likelihood
        p(x | z); ``Normal(sqrt(1/2))`` unless given.
    penalty
        ``"norm"`` or ``"half-squared-norm"``.
    weight
        What multiplies the penalty.
    **settings
        Other arguments of ``Autoencoder``.

    Raises
    ------
    UnknownNameError
        If the penalty is neither.
    ValueError
        If the weight is not positive.
    """

    kind = "poor-mans-vae"

    def __init__(
        self,
        event_shape: Sequence[int],
        latent_dim: int,
        *,
        likelihood: Likelihood | None = None,
        penalty: Literal["norm", "half-squared-norm"] = "norm",
        weight: float = 1.0,
        **settings: Unpack[NetworkSettings],
    ) -> None:
        if penalty not in ("norm", "half-squared-norm"):
            raise UnknownNameError("penalty", penalty, ("norm", "half-squared-norm"))
        require_positive("weight", weight)
        likelihood = Normal(math.sqrt(0.5)) if likelihood is None else likelihood
        super().__init__(event_shape, latent_dim, likelihood=likelihood, **settings)
        self.penalty, self.weight = penalty, weight
        if self.config is not None:
            self.config.update(penalty=penalty, weight=weight)

    def guide(self, x: Tensor, exposure: Tensor | None = None, num_data: int = 1) -> Tensor:
        """Z = m(x) + e, and the penalty as a factor; returns z, ``(B, L)``."""
        declare_parameters(encoder=self.encoder)
        mean = self._code(x)
        # Unit noise has a constant entropy, which the objective does without.
        noisy = dist.Normal(mean, 1.0, validate_args=False).to_event(1).mask(False)
        with data_plate(x, num_data=num_data):
            pyro.factor("penalty", self.weight * self.norm(mean), has_rsample=True)
            return pyro.sample("z", noisy)

    def norm(self, mean: Tensor) -> Tensor:
        """The penalty of codes ``(..., L)``, in nats, shape ``(...)``."""
        if self.penalty == "norm":
            return mean.norm(dim=-1)
        return 0.5 * mean.square().sum(-1)

    def as_vae(self) -> VAE:
        """The VAE with guide N(m(x), I) and prior N(0, I) on the same networks, not copied."""
        vae = VAE(
            self.event_shape,
            self.latent_dim,
            # A copy is built; what was learned comes back below.
            likelihood=copy.deepcopy(self.likelihood),
            guide=UnitNormal(),
            encoder=self.encoder,
            decoder=self.decoder,
        )
        vae.likelihood = self.likelihood
        vae.initialised = self.initialised
        return vae.train(self.training)

    @property
    def has_evidence(self) -> bool:
        """True, of the model that it is measured as."""
        return True

    @property
    def evidence_model(self) -> VAE:
        """The model whose ELBO and log p(x) stand for this one's: ``as_vae()``."""
        return self.as_vae()

    def _title(self) -> str:
        return "Poor man's VAE"

    def _guide_formula(self) -> str:
        return f"z = code(x) + e in R^{self.latent_dim}, e ~ Normal(0, I)"

    def _objective_formula(self) -> str:
        norm = "||code(x)||" if self.penalty == "norm" else "||code(x)||^2 / 2"
        weight = "" if self.weight == 1 else f"{self.weight:g} "
        return f"E[log p(x | z)] - {weight}{norm}"

    def _bound_text(self) -> str:
        if self.penalty == "norm":
            near = f"||code(x)|| <= {2 * self.weight:g}"
            side = f"at most the ELBO where {near}, NOT a bound further out"
        elif self.weight < 1:
            side = "NOT a bound: it is above the ELBO"
        else:
            side = "the ELBO" if self.weight == 1 else "at most the ELBO"
        return (
            f"{side};\n             ELBO and log p(x) are those of the VAE with prior N(0, I) and "
            "guide N(code(x), I)"
        )
