"""Multilayer perceptron of any depth and width."""

from __future__ import annotations

from typing import TYPE_CHECKING

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
        for width_in, width_out in zip(widths[:-1], widths[1:], strict=True):
            layers += [nn.Linear(width_in, width_out), ACTIVATIONS[activation]()]
        layers.append(nn.Linear(widths[-1], out_features))
        super().__init__(*layers)
