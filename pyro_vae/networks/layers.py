"""What the networks are put together from: activations, their first weights, skip connections."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, final

from torch import nn

from pyro_vae.errors import UnknownNameError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

__all__ = [
    "ACTIVATIONS",
    "Residual",
    "chain",
    "check_activation",
    "check_widths",
    "start",
    "stem_gain",
]

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "elu": nn.ELU,
    "relu": nn.ReLU,
    "silu": nn.SiLU,
    "softplus": nn.Softplus,
    "tanh": nn.Tanh,
}

_GAINS = {"relu": math.sqrt(2.0), "elu": math.sqrt(2.0), "silu": math.sqrt(2.0), "tanh": 5.0 / 3.0}


def check_activation(name: str) -> None:
    """Refuse a name that is not one of ``ACTIVATIONS``."""
    if name not in ACTIVATIONS:
        raise UnknownNameError("activation", name, ACTIVATIONS)


def check_widths(what: str, widths: Sequence[int], example: str) -> None:
    """Refuse widths that are not positive integers, under the name ``what``."""
    for width in widths:
        if not isinstance(width, int) or width <= 0:
            raise ValueError(
                f"{what} got {width!r}: it must be a positive integer, as in {example}"
            )


def start(layer: nn.Linear | nn.Conv2d, gain: float, *, wide: bool = False) -> None:
    """First weights that keep the scale of the signal; biases start at zero.

    PyTorch's default start shrinks the signal at every layer, and a VAE whose decoder hardly
    hears z at first settles where q(z|x) = p(z); Glorot & Bengio (2010) keep it. A convolution,
    or a ``wide`` layer with many more outputs than inputs, keeps it with the inputs counted
    alone, as in He et al. (2015), arXiv 1502.01852.
    """
    if isinstance(layer, nn.Linear) and not wide:
        nn.init.xavier_uniform_(layer.weight, gain)
    else:
        bound = gain * math.sqrt(3 / layer.weight[0].numel())
        nn.init.uniform_(layer.weight, -bound, bound)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)


def stem_gain(activation: str, residual: bool) -> float:
    """Gain of the layer before ``chain``: with skips, its output is not only activated."""
    return 1.0 if residual else _GAINS.get(activation, 1.0)


@final
class Residual(nn.Module):
    """``skip(h) + layer(activation(h))``: He et al. (2016), arXiv 1603.05027.

    Parameters
    ----------
    activation
        One of ``ACTIVATIONS``.
    layer
        Linear map of the branch.
    skip
        Identity, or a linear map where the layer changes the shape.
    blocks
        Number of such blocks in a row. Each branch starts with 1 / blocks of the variance of
        h, so that all of them together no more than e-fold it.
    """

    def __init__(
        self, activation: str, layer: nn.Linear | nn.Conv2d, skip: nn.Module, blocks: int
    ) -> None:
        super().__init__()
        self.activation = ACTIVATIONS[activation]()
        self.layer = layer
        self.skip = skip
        start(layer, _GAINS.get(activation, 1.0) / math.sqrt(blocks))
        if isinstance(skip, nn.Linear | nn.Conv2d):
            start(skip, 1.0)

    def forward(self, h: Tensor) -> Tensor:
        """Map h of the layer's input shape to its output shape."""
        return self.skip(h) + self.layer(self.activation(h))


def chain(
    layers: Sequence[nn.Linear | nn.Conv2d], skips: Sequence[nn.Module] | None, activation: str
) -> list[nn.Module]:
    """Hidden layers after a first linear map, up to the activation before the output.

    Parameters
    ----------
    layers
        Linear maps in their order.
    skips
        Skip connection around each of them, or None for none.
    activation
        One of ``ACTIVATIONS``.
    """
    activate = ACTIVATIONS[activation]
    if skips is not None:
        blocks = [
            Residual(activation, layer, skip, len(layers))
            for layer, skip in zip(layers, skips, strict=True)
        ]
        return [*blocks, activate()]
    modules: list[nn.Module] = [activate()]
    for layer in layers:
        start(layer, _GAINS.get(activation, 1.0))
        modules += [layer, activate()]
    return modules
