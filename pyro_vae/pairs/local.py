"""Guide parameters of each datum's own, started at what an encoder made of it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pyro
import torch
from torch import nn
from torch.distributions import MultivariateNormal, TransformedDistribution
from torch.distributions import transform_to as onto

from pyro_vae.networks import FreeParameters
from pyro_vae.pairs.given import Given

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import Tensor

__all__ = ["Local", "can_be_local"]


def can_be_local(given: Given) -> bool:
    """Whether a guide is of a family with parameters for each row, and draws with gradients."""
    whole = given.whole
    if isinstance(whole, TransformedDistribution) or not whole.has_rsample:
        return False
    names = _names(whole)
    parts = [getattr(whole, name) for name in names]
    return bool(names) and all(
        isinstance(part, torch.Tensor) and part.shape[:1] == given.rows for part in parts
    )


class Local(nn.Module):
    """A pair's model, and a guide of its family with parameters for each datum.

    Parameters
    ----------
    pair
        The pair, a module with ``model``, ``inputs`` and ``dtype``; shared, not copied.
    given
        What the encoder made of the data: where the parameters start.
    features
        By what a datum is known, ``(n, D)``.
    """

    def __init__(self, pair: Any, given: Given, features: Tensor) -> None:
        super().__init__()
        self.pair, self.inputs, self.dtype = pair, pair.inputs, pair.dtype
        whole = given.whole
        self.family = type(whole)
        self.constraints = {name: whole.arg_constraints[name] for name in _names(whole)}
        free = {
            name: onto(constraint).inv(getattr(whole, name).detach())
            for name, constraint in self.constraints.items()
        }
        self.shapes = {name: part.shape[1:] for name, part in free.items()}
        # Equal data share their parameters.
        unique, which = features.unique(dim=0, return_inverse=True)
        first = torch.stack([(which == row).nonzero()[0, 0] for row in range(len(unique))])
        start = torch.cat([part[first].reshape(len(first), -1) for part in free.values()], dim=1)
        self.table = FreeParameters(len(unique), start.shape[1], start=start)
        self.table.enrol(unique)

    @property
    def local_parameters(self) -> Iterable[nn.Parameter]:
        """Those of the guide."""
        return self.table.parameters()

    def model(self, x: Tensor, **beside: Tensor) -> None:
        """The pair's own."""
        self.pair.model(x, **beside)

    def guide(self, x: Tensor, **beside: Tensor) -> None:
        """Guide with a distribution of its own for each datum."""
        sizes = [math.prod(shape) for shape in self.shapes.values()]
        parts = self.table(features_of(x, beside)).split(sizes, dim=-1)
        made = {
            name: onto(self.constraints[name])(part.reshape(len(x), *shape))
            for (name, shape), part in zip(self.shapes.items(), parts, strict=True)
        }
        with pyro.plate("data", len(x), dim=-1):
            pyro.sample("z", Given(self.family(**made, validate_args=False), (len(x),)))


def features_of(x: Tensor, beside: dict[str, Tensor]) -> Tensor:
    """All that the guide is given of each datum, side by side, ``(n, D)``."""
    return torch.cat([part.reshape(len(x), -1).to(x.dtype) for part in (x, *beside.values())], 1)


def _names(whole: Any) -> list[str]:
    """The parameters that make a member of a family; one of the three of a normal's matrix."""
    if isinstance(whole, MultivariateNormal):
        return ["loc", "scale_tril"]
    return [name for name in whole.arg_constraints if name in vars(whole)]
