"""Multilayer perceptron of any depth and width."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, cast

import torch
from torch import nn

from pyro_vae.networks.layers import (
    ACTIVATIONS,
    chain,
    check_layers,
    normalisers,
    start,
    stem_gain,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

__all__ = ["ACTIVATIONS", "MLP"]


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
    residual
        Skip connections around the hidden layers after the first: the identity between equal
        widths, else a linear map.
    batch_norm
        Batch normalisation before every activation; not beside ``residual``.

    Raises
    ------
    UnknownNameError
        If the activation is not known.
    ValueError
        If a width is not a positive integer, or ``batch_norm`` stands beside ``residual``.
    """

    def __init__(
        self,
        in_features: int,
        hidden: Sequence[int],
        out_features: int,
        *,
        activation: str = "relu",
        residual: bool = False,
        batch_norm: bool = False,
    ) -> None:
        check_layers(hidden, activation, residual=residual, batch_norm=batch_norm)
        widths = [in_features, *hidden]
        layers = [nn.Linear(a, b) for a, b in itertools.pairwise(widths)]
        output = nn.Linear(widths[-1], out_features)
        modules: list[nn.Module] = []
        if layers:
            stem, *rest = layers
            start(stem, stem_gain(activation, residual))
            skips = [_skip(a, b) for a, b in itertools.pairwise(hidden)] if residual else None
            norms = normalisers([stem, *rest]) if batch_norm else None
            modules = [stem, *chain(rest, skips, activation, norms)]
        start(output, 1.0)
        super().__init__(*modules, output)
        self._text = f"MLP {'-'.join(map(str, [*widths, out_features]))}"
        if hidden:
            self._text += f", {ACTIVATIONS[activation].__name__}"
        if residual:
            self._text += ", residual"
        if batch_norm:
            self._text += ", batch normalisation"

    @property
    def output(self) -> nn.Linear:
        """The last layer."""
        return cast("nn.Linear", self[-1])

    def set_output(self, eta: Tensor) -> None:
        """Start the output around ``eta``, shape ``(out_features,)``, by its bias."""
        with torch.no_grad():
            self.output.bias.copy_(eta)

    def summary(self) -> str:
        """Widths and activation in one line."""
        return self._text


def _skip(width_in: int, width_out: int) -> nn.Module:
    if width_in == width_out:
        return nn.Identity()
    return nn.Linear(width_in, width_out, bias=False)
