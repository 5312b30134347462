"""Mixture of normals as prior, its component summed out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyro.distributions as dist
import torch
from torch import nn

from pyro_vae.models import densities
from pyro_vae.models.priors.base import Prior
from pyro_vae.models.softplus import inverse_softplus, softplus
from pyro_vae.settings import require_positive, require_positive_integer

if TYPE_CHECKING:
    from pyro.distributions import TorchDistribution
    from torch import Tensor

__all__ = ["MixtureOfNormals"]

#: Means and scales both start at variance 1/2, so that p(z) starts with variance about 1.
_START = 0.5**0.5


class MixtureOfNormals(Prior):
    """p(z) = sum_c w_c Normal(z; m_c, diag(s_c^2)), weights, means and scales learned.

    When the data fall into groups; Dilokthanakul et al. (2016), arXiv 1611.02648, with the
    component summed out, so that any guide and ``Trace_ELBO`` serve.

    Parameters
    ----------
    num_components
        Number C of components.
    min_scale
        Lower bound of s: s = min_scale + softplus(.). It bounds the density, which is
        otherwise unbounded where a component shrinks to a point.
    seed
        Seed of the first means, which are spread so that the components can part.

    Raises
    ------
    ValueError
        If ``num_components`` is not a positive integer, or ``min_scale`` not positive.
    """

    def __init__(self, num_components: int = 10, min_scale: float = 1e-3, seed: int = 0) -> None:
        super().__init__()
        require_positive_integer("num_components", num_components)
        require_positive("min_scale", min_scale)
        self.num_components = num_components
        self.min_scale = min_scale
        self.seed = seed

    def build(self, latent_dim: int) -> None:
        """Make equal weights, spread means and equal scales."""
        super().build(latent_dim)
        shape = (self.num_components, latent_dim)
        self.logits = nn.Parameter(torch.zeros(self.num_components))
        spread = torch.randn(shape, generator=torch.Generator().manual_seed(self.seed))
        self.means = nn.Parameter(_START * spread)
        start = inverse_softplus(torch.tensor(max(_START - self.min_scale, self.min_scale)))
        self.raw_scales = nn.Parameter(start.repeat(shape))

    def weights(self) -> dist.Categorical:
        """Distribution of the component, p(c)."""
        return dist.Categorical(logits=self.logits.double(), validate_args=False)

    def component(self, index: Tensor | slice = slice(None)) -> TorchDistribution:
        """p(z | c) for the components ``index``; all of them, batch shape ``(C,)``, by default."""
        scales = self.min_scale + softplus(self.raw_scales.double())
        return densities.Normal(self.means[index], scales[index], validate_args=False).to_event(1)

    def forward(self) -> TorchDistribution:
        """Distribution of z, event shape ``(L,)``."""
        return dist.MixtureSameFamily(self.weights(), self.component(), validate_args=False)

    def responsibilities(self, z: Tensor) -> Tensor:
        """p(c | z), shape ``(..., C)``, for z of shape ``(..., L)``; sums to one over c."""
        joint = self.weights().logits + self.component().log_prob(z.unsqueeze(-2))
        return joint.softmax(-1)

    def formula(self) -> str:
        """Formula of p(z)."""
        return f"z ~ sum_c w_c Normal(m_c, diag(s_c^2)),  c = 1..{self.num_components}"
