"""Student t prior."""

from __future__ import annotations

from typing import TYPE_CHECKING, final

import torch

from pyro_vae.models import densities
from pyro_vae.models.priors.base import StandardisedPrior
from pyro_vae.settings import require_positive

if TYPE_CHECKING:
    from pyro.distributions import TorchDistribution

__all__ = ["StudentT"]


@final
class StudentT(StandardisedPrior):
    """z_l ~ StudentT(df, 0, 1), independent over l; variance df / (df - 2) for df > 2.

    When single data lie far from the rest: a code far out costs log |z|, not z^2 / 2. A normal
    guide has lighter tails than this prior, so watch k-hat when log p(x) is estimated.

    Parameters
    ----------
    df
        Degrees of freedom; 1 is the Cauchy, infinity the normal.

    Raises
    ------
    ValueError
        If ``df`` is not positive.
    """

    def __init__(self, df: float = 5.0) -> None:
        super().__init__()
        require_positive("df", df)
        self.df = df

    def forward(self) -> TorchDistribution:
        """Distribution of z, event shape ``(L,)``."""
        df = self.loc.new_full((), self.df, dtype=torch.float64)
        return densities.StudentT(df, self.loc, self.scale, validate_args=False).to_event(1)

    def formula(self) -> str:
        """Formula of p(z)."""
        return f"z_l ~ StudentT({self.df:g}, 0, 1),  z in R^{self.latent_dim}"
