"""Mean-field normal guide."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal, final

from pyro_vae.errors import UnknownNameError
from pyro_vae.models import densities
from pyro_vae.models.guides.base import LocationScaleGuide

if TYPE_CHECKING:
    from pyro.distributions import TorchDistribution
    from torch import Tensor

__all__ = ["MeanFieldNormal"]


@final
class MeanFieldNormal(LocationScaleGuide):
    """z_l | x ~ Normal(m_l(x), s_l(x)), independent over l; Kingma & Welling (2014).

    Parameters
    ----------
    min_scale
        Lower bound of s; see ``LocationScaleGuide``.
    link
        How the encoder's number becomes a scale: ``"softplus"``, or ``"exp"``, for the code
        c = exp(sigma) e + m of introductory texts. Its closed-form KL to the standard normal is
        1/2 sum_l (exp(2 sigma_l) - 1 - 2 sigma_l + m_l^2); the sum of exp(sigma_l) - 1 - sigma_l
        + m_l^2 is another number, and belongs to c = exp(sigma / 2) e + m, as twice its KL.

    Raises
    ------
    UnknownNameError
        If the link is neither.
    """

    def __init__(
        self, min_scale: float = 1e-6, link: Literal["softplus", "exp"] = "softplus"
    ) -> None:
        super().__init__(min_scale)
        if link not in ("softplus", "exp"):
            raise UnknownNameError("link", link, ("softplus", "exp"))
        self.link = link

    def num_params(self, event_shape: tuple[int, ...]) -> int:
        """Mean and raw scale per latent dimension."""
        return 2 * math.prod(event_shape)

    def forward(self, eta: Tensor) -> TorchDistribution:
        """Distribution of z given ``(..., 2 L)``."""
        loc, raw_scale = eta.chunk(2, dim=-1)
        return densities.Normal(loc, self.scale(raw_scale), validate_args=False).to_event(1)

    def scale(self, raw_scale: Tensor) -> Tensor:
        """Positive scale of the same shape."""
        if self.link == "exp":
            return self.min_scale + raw_scale.exp()
        return super().scale(raw_scale)

    def formula(self) -> str:
        """Formula of q(z | x)."""
        return "z_l | x ~ Normal(m_l(x), s_l(x)),  independent over l"
