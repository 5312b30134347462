"""Ways to spoil the encoder's input, for denoising autoencoders.

The three of Vincent, Larochelle, Lajoie, Bengio & Manzagol (2010), "Stacked denoising
autoencoders", JMLR 11.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, final

import torch

from pyro_vae.models.component import Component
from pyro_vae.settings import require_positive

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Corruption", "GaussianNoise", "MaskingNoise", "SaltAndPepperNoise"]


class Corruption(Component, role="corruption"):
    """Noise on the encoder's input, which is the datum on a scale of order one."""

    @abstractmethod
    def forward(self, features: Tensor) -> Tensor:
        """Spoilt copy of ``(..., D)``, drawn from PyTorch's random state."""

    @abstractmethod
    def formula(self) -> str:
        """The noise in symbols."""


@final
class GaussianNoise(Corruption):
    """x~ = x + scale e, e ~ Normal(0, I).

    Parameters
    ----------
    scale
        Standard deviation, in units of the encoder's input.
    """

    def __init__(self, scale: float = 0.3) -> None:
        super().__init__()
        require_positive("scale", scale)
        self.scale = scale

    def forward(self, features: Tensor) -> Tensor:
        """Spoilt copy of ``(..., D)``."""
        return features + self.scale * torch.randn_like(features)

    def formula(self) -> str:
        """The noise in symbols."""
        return f"x~ = x + {self.scale:g} e, e ~ Normal(0, I)"


class _Share(Corruption):
    """Noise that strikes a share of the features, each for itself."""

    def __init__(self, share: float = 0.3) -> None:
        super().__init__()
        if not 0 < share <= 1:
            raise ValueError(f"share got {share!r}: it must be in (0, 1], as in 0.3")
        self.share = share

    def _struck(self, features: Tensor) -> Tensor:
        return torch.rand_like(features) < self.share

    @abstractmethod
    def forward(self, features: Tensor) -> Tensor:
        """Spoilt copy of ``(..., D)``."""


@final
class MaskingNoise(_Share):
    """A share of the features is set to zero.

    Parameters
    ----------
    share
        Probability that a feature is struck.
    """

    def forward(self, features: Tensor) -> Tensor:
        """Spoilt copy of ``(..., D)``."""
        return features.masked_fill(self._struck(features), 0.0)

    def formula(self) -> str:
        """The noise in symbols."""
        return f"x~_d = 0 with probability {self.share:g}, else x_d"


@final
class SaltAndPepperNoise(_Share):
    """A share of the features is set to 0 or to 1, by a fair coin.

    Parameters
    ----------
    share
        Probability that a feature is struck.
    """

    def forward(self, features: Tensor) -> Tensor:
        """Spoilt copy of ``(..., D)``."""
        coin = torch.randint_like(features, 2)
        return torch.where(self._struck(features), coin, features)

    def formula(self) -> str:
        """The noise in symbols."""
        return f"x~_d = 0 or 1 with probability {self.share / 2:g} each, else x_d"
