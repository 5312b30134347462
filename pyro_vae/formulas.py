"""What an objective is: its formula, whether it is a bound on log p(x), whether it is the ELBO.

The package's own objectives say it themselves; for Pyro's one table says it here, which models
print from and everybody else asks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, runtime_checkable

from pyro.infer import RenyiELBO, Trace_ELBO, TraceEnum_ELBO, TraceGraph_ELBO, TraceMeanField_ELBO

if TYPE_CHECKING:
    from collections.abc import Callable

    from pyro.infer import ELBO

__all__ = ["Described", "ObjectiveFormula", "described", "undescribed"]


class ObjectiveFormula(NamedTuple):
    """An objective in symbols.

    Attributes
    ----------
    formula
        The quantity that is maximised, per datum, in nats.
    bound
        In words, whether it is a lower bound on log p(x).
    """

    formula: str
    bound: str


@runtime_checkable
class Described(Protocol):
    """An objective that says what it is."""

    @property
    def formula(self) -> ObjectiveFormula:
        """What is maximised, in symbols, and in words whether it is a bound."""

    @property
    def is_bound(self) -> bool:
        """Whether it is, at every step of the training, a lower bound on a datum's log p(x)."""

    @property
    def is_elbo(self) -> bool:
        """Whether its value is the ELBO whatever its settings; its gradient may be another."""

    @property
    def comparable(self) -> bool:
        """Whether its values at different times can be compared.

        The best weights are then chosen by it, and otherwise by the model's default objective.
        """

    @property
    def enumerate_discrete(self) -> bool:
        """Whether it sums out the discrete latent sites of the model that the guide lacks."""


@dataclass(frozen=True)
class _OfPyro:
    """What an objective of Pyro's is."""

    formula: ObjectiveFormula
    is_bound: bool = True
    is_elbo: bool = True
    comparable: bool = True
    enumerate_discrete: bool = False


def described(objective: ELBO) -> Described:
    """What an objective is: by its own word, or for one of Pyro's by the table.

    Parameters
    ----------
    objective
        A Pyro ``ELBO``. A class derived from one of Pyro's is described as that one, unless it
        has all that ``Described`` names; of any other nothing is known.
    """
    if isinstance(objective, Described):
        return objective
    for kind in type(objective).__mro__:
        if kind in _PYROS:
            return _PYROS[kind](objective)
    return undescribed(type(objective).__name__)


def undescribed(name: str) -> Described:
    """What is known of an objective of which there is only the name."""
    unknown = ObjectiveFormula(name, "not known to this package")
    return _OfPyro(unknown, is_bound=False, is_elbo=False)


_LOWER = "a lower bound: L(q; x) = log p(x) - KL(q(z|x) || p(z|x)) <= log p(x)"

_TRACE = _OfPyro(
    ObjectiveFormula("E_q[log p(x, z) - log q(z|x)], by reparameterised draws of z", _LOWER)
)

_ENUM = _OfPyro(
    ObjectiveFormula(
        "E_q[log sum_d p(x, z, d) - log q(z|x)], discrete sites d summed out exactly",
        _LOWER + "; with no continuous latent it is log p(x) itself",
    ),
    enumerate_discrete=True,
)

_MEAN_FIELD = _OfPyro(
    ObjectiveFormula("E_q[log p(x|z)] - KL(q(z|x) || p(z)), KL in closed form", _LOWER)
)


def _renyi(objective: RenyiELBO) -> _OfPyro:
    a, k = objective.alpha, objective.num_particles
    bound = (
        f"a lower bound on log p(x) in expectation (IWAE_{k})"
        if a == 0
        else "a lower bound on log p(x) only for alpha >= 0"
    )
    formula = ObjectiveFormula(
        f"1/(1-a) log mean_k w_k^(1-a), a = {a:g}, K = {k}",
        bound + "; NOT a bound inside a subsampled plate or poutine.scale",
    )
    return _OfPyro(formula, is_bound=a >= 0, is_elbo=False)


#: Pyro's objectives by class; those derived from them are described by the nearest.
_PYROS: dict[type, Callable[[Any], _OfPyro]] = {
    Trace_ELBO: lambda _: _TRACE,
    TraceGraph_ELBO: lambda _: _TRACE,
    TraceEnum_ELBO: lambda _: _ENUM,
    TraceMeanField_ELBO: lambda _: _MEAN_FIELD,
    RenyiELBO: _renyi,
}
