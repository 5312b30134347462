"""Objectives whose gradient takes the draws, the model and the guide apart.

The draws z_k are cut from the guide, and the weights computed at the cut ones. Three gradients
can then be put together at will: with respect to the model's parameters at fixed draws, to the
guide's density at fixed draws, and to the draws themselves, which are functions of the guide's
parameters where they are reparameterised.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any, NamedTuple, ParamSpec, final

import torch
from pyro import poutine

from pyro_vae.errors import ProgramError
from pyro_vae.formulas import ObjectiveFormula
from pyro_vae.inference.engine.inputs import count
from pyro_vae.inference.engine.traces import (
    is_point_mass,
    latent_sites,
    model_terms,
    plate_scale,
    run_in_plate,
    sum_sites,
)
from pyro_vae.inference.engine.weights import LogWeights
from pyro_vae.inference.training.objectives.iwae import iwae_formula, log_mean_weight
from pyro_vae.inference.training.objectives.weighted import WeightedObjective, inputs_of, layout_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from pyro_vae.inference.engine.traces import Program, Structure

__all__ = ["STL", "DReG", "ReweightedWakeSleep"]

P = ParamSpec("P")


class _AtDraws(NamedTuple):
    """Terms at draws that are cut from the guide, and the draws both cut and whole."""

    terms: LogWeights
    cut: list[Tensor]
    whole: list[Tensor]
    scale: float


class _DrawsObjective(WeightedObjective):
    """Loss whose value is the bound, and whose gradient is that of a surrogate."""

    #: Whether the gradient passes through the draws.
    needs_paths: bool = True

    @abstractmethod
    def surrogate(self, at: _AtDraws) -> Tensor:
        """A scalar with the gradient that is wanted; its value does not matter."""

    def differentiable_loss(
        self, model: Callable[P, Any], guide: Callable[P, Any], *args: P.args, **kwargs: P.kwargs
    ) -> Tensor:
        """Minus the objective, summed over the data, with the gradient of the surrogate."""
        if self.needs_paths and not torch.is_grad_enabled():
            # The value alone: the guide need not be scored at draws that are cut from it.
            return super().differentiable_loss(model, guide, *args, **kwargs)
        at = self._draw(model, guide, args, kwargs)
        value = self.bound(at.terms).sum().detach()
        if not torch.is_grad_enabled():
            return -at.scale * value
        surrogate = self.surrogate(at)
        return -at.scale * (value + surrogate - surrogate.detach())

    def _draw(self, model: Program, guide: Program, args: Any, kwargs: Any) -> _AtDraws:
        x = inputs_of(model, args, kwargs)
        structure = layout_of(model, guide, x, enumerate_discrete=self.enumerate_discrete)
        trace = run_in_plate(guide, x, structure, self.num_particles)
        fixed = trace.copy()
        cut, whole = [], []
        if self.needs_paths and not latent_sites(trace):
            raise ProgramError(
                f"objective {self.name!r} passes its gradient through the guide's draws, and this "
                "guide has no site to draw: train with elbo"
            )
        for site in latent_sites(trace):
            if is_point_mass(site["fn"]):
                raise ProgramError(
                    f"guide site {site['name']!r} always has the same value, so that objective "
                    f"{self.name!r} has no density to learn from: train with elbo"
                )
            if self.needs_paths and not site["fn"].has_rsample:
                raise ProgramError(
                    f"guide site {site['name']!r} is not reparameterised, so its draws have no "
                    "gradient: train with elbo (Trace_ELBO) or rws (reweighted wake-sleep)"
                )
            value = site["value"].detach()
            if value.is_floating_point():
                value.requires_grad_(torch.is_grad_enabled())
            fixed.nodes[site["name"]] = {**site, "value": value}
            cut.append(value)
            whole.append(site["value"])
        log_likelihood, log_prior = model_terms(model, x, fixed, structure, self.num_particles)
        scored = run_in_plate(poutine.replay(guide, trace=fixed), x, structure, self.num_particles)
        log_guide = self._log_guide(latent_sites(scored), structure, count(x))
        terms = LogWeights(log_likelihood, log_prior, log_guide)
        return _AtDraws(terms, cut, whole, plate_scale(trace, structure))

    def _log_guide(self, sites: list[dict[str, Any]], structure: Structure, size: int) -> Tensor:
        """Log q of the draws, ``(K, B)``.

        A guide that is trained by it learns nothing at sites that it draws as the model does:
        their parameters are the model's, which has its own gradient for them.
        """
        shared = [site for site in sites if site["infer"].get("from_model")]
        if self.needs_paths or not shared:
            return sum_sites(sites, structure, self.num_particles, size)
        own = [site for site in sites if not site["infer"].get("from_model")]
        taken, given = (sum_sites(s, structure, self.num_particles, size) for s in (own, shared))
        return taken + given.detach()


def _along_paths(at: _AtDraws, weights: Tensor) -> Tensor:
    """Surrogate whose gradient is sum_k c_k d log w_k / dz_k dz_k / dphi, for c of ``(K, B)``."""
    total = (weights * at.terms.log_weights).sum()
    gradients = torch.autograd.grad(total, at.cut, retain_graph=True)
    parts = [(g.detach() * z).sum() for g, z in zip(gradients, at.whole, strict=True)]
    return torch.stack(parts).sum()


@final
class DReG(_DrawsObjective):
    """IWAE_K with the doubly reparameterised gradient for the guide.

    Tucker, Lawson, Gu & Maddison (2019), arXiv 1810.04152: for the guide's parameters
    sum_k w~_k^2 d log w_k / dz_k dz_k / dphi, the score of q reparameterised away; for the
    model's the gradient of IWAE_K. Unbiased for IWAE_K, and its signal-to-noise ratio rises
    with K where IWAE's falls. Take it in the place of IWAE wherever the guide's draws are
    reparameterised; about a third dearer.
    """

    name = "dreg"
    is_bound = True

    @property
    def formula(self) -> ObjectiveFormula:
        """Formula of the bound."""
        return iwae_formula(self.num_particles, "doubly reparameterised gradient")

    def bound(self, terms: LogWeights) -> Tensor:
        """Log mean_k w_k per datum."""
        return log_mean_weight(terms)

    def surrogate(self, at: _AtDraws) -> Tensor:
        """Model by w~, guide by w~^2 along the paths."""
        share = at.terms.log_weights.detach().softmax(0)
        model = (share * (at.terms.log_likelihood + at.terms.log_prior)).sum()
        return model + _along_paths(at, share.square())


@final
class STL(_DrawsObjective):
    """ELBO whose guide gradient leaves the score of q out: "sticking the landing".

    Roeder, Wu & Duvenaud (2017), arXiv 1703.09194: the score has mean zero, so the gradient
    stays unbiased; where the guide is the posterior its variance is zero. Take it in the place
    of the ELBO when the guide is nearly right.
    """

    name = "stl"
    is_bound = True
    is_elbo = True

    @property
    def formula(self) -> ObjectiveFormula:
        """Formula of the bound."""
        return ObjectiveFormula(
            "E_q[log p(x, z) - log q(z|x)], gradient along the paths of the draws alone",
            "a lower bound: L(q; x) = log p(x) - KL(q(z|x) || p(z|x)) <= log p(x)",
        )

    def bound(self, terms: LogWeights) -> Tensor:
        """Mean of log w_k per datum."""
        return terms.log_weights.mean(0)

    def surrogate(self, at: _AtDraws) -> Tensor:
        """Model and guide by equal weights."""
        share = torch.full_like(at.terms.log_weights, 1 / self.num_particles).detach()
        model = (share * (at.terms.log_likelihood + at.terms.log_prior)).sum()
        return model + _along_paths(at, share)


@final
class ReweightedWakeSleep(_DrawsObjective):
    """Model by IWAE_K; guide by the wake-phase KL(p(z|x) || q(z|x)), its draws fixed.

    Bornschein & Bengio (2015), arXiv 1406.2751; as "wake-wake", Le et al. (2019), arXiv
    1805.10469. The guide's gradient is biased at finite K, needs no reparameterisation (so it
    serves discrete sites of the guide), and makes the guide cover the posterior rather than
    sit inside it: better proposals for importance sampling.

    Pyro's ``ReweightedWakeSleep`` sums the log-weights of a batch before it normalises them,
    which mixes the data; here each datum has weights of its own.

    Parameters
    ----------
    num_particles
        Draws K per datum, at least 2: one alone has weight 1 whatever it is worth.
    enumerate_discrete
        As for ``WeightedObjective``.
    """

    name = "rws"
    #: Its value; what the guide is trained by is no bound.
    is_bound = True
    needs_paths = False

    def __init__(self, num_particles: int = 8, *, enumerate_discrete: bool = False) -> None:
        super().__init__(num_particles, enumerate_discrete=enumerate_discrete)
        if num_particles < 2:
            raise ValueError(
                f"num_particles got {num_particles}: reweighted wake-sleep needs 2 or more, since "
                "the guide learns from the weights of draws against each other"
            )

    @property
    def formula(self) -> ObjectiveFormula:
        """Formulas of the two objectives."""
        k = self.num_particles
        return ObjectiveFormula(
            f"model: E_q[log mean_k w_k], K = {k}; guide: sum_k w~_k log q(z_k|x), draws fixed",
            f"for the model a lower bound on log p(x) (IWAE_{k}); for the guide no bound",
        )

    def bound(self, terms: LogWeights) -> Tensor:
        """Log mean_k w_k per datum."""
        return log_mean_weight(terms)

    def surrogate(self, at: _AtDraws) -> Tensor:
        """Model and guide each by their log-density at the fixed draws, weighted."""
        share = at.terms.log_weights.detach().softmax(0)
        return (share * (at.terms.log_likelihood + at.terms.log_prior + at.terms.log_guide)).sum()
