"""An MLP whose decoder gives means between 0 and 1, as a Gaussian of pixels may have."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, final

import torch

from pyro_vae.networks.architecture import Architecture, Dense
from pyro_vae.networks.mlp import MLP

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["SigmoidMean", "SigmoidMeanDecoder"]

#: How near to 0 and 1 a mean may start.
_NEAREST = 1e-3


@final
@dataclass(frozen=True)
class SigmoidMean(Architecture):
    """``Dense``, where the first parameter of every feature is between 0 and 1.

    For data on the unit interval under a likelihood whose mean comes first and may be any number,
    such as ``Normal`` (Kingma & Welling, 2014, arXiv 1312.6114, section 5).

    Parameters
    ----------
    hidden
        Width of every hidden layer in turn; empty for a linear map before the sigmoid.
    activation
        One of ``ACTIVATIONS``.

    Examples
    --------
    >>> SigmoidMean(hidden=(64,)).decoder(2, (8, 8), 128).summary()
    'MLP 2-64-128, ReLU, means through a sigmoid'
    """

    hidden: tuple[int, ...] = (200,)
    activation: str = "relu"

    def __post_init__(self) -> None:
        super().__post_init__()
        self._dense()

    def encoder(self, event_shape: tuple[int, ...], num_conditions: int, size_out: int) -> MLP:
        """MLP from ``(..., D + num_conditions)`` to ``(..., size_out)``."""
        return self._dense().encoder(event_shape, num_conditions, size_out)

    def decoder(
        self, size_in: int, event_shape: tuple[int, ...], num_params: int
    ) -> SigmoidMeanDecoder:
        """MLP from ``(..., size_in)`` to ``(..., num_params)``, the first D between 0 and 1."""
        size = math.prod(event_shape)
        return SigmoidMeanDecoder(
            size_in, self.hidden, num_params, num_means=size, activation=self.activation
        )

    def _dense(self) -> Dense:
        return Dense(self.hidden, self.activation)


class SigmoidMeanDecoder(MLP):
    """Multilayer perceptron with the sigmoid of its first outputs.

    Parameters
    ----------
    in_features, hidden, out_features, activation
        As for ``MLP``.
    num_means
        How many of the outputs go through the sigmoid.
    """

    def __init__(
        self,
        in_features: int,
        hidden: tuple[int, ...],
        out_features: int,
        *,
        num_means: int,
        activation: str = "relu",
    ) -> None:
        super().__init__(in_features, hidden, out_features, activation=activation)
        self.num_means = num_means

    def forward(self, z: Tensor) -> Tensor:
        """Means, and behind them what else there is."""
        out = super().forward(z)
        means, rest = out[..., : self.num_means], out[..., self.num_means :]
        return torch.cat([means.sigmoid(), rest], -1)

    def set_output(self, eta: Tensor) -> None:
        """Start the output around ``eta``, its means no nearer to 0 and 1 than 0.001."""
        means, rest = eta[: self.num_means], eta[self.num_means :]
        super().set_output(torch.cat([means.clamp(_NEAREST, 1 - _NEAREST).logit(), rest]))

    def summary(self) -> str:
        """Widths and activation in one line."""
        return f"{super().summary()}, means through a sigmoid"
