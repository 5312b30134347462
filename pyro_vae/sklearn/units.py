"""The units that a table came in, and those that it is modelled in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import torch

from pyro_vae.data.affine import Affine
from pyro_vae.errors import SettingError

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from pyro_vae.models.likelihoods import Likelihood

__all__ = ["Units"]

#: Numbers of which each is outside some support that is not the whole real line.
_PROBES = (-1e6 - 0.5, -1.0, -0.5, 0.0, 0.5, 1.0, 1e6 + 0.5)


@dataclass(frozen=True, eq=False)
class Units:
    """Columns with mean 0 and standard deviation 1, and others as they are.

    Attributes
    ----------
    affine
        Map from the original units to those of the model; the identity for other columns.
    rescaled
        Which columns are standardised, ``(D,)``.
    """

    affine: Affine
    rescaled: Tensor

    @classmethod
    def of(cls, X: np.ndarray, likelihood: Likelihood, standardise: Any) -> Self:
        """The units of a table, and those in which a likelihood is given it.

        Parameters
        ----------
        X
            The training data, ``(n, D)``, with NaN in the missing cells, which do not count.
        likelihood
            A likelihood that is built for rows of X.
        standardise
            ``"auto"``: columns whose likelihood takes any real number. True: all columns, which
            must be such. False: none.

        Raises
        ------
        SettingError
            If ``standardise`` is something else, or True and a column cannot be rescaled.
        """
        auto = isinstance(standardise, str) and standardise == "auto"
        if not auto and not isinstance(standardise, bool):
            raise SettingError(
                f"standardise got {standardise!r}: it must be 'auto', which takes the columns "
                "whose likelihood takes any real number, True or False"
            )
        values = torch.as_tensor(X)
        rescaled = torch.zeros(values.shape[1], dtype=torch.bool)
        if standardise:
            rescaled = _takes_reals(likelihood, values.shape[1])
        if standardise is True and not bool(rescaled.all()):
            raise SettingError(
                f"standardise got True beside the {likelihood.name} likelihood, which takes "
                f"{likelihood.support_text()}: rescaled data would leave that, so take 'auto', "
                "which leaves such columns as they are, or False"
            )
        observed = ~values.isnan()
        whole = bool(observed.all())
        location, scale = Affine.standardising(values, None if whole else observed)
        zero, one = torch.zeros_like(location), torch.ones_like(scale)
        return cls(Affine(location.where(rescaled, zero), scale.where(rescaled, one)), rescaled)

    def forward(self, X: np.ndarray) -> Tensor:
        """Rows of X in the units of the model, float64 ``(n, D)``."""
        return (torch.as_tensor(X) - self.affine.location) / self.affine.scale

    def rounded(self, values: Tensor) -> Tensor:
        """Rows in the units of the model, with float32's digits in the rescaled columns.

        They are the same to the bit then, whatever units X came in.
        """
        return values.float().double().where(self.rescaled, values)

    def rounded_rows(self, rows: dict[str, Tensor]) -> dict[str, Tensor]:
        """``rounded`` of ``x`` among named inputs."""
        return {**rows, "x": self.rounded(rows["x"])}

    def kinds(self, rows: dict[str, Tensor]) -> tuple[dict[str, Tensor], Tensor]:
        """Rows that differ, rounded, each once; and which of them every row is, ``(n,)``.

        Parameters
        ----------
        rows
            Rows ``x`` in the units of the model, with 0 in the cells that are not ``observed``.
        """
        values = self.rounded(rows["x"])
        if "observed" not in rows:
            found, place = values.unique(dim=0, return_inverse=True)
            return {"x": found}, place
        told = torch.cat([values, rows["observed"].to(values)], dim=1)
        found, place = told.unique(dim=0, return_inverse=True)
        x, observed = found.split(values.shape[1], dim=1)
        return {"x": x, "observed": observed.bool()}, place

    def inverse(self, values: Tensor) -> np.ndarray:
        """Values in the original units, float64 ``(n, D)``."""
        return self.affine.inverse(values).numpy()

    @property
    def log_jacobian(self) -> float:
        """What takes log p(y) to log p(x), in nats per row."""
        return self.affine.log_jacobian()

    def log_jacobians(self, observed: Tensor | None) -> float | np.ndarray:
        """The same over the observed cells of every row, ``(n,)``; one number for whole rows."""
        if observed is None:
            return self.log_jacobian
        return self.affine.log_jacobian_of(observed).numpy()


def _takes_reals(likelihood: Likelihood, size: int) -> Tensor:
    """Columns whose likelihood takes any real number, ``(D,)``."""
    probes = torch.tensor(_PROBES, dtype=torch.double).unsqueeze(1).expand(-1, size)
    return likelihood.in_support(probes).all(0)
