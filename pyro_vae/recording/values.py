"""Pyro's losses without their looks at values, which a graph does not have."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from pyro.infer.util import Dice

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from torch import Tensor

__all__ = ["values_not_looked_at"]


class _EachOnce(Dice):
    """Expected costs where no draw of the guide is weighted: each of them counts once.

    Pyro multiplies costs by probabilities, and looks for any that is zero. They are all one where
    the guide's sites are reparameterised and none is enumerated, or where it has no site.
    """

    def compute_expectation(self, costs: Mapping[object, Sequence[Tensor]]) -> Tensor | float:
        """The sum of all costs; what has weights is left to Pyro, which looks at them."""
        if self.log_probs or self.log_denom:
            weighted: Tensor | float = super().compute_expectation(costs)
            return weighted
        expected: Tensor | float = 0.0
        for cost in (cost for terms in costs.values() for cost in terms):
            # As a product with ones, which is rounded as Pyro's is.
            expected = expected + torch.tensordot(torch.ones_like(cost), cost, dims=cost.dim())
        return expected


def _as_it_is(x: Any) -> Any:
    """A number off a tensor; as a tensor in float64, which it is then, it adds up to the same."""
    return x.detach().double() if isinstance(x, torch.Tensor) else x


@contextmanager
def values_not_looked_at() -> Iterator[None]:
    """No warning of NaN, no number taken off a tensor, no look for probabilities of zero."""
    replaced: list[tuple[Any, str, Any]] = []
    ours = {"warn_if_nan": lambda *_, **__: None, "torch_item": _as_it_is, "Dice": _EachOnce}
    for name, module in list(sys.modules.items()):
        if name.startswith("pyro.infer.") and module is not None:
            for attribute in ours.keys() & vars(module).keys():
                replaced.append((module, attribute, vars(module)[attribute]))
    try:
        for module, attribute, _ in replaced:
            setattr(module, attribute, ours[attribute])
        yield
    finally:
        for module, attribute, value in replaced:
            setattr(module, attribute, value)
