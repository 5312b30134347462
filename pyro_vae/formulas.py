"""Objectives as formulas: what a Pyro ``ELBO`` object maximises, and whether it is a bound."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from pyro.infer import RenyiELBO, Trace_ELBO, TraceEnum_ELBO, TraceGraph_ELBO, TraceMeanField_ELBO

if TYPE_CHECKING:
    from pyro.infer import ELBO

__all__ = ["ObjectiveFormula", "objective_formula"]


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


_LOWER = "a lower bound: L(q; x) = log p(x) - KL(q(z|x) || p(z|x)) <= log p(x)"
_MONTE_CARLO = "E_q[log p(x, z) - log q(z|x)], by reparameterised draws of z"


def objective_formula(objective: ELBO) -> ObjectiveFormula:
    """Formula of an objective, and where it is not a bound.

    Parameters
    ----------
    objective
        A Pyro ``ELBO``; one of the package's own objectives carries its ``formula``.
    """
    own = getattr(objective, "formula", None)
    if isinstance(own, ObjectiveFormula):
        return own
    if isinstance(objective, TraceEnum_ELBO):
        return ObjectiveFormula(
            "E_q[log sum_d p(x, z, d) - log q(z|x)], discrete sites d summed out exactly",
            _LOWER + "; with no continuous latent it is log p(x) itself",
        )
    if isinstance(objective, TraceMeanField_ELBO):
        return ObjectiveFormula("E_q[log p(x|z)] - KL(q(z|x) || p(z)), KL in closed form", _LOWER)
    if isinstance(objective, Trace_ELBO | TraceGraph_ELBO):
        return ObjectiveFormula(_MONTE_CARLO, _LOWER)
    if isinstance(objective, RenyiELBO):
        a, k = objective.alpha, objective.num_particles
        bound = (
            f"a lower bound on log p(x) in expectation (IWAE_{k})"
            if a == 0
            else "a lower bound on log p(x) only for alpha >= 0"
        )
        return ObjectiveFormula(
            f"1/(1-a) log mean_k w_k^(1-a), a = {a:g}, K = {k}",
            bound + "; NOT a bound inside a subsampled plate or poutine.scale",
        )
    return ObjectiveFormula(type(objective).__name__, "not known to this package")
