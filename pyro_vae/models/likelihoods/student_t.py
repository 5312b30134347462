"""Student-t likelihood for real data with heavy tails."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, final

from pyro_vae.errors import UnknownNameError
from pyro_vae.models import densities
from pyro_vae.models.likelihoods.location_scale import LocationScale
from pyro_vae.models.likelihoods.positive import Form, PositiveParameter
from pyro_vae.on_demand import library

if TYPE_CHECKING:
    from pyro.distributions import TorchDistribution
    from torch import Tensor

__all__ = ["StudentT"]


@final
class StudentT(LocationScale):
    """x_d | z ~ StudentT(df, mu_d(z), sigma), independent over the features d.

    For real data with outliers that should not pull the fit; df = 1 is Cauchy, df above 30 is
    the normal to the eye. Where df <= 1 there is no mean: ``.mean`` is then the location, the
    median. ``min_scale`` bounds the density, as for the normal.

    Parameters
    ----------
    df
        Degrees of freedom: a positive number, or ``"learned"``: one for all features,
        1 + softplus(.), so that the mean exists; it starts at 5.
    scale
        sigma: a positive number, ``"shared"``, ``"per-feature"`` or ``"latent"``, as for
        ``Normal``. It is not the standard deviation, sigma sqrt(df / (df - 2)).
    min_scale
        Lower bound of a learned sigma, in units of x.

    Raises
    ------
    ValueError
        If ``df`` or a scale is not positive.
    UnknownNameError
        If ``df`` or ``scale`` is a name other than these.
    """

    def __init__(
        self,
        df: float | Literal["learned"] = "learned",
        scale: Form = "shared",
        min_scale: float = 1e-3,
    ) -> None:
        super().__init__(scale, min_scale)
        if isinstance(df, str) and df != "learned":
            raise UnknownNameError("form of df", df, ["learned"])
        self.df = df
        self.nu = PositiveParameter("df", "shared" if df == "learned" else df, 1.0, start=5.0)

    def formula(self) -> str:
        """Formula of p(x | z)."""
        return super().formula().replace("(", f"({self.nu.symbol('df')}, ", 1)

    def _member(self, loc: Tensor, scale: Tensor) -> TorchDistribution:
        return densities.StudentT(self.nu(loc), loc, scale, validate_args=False)

    def _estimate(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Median, and median absolute deviation over that of the unit member.

        The moments that a heavy tail may lack are not asked for.
        """
        median = x.median(0).values
        unit = library("scipy.stats").t(float(self.nu(x).detach())).ppf(0.75)
        return median, (x - median).abs().median(0).values / unit
