"""Mixture of normals as guide, with gradients through its draws."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, final

import pyro.distributions as dist
import torch

from pyro_vae.models import densities
from pyro_vae.models.guides.base import LocationScaleGuide
from pyro_vae.settings import require_positive_integer

if TYPE_CHECKING:
    from pyro.distributions import TorchDistribution
    from torch import Tensor

__all__ = ["MixtureOfNormals", "ReparameterisedMixture"]


class ReparameterisedMixture(dist.MixtureSameFamily):
    """Mixture of independent normals whose draws carry gradients, of the weights as well.

    Implicit reparameterisation (Figurnov, Mohamed & Mnih, 2018, arXiv 1805.08498): the
    conditional distribution functions u_l = F(z_l | z_<l) are uniform whatever the parameters
    phi, so dz / dphi = -(du / dz)^-1 du / dphi at the drawn z, with du / dz triangular.

    Pyro's ``MixtureOfDiagNormals`` has pathwise gradients too, but a batch of them cannot be
    drawn with a sample shape, equal means make its gradients NaN, and so do densities that
    overflow in single precision, as they do beyond some dozens of dimensions.
    """

    has_rsample = True

    def rsample(self, sample_shape: torch.Size = torch.Size()) -> Tensor:  # noqa: B008
        """Draws ``(*sample_shape, *batch_shape, L)``, with gradients."""
        z = self.sample(sample_shape)
        if not torch.is_grad_enabled():
            return z
        normal = self.component_distribution.base_dist  # (..., C, L)
        value = z.unsqueeze(-2).double()
        log_prob = normal.log_prob(value)
        # w_cl = p(c | z_<l)
        logits = self.mixture_distribution.logits.unsqueeze(-1)
        w = (logits + log_prob.cumsum(-1) - log_prob).softmax(-2)
        cdf = normal.cdf(value)
        u = (w * cdf).sum(-2)
        with torch.no_grad():
            # du_l / dz_j = sum_c w_cl (F_cl - u_l) d log N_cj / dz_j for j < l, and
            # du_l / dz_l = sum_c w_cl N_cl
            slope = (normal.loc - value) / normal.scale.square()
            below = (w * (cdf - u.unsqueeze(-2))).transpose(-1, -2) @ slope
            jacobian = below.tril(-1) + torch.diag_embed((w * log_prob.exp()).sum(-2))
        # Zero in value, du / dphi in gradient.
        change = (u - u.detach()).unsqueeze(-1)
        step = torch.linalg.solve_triangular(jacobian, change, upper=False).squeeze(-1)
        return z - step.to(z)


@final
class MixtureOfNormals(LocationScaleGuide):
    """c | x ~ Categorical(w(x)), z | c, x ~ Normal(m_c(x), diag(s_c(x)^2)), c summed out.

    For posteriors with several modes, or skewed.

    Parameters
    ----------
    num_components
        Number C of components.
    min_scale
        Lower bound of s; see ``LocationScaleGuide``.

    Raises
    ------
    ValueError
        If ``num_components`` is not a positive integer, or ``min_scale`` not positive.
    """

    def __init__(self, num_components: int = 3, min_scale: float = 1e-6) -> None:
        super().__init__(min_scale)
        require_positive_integer("num_components", num_components)
        self.num_components = num_components

    def num_params(self, event_shape: tuple[int, ...]) -> int:
        """Weight per component; mean and raw scale per component and latent dimension."""
        return self.num_components * (1 + 2 * math.prod(event_shape))

    def forward(self, eta: Tensor) -> TorchDistribution:
        """Distribution of z given ``(..., C (1 + 2 L))``."""
        logits, loc, raw_scale = self._components(eta)
        return ReparameterisedMixture(
            dist.Categorical(logits=logits, validate_args=False),
            densities.Normal(loc, self.scale(raw_scale), validate_args=False).to_event(1),
            validate_args=False,
        )

    def code(self, eta: Tensor) -> Tensor:
        """The mean sum_c w_c m_c(x)."""
        logits, loc, _ = self._components(eta)
        return (logits.softmax(-1).unsqueeze(-1) * loc).sum(-2)

    def formula(self) -> str:
        """Formula of q(z | x)."""
        return (
            f"z | x ~ sum_c w_c(x) Normal(m_c(x), diag(s_c(x)^2)),  c = 1..{self.num_components}"
        )

    def _components(self, eta: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Logits ``(..., C)``, means and raw scales ``(..., C, L)``."""
        count, size = self.num_components, math.prod(self.event_shape)
        logits, loc, raw_scale = eta.split([count, count * size, count * size], dim=-1)
        shape = (*eta.shape[:-1], count, size)
        return logits, loc.reshape(shape), raw_scale.reshape(shape)
