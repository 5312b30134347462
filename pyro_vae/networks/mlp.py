"""Multilayer perceptron of any depth and width."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, cast

from torch import nn

from pyro_vae.errors import UnknownNameError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["ACTIVATIONS", "MLP"]

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "elu": nn.ELU,
    "relu": nn.ReLU,
    "silu": nn.SiLU,
    "softplus": nn.Softplus,
    "tanh": nn.Tanh,
}

_GAINS = {"relu": math.sqrt(2.0), "elu": math.sqrt(2.0), "silu": math.sqrt(2.0), "tanh": 5.0 / 3.0}


class MLP(nn.Sequential):
    """Multilayer perceptron, linear at the output.

    Maps ``(..., in_features)`` to ``(..., out_features)`` for any leading dimensions.

    Parameters
    ----------
    in_features, out_features
        Sizes of the input and of the output.
    hidden
        Width of every hidden layer in turn; empty for a linear map.
    activation
        Name of the activation between layers: one of ``ACTIVATIONS``.

    Raises
    ------
    UnknownNameError
        If the activation is not known.
    ValueError
        If a width is not a positive integer.
    """

    def __init__(
        self,
        in_features: int,
        hidden: Sequence[int],
        out_features: int,
        *,
        activation: str = "relu",
    ) -> None:
        if activation not in ACTIVATIONS:
            raise UnknownNameError("activation", activation, ACTIVATIONS)
        for width in hidden:
            if not isinstance(width, int) or width <= 0:
                raise ValueError(
                    f"hidden layer width got {width!r}: it must be a positive integer, "
                    "as in hidden=(200, 200)"
                )
        widths = [in_features, *hidden]
        layers: list[nn.Module] = []
        for width_in, width_out in itertools.pairwise(widths):
            layers += [nn.Linear(width_in, width_out), ACTIVATIONS[activation]()]
        layers.append(nn.Linear(widths[-1], out_features))
        super().__init__(*layers)
        # PyTorch's default start shrinks the signal at every layer, and a VAE whose decoder
        # hardly hears z at first settles where q(z|x) = p(z); Glorot & Bengio (2010) keep it.
        linear = [layer for layer in self if isinstance(layer, nn.Linear)]
        for layer in linear:
            gain = 1.0 if layer is self.output else _GAINS.get(activation, 1.0)
            nn.init.xavier_uniform_(layer.weight, gain)
            nn.init.zeros_(layer.bias)

    @property
    def output(self) -> nn.Linear:
        """The last layer."""
        return cast("nn.Linear", self[-1])
