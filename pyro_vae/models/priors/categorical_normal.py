"""Mixture of normals as prior, its component a discrete site of the model."""

from __future__ import annotations

from typing import TYPE_CHECKING, final

import pyro

from pyro_vae.models.priors.mixture_of_normals import MixtureOfNormals

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["CategoricalNormal"]


@final
class CategoricalNormal(MixtureOfNormals):
    """c ~ Categorical(w), z | c ~ Normal(m_c, diag(s_c^2)), w, m and s learned.

    ``MixtureOfNormals`` with the component on show as the discrete site ``"c"``, which
    ``TraceEnum_ELBO`` and the log-weights (``enumerate_discrete=True``) sum out. It stands
    between the Gaussian mixture, where c alone makes x, and the VAE, where z alone does.

    Parameters
    ----------
    num_components, min_scale, seed
        As for ``MixtureOfNormals``.
    """

    def sample(self, site: str = "z") -> Tensor:
        """Sites ``"c"`` and that of z, inside the data plate; returns z, ``(..., B, L)``."""
        c = pyro.sample("c", self.weights(), infer={"enumerate": "parallel"})
        return pyro.sample(site, self.component(c))

    @property
    def enumerated(self) -> bool:
        """True: the site ``"c"`` is summed out."""
        return True

    def formula(self) -> str:
        """Formula of p(z)."""
        return (
            f"c ~ Categorical(w),  c = 1..{self.num_components},  z | c ~ Normal(m_c, diag(s_c^2))"
        )
