"""Whether a function of rows is one of each row alone, at every call, and has data it can have."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch.distributions import ContinuousBernoulli, constraints

from pyro_vae.conversion.places import first_place
from pyro_vae.errors import ProgramError, SupportError

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

__all__ = [
    "CheckedSupport",
    "grey_constant",
    "innermost",
    "require_same_again",
    "require_same_alone",
    "require_support",
    "spread",
]

#: Relative difference that rounding makes of sums of another number of rows, in float32.
_ROUNDING = 1e-4

#: Supports that no parameter moves: data can be held against them before any z is known.
_FIXED = (
    (constraints.boolean, "zeros and ones"),
    (constraints.nonnegative_integer, "counts, 0, 1, 2, ..."),
    (constraints.unit_interval, "numbers from 0 to 1"),
    (constraints.positive, "numbers above zero"),
    (constraints.nonnegative, "numbers that are not negative"),
    (constraints.real, "finite numbers"),
)


def spread(part: Tensor, rows: torch.Size, inside: int) -> Tensor:
    """A tensor ``(B, *inside)``, or ``(*rows, *inside)``, as N rows."""
    shape = part.shape[part.dim() - inside :]
    return part.expand(*rows, *shape).reshape(rows.numel(), *shape)


def require_same_again(name: str, of_rows: Callable[[slice], Tensor]) -> None:
    """Refuse a function that gives something else at a second call."""
    first, second = of_rows(slice(2)), of_rows(slice(2))
    if not torch.equal(first, second):
        apart = (first - second).abs().max().item()
        raise ProgramError(
            f"{name} gives another distribution at a second call (log-density moved by "
            f"{apart:.2g} nats): put its module into evaluation mode, module.eval(), where "
            "dropout draws nothing; what is random belongs into z"
        )


def require_same_alone(name: str, of_rows: Callable[[slice], Tensor]) -> None:
    """Refuse a function whose result for a row hangs on the other rows."""
    both = of_rows(slice(2))
    try:
        alone = torch.cat([of_rows(slice(1)), of_rows(slice(1, 2))])
    except ValueError as error:
        raise ProgramError(
            f"{name} takes two rows and not one alone ({error}): log p(x) of a datum cannot hang "
            "on its neighbours; put its module into evaluation mode, module.eval()"
        ) from error
    apart = (both - alone).abs()
    if bool((apart > _ROUNDING * (1 + both.abs())).any()):
        raise ProgramError(
            f"{name} gives a row another distribution alone than beside a second one "
            f"(log-density moved by {apart.max().item():.2g} nats): log p(x) of a datum cannot "
            "hang on its neighbours; put its module into evaluation mode, module.eval(), where "
            "batch normalisation takes its moving averages"
        )


def require_support(whole: Any, x: Tensor) -> None:
    """Refuse data outside a support; binary cross-entropy on grey cells is told its constant."""
    if innermost(whole.support) is constraints.boolean:
        wrong = (x != 0) & (x != 1)
        if not bool(wrong.any()):
            return
        raise SupportError(_grey(whole, x, wrong))
    fixed = CheckedSupport.of(whole.support)
    if fixed is not None:
        fixed.check(x)


def _grey(whole: Any, x: Tensor, wrong: Tensor) -> str:
    where, index = first_place(wrong, None)
    text = f"x has {x[index].item():g} in {where}, and p(x | z) is Bernoulli, of zeros and ones: "
    if bool(((x >= 0) & (x <= 1)).all()) and len(whole.probs) <= len(x):
        constant = grey_constant(whole.probs).reshape(len(whole.probs), -1).sum(1)
        return (
            f"{text}as a density of grey values it integrates to exp(C), not to one, with C = "
            f"{constant[0].item():.1f} nats at the first row, so that what it gives is no log "
            "p(x); make the data binary, or take ContinuousBernoulli, which has that constant"
        )
    return f"{text}make the data binary, or take another likelihood"


def grey_constant(probs: Tensor) -> Tensor:
    """Logarithm of the integral of p^x (1 - p)^(1 - x) over x in [0, 1], in nats.

    Loaiza-Ganem and Cunningham (2019), The continuous Bernoulli, arXiv 1907.06845.
    """
    half = torch.full_like(probs, 0.5).double()
    # log f(x) of the continuous Bernoulli is x log p + (1 - x) log(1 - p) - log integral.
    probs = probs.double().clamp(1e-12, 1 - 1e-12)
    bare = half * probs.log() + (1 - half) * torch.log1p(-probs)
    return bare - ContinuousBernoulli(probs=probs).log_prob(half)


def innermost(support: Any) -> Any:
    """The constraint on one cell."""
    while isinstance(support, constraints.independent):
        support = support.base_constraint
    return support


class CheckedSupport:
    """A support that data can be held against: what a pair offers as its likelihood.

    Attributes
    ----------
    constraint
        One that no parameter moves.
    words
        What it allows.
    """

    def __init__(self, constraint: Any, words: str) -> None:
        self.constraint, self.words = constraint, words

    @classmethod
    def of(cls, support: Any) -> CheckedSupport | None:
        """That of a distribution; None where its parameters move it."""
        inner = innermost(support)
        return next((cls(inner, words) for fixed, words in _FIXED if fixed is inner), None)

    def check(self, x: Tensor) -> None:
        """Refuse data outside it.

        Raises
        ------
        SupportError
            Naming the first cell.
        """
        wrong = ~self.constraint.check(x)
        if bool(wrong.any()):
            where, index = first_place(wrong, None)
            raise SupportError(
                f"x has {x[index].item():g} in {where}, and p(x | z) is a distribution of "
                f"{self.words}: transform the data, or take another likelihood"
            )
