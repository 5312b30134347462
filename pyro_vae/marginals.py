"""Log-probabilities of some cells of a datum, the others integrated out.

Where the cells are independent given z it is the sum of the terms of those cells alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import torch
from pyro.distributions import TorchDistribution
from torch.distributions import Independent

from pyro_vae.errors import ProgramError
from pyro_vae.protocols import (
    ConditionsCells,
    HasColumnLogProb,
    HasMarginalLogProb,
    Scored,
    offers,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

__all__ = [
    "OfWhole",
    "column_log_prob",
    "completed_cells",
    "marginal_log_prob",
    "with_masks",
    "without_masks",
]

#: What a measure has behind it where the masks of some columns are data too.
_MASKS = " with masks of columns "


class OfWhole(TorchDistribution):
    """A distribution that scores, or draws, a part of the data of another, ``whole``."""

    arg_constraints: ClassVar[dict[str, Any]] = {}
    whole: Any

    @property
    def support(self) -> Any:
        """Support of one whole datum."""
        return self.whole.support

    @property
    def has_rsample(self) -> bool:
        """Whether draws have gradients."""
        return bool(self.whole.has_rsample)


def column_log_prob(fn: Any, value: Tensor) -> Tensor | None:
    """Term of every element of a datum in log p(value), of the shape ``(..., *event_shape)``.

    Parameters
    ----------
    fn
        Distribution of a datum.
    value
        Data that broadcast with its batch shape.

    Returns
    -------
    Tensor or None
        In nats; None where the elements are not independent.
    """
    while offers(fn, Scored):
        fn, value = fn.scored, value.double()
    if offers(fn, HasColumnLogProb):
        return fn.column_log_prob(value)
    if isinstance(fn, Independent):
        return column_log_prob(fn.base_dist, value)
    return None if fn.event_shape else fn.log_prob(value)


def marginal_log_prob(fn: Any, value: Tensor, observed: Tensor) -> Tensor:
    """Log-probability of the observed cells of a datum, of the batch shape; float64.

    Parameters
    ----------
    fn
        Distribution of a datum.
    value
        Data that broadcast with its batch shape, with a legal value in every cell.
    observed
        Which cells count, ``(..., *event_shape)``, bool.

    Raises
    ------
    ProgramError
        If the cells are not independent and the distribution has no ``marginal_log_prob``.
    """
    terms = column_log_prob(fn, value)
    if terms is not None:
        terms = torch.where(observed, terms.double(), 0.0)
        dims = tuple(range(-len(fn.event_shape), 0))
        return terms.sum(dims) if dims else terms
    while offers(fn, Scored):
        fn, value = fn.scored, value.double()
    if not offers(fn, HasMarginalLogProb):
        raise ProgramError(
            f"observed was given, and {type(fn).__name__} of event shape {tuple(fn.event_shape)} "
            "does not know the density of some of its cells: take a likelihood whose cells are "
            "independent given z, or flatten the data for MultivariateNormal"
        )
    return fn.marginal_log_prob(value, observed)


def completed_cells(fn: Any, drawn: Tensor, value: Tensor, observed: Tensor) -> Tensor:
    """Draws, or means, of whole data made such of the missing cells given the observed ones.

    Parameters
    ----------
    fn
        Distribution of a datum.
    drawn
        Draws or means of it, of its batch and event shape.
    value
        Data that broadcast with its batch shape.
    observed
        Which cells of them are there, bool.

    Returns
    -------
    Tensor
        As ``drawn``: the same where cells are independent, and only missing cells count.
    """
    while offers(fn, Scored):
        fn = fn.scored
    return fn.conditioned(drawn, value, observed) if offers(fn, ConditionsCells) else drawn


def with_masks(measure: str, columns: Sequence[int]) -> str:
    """Base measure of log p(x, m), from that of log p(x): m are the masks of these columns."""
    return f"{measure}{_MASKS}{','.join(map(str, sorted(columns)))}"


def without_masks(measure: str) -> str:
    """What ``with_masks`` was given."""
    return measure.partition(_MASKS)[0]
